"""A Hive table as a kind of source for Spark: by its key, one whole number, or by the rows of its Parquet files."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import unquote

from actors.sources.identity import partition_of
from bridge.engine.hive_rows import DataFile, FileRows
from bridge.engine.jdbc import ROW_BYTES, limits_of
from bridge.engine.kinds import Given
from bridge.engine.rows import Shape, Stretch
from bridge.engine.table_walk import TableWalk
from bridge.engine.walk import Axis
from bridge.engine.walking import Walking
from bridge.engine.work import Kind, Trouble, Work
from config.models import HiveTableSettings
from core.batch import Resume
from core.errors import AssayError, ConfigError, SourceUnavailable
from core.ports import SourceStatistics
from core.ranges import Ranges
from store.staged import StagedPart

_WHOLE = {"tinyint", "smallint", "int", "bigint"}
_TAIL = 4096


def batch(given: Given) -> Kind:
    """The kind for a batch run: by key if one is named, else by the rows of files."""
    return HiveKeyKind(given) if given.settings.key else HiveFileKind(given)


class _HiveTable:
    """What both kinds know of the table."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._settings: HiveTableSettings = given.settings
        self._spark = given.spark
        self._read = 0

    def _open(self) -> list[tuple[str, str]]:
        """Columns and their types.

        Raises:
            ConfigError: E404, E405.
        """
        with self._translating():
            found = [
                (field.name, field.dataType.simpleString())
                for field in self._spark.table(self._settings.table).schema
            ]
        names = [name for name, _ in found]
        for wanted in (*self._settings.key, *(self._settings.columns or ())):
            if wanted.lower() not in names:
                listed = ", ".join(f"`{name}`" for name in names[:20])
                code = "E406" if wanted in self._settings.key else "E405"
                raise ConfigError(
                    f"there is no column `{wanted}` in Hive table `{self._settings.table}`; there are {listed}",
                    code,
                )
        return found

    def _record(self, columns: Sequence[tuple[str, str]]) -> list[str]:
        return (
            [name.lower() for name in self._settings.columns]
            if self._settings.columns
            else [name for name, _ in columns]
        )

    def _shown(self, columns: Sequence[tuple[str, str]]) -> dict[str, Literal["number", "json"]]:
        """Text that the dataset's schema wants as an object or array."""
        found: dict[str, Literal["number", "json"]] = {}
        for name, kind in columns:
            wanted = self._given.fields.get(name, frozenset())
            if kind == "string" and wanted & {"object", "array"} and "string" not in wanted:
                found[name] = "json"
        return found

    @contextmanager
    def _translating(self) -> Iterator[None]:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            yield
        except AssayError:
            raise
        except (PySparkException, Py4JError, OSError) as error:
            raise _refusal(str(error), self._settings) from None

    def close(self) -> None:
        """See ``Kind``."""


