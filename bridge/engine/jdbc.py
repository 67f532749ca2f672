"""A table or query behind JDBC as a kind of source for Spark: ranges of one column, each read by one task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bridge.engine.jdbc_address import address_of
from bridge.engine.jdbc_database import Column, Database, Wanted, chosen
from bridge.engine.kinds import Given
from bridge.engine.rows import Shape, Stretch
from bridge.engine.table_walk import Limits, TableWalk
from bridge.engine.walk import Axis, Range
from bridge.engine.walking import Walking
from bridge.engine.work import Work
from config.models import JdbcSettings
from core.batch import Resume
from core.errors import ConfigError
from core.signals import signal

ROW_BYTES = 256
"""What a row is taken to weigh before any was seen."""
_INT64 = 1 << 63


def batch(given: Given) -> JdbcKind:
    """The kind for a batch run."""
    return JdbcKind(given)


class JdbcKind(Walking):
    """See ``bridge.engine.work.Kind``. Made anew for each epoch."""

    def __init__(self, given: Given) -> None:
        settings: JdbcSettings = given.settings
        self._given, self._settings = given, settings
        self._what = f"table `{settings.table}`" if settings.table else "the query"
        self._database: Database | None = None

    def restore(self, resume: Resume) -> None:
        """See ``Kind``: connect, look at the columns, know what is done.

        Raises:
            SourceUnavailable: E415. ConfigError: E404–E406, E410, E412–E414, E416–E419, E441, E442.
        """
        settings = self._settings
        address = address_of(settings)
        self.close()
        self._database = database = Database(self._given.spark, address, self._what)
        self._wanted = self._learned(database)
        column = self._wanted.axis
        self._axis = column.axis()
        self._by_key = (
            self._axis.scale == "whole"
            and [c.name for c in self._wanted.key] == [column.name]
            and self._fits(column)
        )
        self._check_span()
        limits = limits_of(settings, self._axis, self._given.cores)
        self._walk = TableWalk(
            settings.table or "query",
            self._axis,
            limits,
            by_key=self._by_key,
            definition=_definition(settings),
        )
        self._walk.restore(resume)
        self._begun = False

    def close(self) -> None:
        """See ``Kind``."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    # --- looking --------------------------------------------------------------------------------------------------

    def _learned(self, database: Database) -> Wanted:
        settings = self._settings
        if settings.table is not None:
            source = database.table(settings.table)
        else:
            source = f"({str(settings.query).strip().rstrip(';')}) assay_query"
        columns = database.columns(source)
        name = settings.table or "query"
        key = chosen(settings.key, columns, name, "key column", "E406")
        axis = chosen([settings.partition_column or settings.key[0]], columns, name, "partition column")[0]
        record = chosen(settings.columns, columns, name, "column") if settings.columns else tuple(columns)
        return Wanted(source, record, key, axis)

    def _fits(self, column: Column) -> bool:
        """Whether its values are ordinals: MariaDB's unsigned may be too great."""
        assert self._database is not None
        if "unsigned" not in column.type.lower():
            return True
        name = self._database.address.quoted(column.name)
        great = self._database.row(f"SELECT max({name}) FROM {self._wanted.source}")
        return not great or great[0] is None or int(great[0]) < _INT64

    def _begin(self) -> None:
        assert self._database is not None, "plan before restore"
        database, source, axis = self._database, self._wanted.source, self._axis
        name = database.address.quoted(axis.column)
        low, high = database.row(f"SELECT min({name}), max({name}) FROM {source}")
        self._begun, self._rows, self._read = True, 0, 0
        self._unreadable(database)
        if low is None or high is None:
            return
        gaps = self._walk.begin(axis.place(low), axis.place(high) + 1, self._bounds())
        if not gaps:
            return
        held = axis.within(gaps[0][0], gaps[-1][1], name)
        (count,) = database.row(f"SELECT count(*) FROM {source} WHERE {held}")
        self._rows = int(count or 0)
        if self._rows:
            self._walk.cut(gaps, self._rows)

    def _unreadable(self, database: Database) -> None:
        """Rows without place or key cannot be read by them: say how many."""
        columns = {column.name: column for column in (self._wanted.axis, *self._wanted.key)}
        nullable = [name for name, column in columns.items() if column.nullable]
        if not nullable:
            return
        missing = " OR ".join(f"{database.address.quoted(name)} IS NULL" for name in nullable)
        (count,) = database.row(f"SELECT count(*) FROM {self._wanted.source} WHERE {missing}")
        if count and int(count):
            names = " or ".join(f"`{name}`" for name in nullable)
            message = f"{count} rows of {self._what} have no {names} and cannot be read by it"
            self._say("assay.source.unreadable", message, level="warning", rows=int(count))

    def _check_span(self) -> None:
        if self._given.span is not None and not self._by_key and self._given.event_time != self._axis.column:
            raise ConfigError(
                f"`--since` and `--until` need {self._what} to be cut by its event time (`partition_column: {self._given.event_time or '…'}`) or"
                " by a key of one whole number", "E442",
            )  # fmt: skip

    def _bounds(self) -> Range | None:
        """By position: the places of a back-fill."""
        if self._given.span is None or self._by_key:
            return None
        unit = 86_400_000_000 if self._axis.scale == "date" else 1
        since, until = self._given.span.since_us, self._given.span.until_us
        return (
            -(-since // unit) if since is not None else -_INT64,
            -(-until // unit) if until is not None else _INT64,
        )

    # --- reading --------------------------------------------------------------------------------------------------

    def _work(self, stretches: list[Stretch]) -> Work:
        assert self._database is not None
        database, wanted, settings = self._database, self._wanted, self._settings
        names = tuple(column.name for column in wanted.record)
        shape = Shape(
            table=settings.table or "query", names=names, keys=len(wanted.key), axis=self._axis, by_key=self._by_key,
            shown=shown_of(wanted.record, self._given.fields), max_record_bytes=settings.max_record_bytes, mark=self._walk.mark(),
        )  # fmt: skip
        place = database.address.quoted("p")
        conditions = [self._axis.within(one.low, one.high, place) for one in stretches]
        also = " AND ".join(
            f"{database.address.quoted(c.name)} IS NOT NULL" for c in wanted.key if c.nullable
        )
        partitions = {one.partition for one in stretches}
        return Work(
            frame=lambda _: database.frame(wanted, conditions, settings.fetch_size, also),
            reader=self._walk.reader(stretches, shape), tasks=len(stretches),
            size_bytes=len(stretches) * settings.range_rows * ROW_BYTES, partitions=frozenset(partitions), items=stretches,
        )  # fmt: skip

    def _say(self, kind: str, message: str, **facts: Any) -> None:
        self._given.say(
            signal(
                kind, self._settings.table or "query", message, source=f"/sources/{self._given.name}", **facts
            )
        )


def limits_of(settings: Any, axis: Axis, cores: int) -> Limits:
    """A source's settings as a walk's limits.

    Raises:
        ConfigError: E410, E419.
    """
    together = settings.num_partitions or cores
    most = max(1, 1_000_000 // settings.range_rows)
    if settings.num_partitions is None or settings.num_partitions >= cores:
        together = max(together, most - most % together)  # Spark runs no more than its cores at a time
    return Limits(
        axis.place(settings.lower) if settings.lower is not None else None,
        axis.place(settings.upper) if settings.upper is not None else None,
        axis.back(settings.lookback), settings.range_rows, together,
    )  # fmt: skip


def shown_of(
    columns: Sequence[Column], fields: Mapping[str, frozenset[str]]
) -> dict[str, Literal["number", "json"]]:
    """Columns whose text is a number, or JSON: by their type, or because the schema wants no text but an object or array."""
    found: dict[str, Literal["number", "json"]] = {}
    for column in columns:
        wanted = fields.get(column.name, frozenset())
        if column.shown:
            found[column.name] = column.shown
        elif (
            column.kind in {1, 12, -1, -9, -15, -16, 2005, 2011, 1111}
            and wanted & {"object", "array"}
            and "string" not in wanted
        ):
            found[column.name] = "json"
    return found


def _definition(settings: JdbcSettings) -> str:
    """A query's text, as a hash: spaces and line ends do not count."""
    if settings.query is None:
        return ""
    return hashlib.sha256(" ".join(settings.query.split()).encode()).hexdigest()[:16]
