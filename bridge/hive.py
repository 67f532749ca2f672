"""Assay's tables in Hive: made, brought up to date, and told of each commit. Blocking, one thread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from bridge.ddl import (
    VIEW,
    VISIBLE,
    WAREHOUSE,
    Day,
    Table,
    TablePlan,
    add_columns,
    add_partitions,
    create_table,
    digest,
    properties_of,
    set_properties,
    table_view,
    tables_of,
    view_body,
    visible_view,
)
from core.aggregation import is_aggregate
from core.crash import crashpoint
from core.errors import StoreUnavailable
from store.layout import commit_of, partition_path
from store.log import LiveFile
from store.manifest import FileEntry, Manifest


class Sql(Protocol):
    """What runs statements: ``bridge.session.Session``."""

    def sql(self, text: str) -> Any:
        """Run one statement."""

    def rows(self, text: str) -> list[Any]:
        """Run one statement and fetch its rows."""


@dataclass(slots=True)
class Totals:
    """How large a table is."""

    files: int = 0
    rows: int = 0
    bytes: int = 0

    @property
    def properties(self) -> dict[str, str]:
        """As Hive and Spark read them."""
        return {"numFiles": str(self.files), "numRows": str(self.rows), "totalSize": str(self.bytes)}


class Tables:
    """The tables of one data directory as this session knows them.

    Args:
        sql: runs statements.
        database: Hive database.
        warehouse: absolute path or URI under which every table has its directory.
        fallback: where files wait whose table's directory refused.
    """

    def __init__(self, sql: Sql, database: str, warehouse: str, fallback: Path) -> None:
        self._sql = sql
        self._database = database
        self._warehouse = warehouse
        self._fallback = fallback
        self._names: set[str] = set()
        self._days: dict[str, set[Day]] = {}
        self._refused: set[str] = set()
        self._later: set[tuple[str, Day]] = set()
        self._totals: dict[str, Totals] = {}
        self._changed: set[str] = set()
        self.visible = 0
        """The newest commit that queries see; what a bridge goes on from."""

    def prepare(self, plans: Iterable[TablePlan]) -> list[StoreUnavailable]:
        """Make database, tables and views, and bring older ones up to date. Repeatable.

        Returns:
            What could not be done and stays as it is (one entry a table), for people to read.

        Raises:
            StoreUnavailable: the metastore does not answer.
        """
        self._claim()
        self._names = {row["tableName"] for row in self._sql.rows(f"SHOW TABLES IN {self._database}")}
        self._days.clear()
        self._refused.clear()
        if VISIBLE in self._names:
            self.visible = self._seen()
        else:
            self._sql.sql(visible_view(self._database, 0, replace=False))
            self._names.add(VISIBLE)
            self.visible = 0
        return [fault for plan in plans for fault in self.plan(plan)]

    def _claim(self) -> None:
        """Make the database ours, once: two warehouses in one database would take each other's tables for their own.

        Raises:
            StoreUnavailable: E729 it is another warehouse's.
        """
        self._sql.sql(
            f"CREATE DATABASE IF NOT EXISTS {self._database} COMMENT 'Assay: judged records by tier' "
            f"WITH DBPROPERTIES ({properties_of({WAREHOUSE: self._warehouse})})"
        )
        said = {row[0]: row[1] for row in self._sql.rows(f"DESCRIBE DATABASE EXTENDED {self._database}")}
        found = re.search(rf"\({re.escape(WAREHOUSE)},(.*?)\)(?:,|\)$)", said.get("Properties", ""))
        if found is None:
            self._sql.sql(
                f"ALTER DATABASE {self._database} SET DBPROPERTIES ({properties_of({WAREHOUSE: self._warehouse})})"
            )
        elif found[1] != self._warehouse:
            raise StoreUnavailable(
                f"the Hive database `{self._database}` belongs to the warehouse `{found[1]}`, not to `{self._warehouse}`: "
                f"set another `hive.database`; if the directory was moved, drop the database (`DROP DATABASE "
                f"{self._database} CASCADE` leaves the files) and it is made again", "E729",
            )  # fmt: skip

    def confirm(self) -> None:
        """After an outage: what a statement that was given up did later than those after it is put right.

        Raises:
            StoreUnavailable: the metastore does not answer.
        """
        if self._seen() != self.visible:
            self._sql.sql(visible_view(self._database, self.visible, replace=True))

    def _seen(self) -> int:
        return int(self._sql.rows(f"SELECT last_commit FROM {self._database}.{VISIBLE}")[0][0])

    def plan(self, plan: TablePlan) -> list[StoreUnavailable]:
        """Make the tables and views of a dataset, or bring them up to date; as ``prepare``."""
        faults = []
        for _, found in groupby(tables_of(plan, self._database, self._warehouse), lambda table: table.tier):
            tables = list(found)
            wrong = [fault for table in tables if (fault := self.keep(table))]
            faults += wrong
            if not wrong:
                self._view(tables)
        return faults

    def keep(self, table: Table) -> StoreUnavailable | None:
        """Make a table, or bring it up to date, with the partitions that its directory has.

        Returns:
            Why it stays as it is; None: it is as planned.
        """
        name = _bare(table.name)
        if name not in self._names:
            self._sql.sql(create_table(table))
            self._names.add(name)
            self._days[name] = set()
            self._add(name, days_on_disk(table.location))  # committed while there was no Hive
        elif fault := self._evolve(table):
            return fault
        elif not table.in_log or self._fallback.is_dir():  # files may have come home while nobody looked
            self._add(name, days_on_disk(table.location))
        return None

    def _view(self, tables: Sequence[Table]) -> None:
        """Write a tier's view, if it says anything else than before."""
        newest = tables[-1]
        name, wanted = _bare(newest.view), {VIEW: digest(view_body(tables))}
        if name not in self._names:
            self._sql.sql(table_view(tables, replace=False))
            self._names.add(name)
        elif self._properties(newest.view).get(VIEW) != wanted[VIEW]:
            self._sql.sql(table_view(tables, replace=True))
            self._sql.sql(set_properties(newest.view, wanted, "VIEW"))

    def _properties(self, name: str) -> dict[str, str]:
        return {row["key"]: row["value"] for row in self._sql.rows(f"SHOW TBLPROPERTIES {name}")}

    def _evolve(self, table: Table) -> StoreUnavailable | None:
        found = self._properties(table.name)
        if "assay.layout" not in found:
            self._refused.add(_bare(table.name))
            return StoreUnavailable(
                f"`{table.name}` is there and is none of Assay's tables: rename it, or set another `hive.database`", "E726"
            )  # fmt: skip
        if found["assay.layout"] != table.properties["assay.layout"]:
            there = {name.lower(): kind for name, kind in self._described(table.name)}
            clash = [
                n for n, kind, _ in table.columns if n in there and there[n] != kind.replace("`", "").lower()
            ]
            if clash and not table.in_log:  # another definition, whose files replace the old ones
                self._sql.sql(f"DROP TABLE {table.name}")
                self._names.discard(_bare(table.name))
                return self.keep(table)
            if clash:
                self._refused.add(_bare(table.name))
                return StoreUnavailable(
                    f"`{table.name}` has column `{clash[0]}` as {there[clash[0]]}, not as its files have it: drop the table "
                    "(its files stay) and it is made again", "E727", {"columns": clash},
                )  # fmt: skip
            new = [column for column in table.columns if column[0] not in there]
            if new:
                self._sql.sql(add_columns(table, new))
        if any(found.get(key) != value for key, value in table.properties.items()):
            self._sql.sql(set_properties(table.name, table.properties))
        return None

    def _described(self, name: str) -> list[tuple[str, str]]:
        rows = self._sql.rows(f"DESCRIBE {name}")
        upto = next((at for at, row in enumerate(rows) if row[0].startswith("#") or not row[0]), len(rows))
        return [(row[0], row[1]) for row in rows[:upto]]

    def register(self, manifests: Sequence[Manifest]) -> int:
        """Register the partitions of whole commits, one ``ALTER`` a table, then let queries see them.

        Args:
            manifests: in order, following ``visible``; those whose files are not all in place yet end the row.

        Returns:
            The new ``visible``. Repeating it changes nothing.

        Raises:
            StoreUnavailable: the metastore does not answer; nothing more is visible than before.
        """
        self.come_home()
        ready = _whole(manifests, Path(self._warehouse))
        if not ready:
            return self.visible
        for name, files in _files_by_table(ready).items():
            self._later |= {(name, _day(file)) for file in files if not self._has_directory(file)}
            self._add(name, {_day(file) for file in files if self._has_directory(file)})
            self.count(name, files)
            self._changed.add(name)
        crashpoint("bridge.registering")
        commit = ready[-1].commit
        self._sql.sql(visible_view(self._database, commit, replace=True))
        self.visible = commit
        return commit

    def add_days(self, table: str, days: set[Day]) -> None:
        """Register partitions of a table whose files are in no manifest: ``gold_flights_by_day``.

        Raises:
            StoreUnavailable: the metastore does not answer.
        """
        self._add(f"{table}_files", days)

    def count(self, name: str, files: Iterable[FileEntry]) -> None:
        """Add files to a table's statistics: ``name`` without its database."""
        totals = self._totals.setdefault(name, Totals())
        for file in files:
            totals.files, totals.rows, totals.bytes = (
                totals.files + 1,
                totals.rows + file.rows,
                totals.bytes + file.bytes,
            )

    def count_stored(self, stored: Iterable[LiveFile]) -> None:
        """Begin the statistics with the files of all commits that can be seen already."""
        self._totals.clear()
        for live in stored:
            if live.commit <= self.visible:
                self.count(files_table(live.entry), [live.entry])

    @property
    def undescribed(self) -> bool:
        """Whether tables have grown since ``describe``."""
        return bool(self._changed)

    def describe(self) -> None:
        """Tell the metastore how large the tables are: from the manifests, one statement for each that has grown.

        Raises:
            StoreUnavailable: the metastore does not answer.
        """
        for name in sorted(self._changed):
            if name in self._names and name not in self._refused:
                self._sql.sql(set_properties(f"{self._database}.{name}", self._totals[name].properties))
            self._changed.discard(name)

    def strangers(self, days: Iterable[tuple[str, Day]]) -> list[StoreUnavailable]:
        """Visible files in partitions that Assay did not write: queries read them, or fail on them.

        Args:
            days: tables without their database, and their partitions.
        """
        found = []
        for name, day in days:
            if is_aggregate(name):
                continue  # its files have names of their own
            folder = Path(self._location(name)) / partition_path(*day)
            for path in _visible(folder):
                found.append(
                    StoreUnavailable(
                        f"`{path}` is none of Assay's files, and queries of `{self._database}.{name}` read it: move it "
                        "away, or begin its name with `_`", "E728", {"path": str(path)},
                    )
                )  # fmt: skip
        return found

    def days_of(self, manifests: Iterable[Manifest]) -> set[tuple[str, Day]]:
        """Tables, without their database, and partitions that commits wrote into."""
        return {(files_table(file), _day(file)) for manifest in manifests for file in manifest.files}

    @property
    def days(self) -> set[tuple[str, Day]]:
        """Every partition known to be registered."""
        return {(name, day) for name, days in self._days.items() for day in days}

    def _add(self, name: str, days: set[Day]) -> None:
        """Register those of ``days`` that a table does not have; one statement, or none."""
        if name not in self._names or name in self._refused:
            return  # it is made from its directory as soon as its plan is known
        if name not in self._days:
            rows = self._sql.rows(f"SHOW PARTITIONS {self._database}.{name}")
            self._days[name] = {day for row in rows if (day := day_of(row[0]))}
        new = days - self._days[name]
        if new:
            self._sql.sql(add_partitions(f"{self._database}.{name}", self._location(name), sorted(new)))
            self._days[name] |= new

    def _has_directory(self, file: FileEntry) -> bool:
        # Registering a partition makes its directory: where that was refused, wait until the file comes home.
        return file.place == "warehouse" or (Path(self._warehouse) / file.path).parent.is_dir()

    @property
    def away(self) -> bool:
        """Whether partitions wait for files that lie in the fallback."""
        return bool(self._later)

    def come_home(self) -> None:
        """Register partitions whose files have come home from the fallback.

        Raises:
            StoreUnavailable: the metastore does not answer.
        """
        home = {(name, day) for name, day in self._later if day in days_on_disk(self._location(name))}
        for name, day in home:
            self._add(name, {day})
        self._later -= home

    def _location(self, name: str) -> str:
        base, _, version = name.rpartition("_files")
        return f"{self._warehouse}/{base}" + (f".{version[1:]}" if version else "")


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _whole(manifests: Sequence[Manifest], warehouse: Path) -> list[Manifest]:
    """The leading commits whose files have left their staging place."""
    ready: list[Manifest] = []
    for manifest in manifests:
        if not all(_in_place(file, warehouse) for file in manifest.files):
            break
        ready.append(manifest)
    return ready