class HiveKeyKind(_HiveTable, Walking):
    """See ``bridge.engine.work.Kind``. The ordinal is the key, as behind JDBC."""

    def restore(self, resume: Resume) -> None:
        """See ``Kind``.

        Raises:
            ConfigError: E404–E406, E410, E440, E441.
        """
        self._columns = self._open()
        settings = self._settings
        column = settings.key[0].lower()
        if (
            len(settings.key) > 1
            or dict(self._columns)[column] not in _WHOLE
            or settings.partition_column not in {None, *settings.key}
        ):
            raise ConfigError(
                f"rows of Hive table `{settings.table}` are numbered by a `key` of one column of whole numbers, which is its"
                f" `partition_column` too; `{', '.join(settings.key)}` is none. Without `key`, the rows of its Parquet files are numbered",
                "E440",
            )  # fmt: skip
        self._axis = Axis(column, "whole")
        limits = limits_of(settings, self._axis, self._given.cores)
        self._walk = TableWalk(settings.table, self._axis, limits, by_key=True)
        self._walk.restore(resume)
        self._begun = False

    def _frame(self) -> Any:
        found = self._spark.table(self._settings.table)
        return found.where(self._settings.where) if self._settings.where else found

    def _begin(self) -> None:
        from pyspark.sql import functions as f

        key = f.col(_quoted(self._axis.column))
        self._begun, self._rows, self._read = True, 0, 0
        with self._translating():
            ((low, high, nulls),) = (
                self._frame().agg(f.min(key), f.max(key), f.count_if(key.isNull())).collect()
            )
            if low is None:
                return
            gaps = self._walk.begin(int(low), int(high) + 1)
            if not gaps:
                return
            self._rows = self._frame().where((key >= gaps[0][0]) & (key < gaps[-1][1])).count()
        if self._rows:
            self._walk.cut(gaps, self._rows)
        if nulls:
            from core.signals import signal

            message = f"{nulls} rows of Hive table `{self._settings.table}` have no `{self._axis.column}` and cannot be read by it"
            self._given.say(signal("assay.source.unreadable", self._settings.table, message, source=f"/sources/{self._given.name}",
                                   level="warning", rows=int(nulls)))  # fmt: skip

    def _work(self, stretches: list[Stretch]) -> Work:
        record = self._record(self._columns)
        shape = Shape(
            table=self._settings.table, names=tuple(record), keys=1, axis=self._axis, by_key=True,
            shown=self._shown([(n, k) for n, k in self._columns if n in record]),
            max_record_bytes=self._settings.max_record_bytes, mark=self._walk.mark(),
        )  # fmt: skip

        def frame(_: Any) -> Any:
            from pyspark.sql import functions as f

            key = f.col(_quoted(self._axis.column))
            which = f.lit(0)
            for number, one in enumerate(stretches[1:], 1):
                which = f.when(key >= one.low, number).otherwise(which)
            inside = (key >= stretches[0].low) & (key < stretches[-1].high)
            named = [f.col(_quoted(name)).alias(f"r{at}") for at, name in enumerate(record)]
            with self._translating():
                chosen = (
                    self._frame()
                    .where(inside)
                    .select(*named, key.alias("k"), key.alias("w"), which.alias("t"))
                )
                placed = chosen.repartitionById(len(stretches), f.col("t")).drop("t")
                return placed.sortWithinPartitions("w")

        return Work(
            frame=frame, reader=self._walk.reader(stretches, shape), tasks=len(stretches),
            size_bytes=len(stretches) * self._settings.range_rows * ROW_BYTES,
            partitions=frozenset(one.partition for one in stretches), items=stretches,
        )  # fmt: skip


class HiveFileKind(_HiveTable):
    """See ``bridge.engine.work.Kind``. A partition a file, the ordinal is the row in it; each commit takes whole files."""

    def restore(self, resume: Resume) -> None:
        """See ``Kind``.

        Raises:
            ConfigError: E404, E405, E440.
        """
        self._columns = self._open()
        with self._translating():
            facts = {
                row[0]: row[1]
                for row in self._spark.sql(f"DESCRIBE FORMATTED {_table(self._settings.table)}").collect()
            }
        kind = f"{facts.get('Serde Library', '')} {facts.get('Provider', '')} {facts.get('Type', '')}".lower()
        if "parquet" not in kind or "Location" not in facts or "view" in kind.split():
            raise ConfigError(
                f"Hive table `{self._settings.table}` is not of Parquet files, so its rows have no numbers: name a `key` of one column of"
                " whole numbers", "E440",
            )  # fmt: skip
        self._location = unquote(facts["Location"].rstrip("/"))
        self._files = self._listed(resume)
        self._left = [file for file in self._files if not file.done]

    def plan(self, limit_bytes: int) -> Work | None:
        """See ``Kind``."""
        taken: list[DataFile] = []
        while self._left and (
            not taken or sum(file.length for file in taken) + self._left[0].length <= limit_bytes
        ):
            taken.append(self._left.pop(0))
        return self._work(taken) if taken else None

    def settle(
        self, work: Work, troubles: Sequence[Trouble], parts: Sequence[StagedPart]
    ) -> list[StagedPart]:
        """See ``Kind``: which files are done with."""
        done = self._given.span is None
        return [StagedPart(marks={file.partition: {**file.mark(), "done": done} for file in work.items})]

    def committed(self, work: Work, parts: Sequence[StagedPart]) -> None:
        """See ``Kind``."""
        self._read += sum(part.read for part in parts)

    def statistics(self) -> SourceStatistics:
        """See ``Kind``."""
        total = sum(file.length for file in self._files)
        left = sum(file.length for file in self._left)
        return SourceStatistics(
            bytes_read=total - left, bytes_total=total, partitions=len(self._files),
            detail=f"{len(self._files) - len(self._left)} of {len(self._files)} files",
        )  # fmt: skip

    def _listed(self, resume: Resume) -> list[DataFile]:
        """The table's files, each with what is stored of it."""
        with self._translating():
            frame = self._spark.table(self._settings.table)
            if self._settings.where:
                self._only_partitions(frame)
                frame = frame.where(self._settings.where)
            found = sorted(frame.inputFiles())
            return [self._known(uri, resume) for uri in found]

    def _only_partitions(self, frame: Any) -> None:
        """``where`` chooses files, so it may name partition columns only."""
        columns = [
            row.name for row in self._spark.catalog.listColumns(self._settings.table) if row.isPartition
        ]
        try:
            alone = self._spark.createDataFrame([], frame.select(*map(_quoted, columns)).schema)
            alone.where(self._settings.where).schema  # noqa: B018 - the analysis is what we want
        except Exception as error:
            listed = ", ".join(f"`{name}`" for name in columns) or "none"
            raise ConfigError(
                f"`where` of Hive table `{self._settings.table}` may name its partition columns only ({listed}), as long as it has no `key`: "
                + str(error).splitlines()[0][:200], "E405",
            ) from None  # fmt: skip

    def _known(self, uri: str, resume: Resume) -> DataFile:
        length, tail = self._print(uri)
        path = unquote(uri)
        relative = _below(path, self._location)
        if relative is None:
            raise ConfigError(
                f"a file of Hive table `{self._settings.table}` lies outside its directory `{self._location}`: `{path}`; name a `key` of"
                " one column of whole numbers", "E440",
            )  # fmt: skip
        generation = 0
        while True:
            partition = partition_of(self._settings.table, relative, generation)
            mark = resume.marks.get(partition)
            if mark is None or (mark.get("length"), mark.get("tail")) == (length, tail):
                stored = tuple(resume.coverage.get(partition, Ranges()))
                return DataFile(
                    uri, relative, partition, length, tail, stored, bool(mark and mark.get("done"))
                )
            generation += 1

    def _print(self, uri: str) -> tuple[int, int]:
        """Length of a file and the CRC of its last 4 KiB: a Parquet file's footer."""
        jvm = self._spark._jvm
        path = jvm.org.apache.hadoop.fs.Path(jvm.java.net.URI(uri))
        system = path.getFileSystem(self._spark._jsc.hadoopConfiguration())
        length = int(system.getFileStatus(path).getLen())
        stream = system.open(path)
        try:
            stream.seek(max(0, length - _TAIL))
            return length, zlib.crc32(bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream)))
        finally:
            stream.close()

    def _work(self, files: list[DataFile]) -> Work:
        record = self._record(self._columns)
        shown = self._shown([(n, k) for n, k in self._columns if n in record])
        reader = FileRows(
            self._settings.table, tuple(record), tuple(files), shown, self._settings.max_record_bytes
        )

        def frame(_: Any) -> Any:
            from pyspark.sql import functions as f

            named = [f.col(_quoted(name)).alias(f"r{at}") for at, name in enumerate(record)]
            with self._translating():
                schema = self._spark.table(self._settings.table).schema
                read = self._spark.read.schema(schema).option("basePath", self._location)
                rows = read.parquet(*(_literally(file.uri) for file in files))
                return rows.select(
                    *named, f.col("_metadata.file_path").alias("f"), f.col("_metadata.row_index").alias("i")
                )

        return Work(
            frame=frame, reader=reader, tasks=len(files), size_bytes=sum(file.length for file in files),
            partitions=frozenset(file.partition for file in files), items=files,
        )  # fmt: skip


def _below(path: str, folder: str) -> str | None:
    """``path`` below ``folder``, whatever the number of slashes behind the scheme; None if it is not."""
    one, other = (
        text.partition(":")[2].lstrip("/") if ":" in text.split("/")[0] else text.lstrip("/")
        for text in (path, folder)
    )
    return one[len(other) + 1 :] if one.startswith(other + "/") else None


def _literally(uri: str) -> str:
    """A file's address as a path that Spark takes word for word, not as a pattern."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", unquote(uri))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _table(name: str) -> str:
    return ".".join(_quoted(part) for part in name.split("."))


def _refusal(text: str, settings: HiveTableSettings) -> AssayError:
    said = next((line.strip() for line in text.splitlines() if line.strip()), "no reason")[:300]
    if "TABLE_OR_VIEW_NOT_FOUND" in text or "SCHEMA_NOT_FOUND" in text:
        return ConfigError(f"there is no Hive table `{settings.table}`; check its database and name", "E404")
    if "UNRESOLVED_COLUMN" in text:
        return ConfigError(
            f"`where` of Hive table `{settings.table}` names a column that is not there: {said}", "E405"
        )
    if "PARSE_SYNTAX_ERROR" in text or "DATATYPE_MISMATCH" in text:
        return ConfigError(f"`where` of Hive table `{settings.table}` cannot be used: {said}", "E418")
    return SourceUnavailable(f"Hive table `{settings.table}` cannot be read now: {said}", "E415")