def _in_place(file: FileEntry, warehouse: Path) -> bool:
    # A file that is in neither place was retired later (rewritten, expired): nothing to wait for.
    if file.place == "fallback" or (warehouse / file.path).exists():
        return True
    return not (warehouse / file.staged).exists()


def _files_by_table(manifests: Iterable[Manifest]) -> Mapping[str, list[FileEntry]]:
    found: dict[str, list[FileEntry]] = {}
    for manifest in manifests:
        for file in manifest.files:
            found.setdefault(files_table(file), []).append(file)
    return found


def files_table(file: FileEntry) -> str:
    """``gold_flights_files``, ``gold_flights_files_v2``: the external table of a file, from where it lies."""
    directory, _, version = file.path.partition("/")[0].partition(".")
    return f"{directory}_files" + (f"_{version}" if version else "")


def _visible(folder: Path) -> list[Path]:
    """What Spark and Hive read there and Assay did not write."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if name[:1] not in "._" and commit_of(name) is None]


def _day(file: FileEntry) -> Day:
    return file.year, file.month, file.day


def day_of(partition: str) -> Day | None:
    """``year=2026/month=11/day=2`` as numbers; None for anything else.

    >>> day_of("year=2026/month=11/day=2"), day_of("_staging")
    ((2026, 11, 2), None)
    """
    parts = [part.partition("=") for part in partition.split("/")]
    if [part[0] for part in parts] != ["year", "month", "day"] or not all(
        part[2].isdigit() for part in parts
    ):
        return None
    year, month, day = (int(part[2]) for part in parts)
    return year, month, day


def days_on_disk(location: str) -> set[Day]:
    """Partitions that have a directory below a local table."""
    root = Path(location)
    found = (day_of(path.relative_to(root).as_posix()) for path in root.glob("year=*/month=*/day=*"))
    return {day for day in found if day}
