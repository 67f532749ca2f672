"""Assay's tables in Hive: made, brought up to date, and told of each commit. Blocking, one thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bridge.ddl import (
    VISIBLE,
    Day,
    Table,
    TablePlan,
    add_columns,
    add_partitions,
    create_table,
    set_properties,
    table_view,
    tables_of,
    visible_view,
)
from core.crash import crashpoint
from core.errors import StoreUnavailable
from store.manifest import FileEntry, Manifest


class Sql(Protocol):
    """What runs statements: ``bridge.session.Session``."""

    def sql(self, text: str) -> Any:
        """Run one statement."""

    def rows(self, text: str) -> list[Any]:
        """Run one statement and fetch its rows."""


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
        self.visible = 0
        """The newest commit that queries see; what a bridge goes on from."""

    def prepare(self, plans: Iterable[TablePlan]) -> list[StoreUnavailable]:
        """Make database, tables and views, and bring older ones up to date. Repeatable.

        Returns:
            What could not be done and stays as it is (one entry a table), for people to read.

        Raises:
            StoreUnavailable: the metastore does not answer.
        """
        self._sql.sql(
            f"CREATE DATABASE IF NOT EXISTS {self._database} COMMENT 'Assay: judged records by tier'"
        )
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
        """Make the four tables of a dataset, or bring them up to date; as ``prepare``."""
        faults = []
        for table in tables_of(plan, self._database, self._warehouse):
            if _bare(table.name) not in self._names:
                self._create(table)
            elif fault := self._evolve(table):
                faults.append(fault)
            elif self._fallback.is_dir():  # files may have come home while nobody looked
                self._add(_bare(table.name), days_on_disk(table.location))
        return faults

    def _create(self, table: Table) -> None:
        self._sql.sql(create_table(table))
        days = days_on_disk(table.location)  # files that were committed while there was no Hive
        if days:
            self._sql.sql(add_partitions(table.name, table.location, sorted(days)))
        self._days[_bare(table.name)] = days
        self._sql.sql(table_view(table, replace=_bare(table.view) in self._names))
        self._names |= {_bare(table.name), _bare(table.view)}

    def _evolve(self, table: Table) -> StoreUnavailable | None:
        found = {row["key"]: row["value"] for row in self._sql.rows(f"SHOW TBLPROPERTIES {table.name}")}
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
            if clash:
                return StoreUnavailable(
                    f"`{table.name}` has column `{clash[0]}` as {there[clash[0]]}, the schema now says another type, "
                    "which Hive cannot change: give the field a new name", "E727", {"columns": clash},
                )  # fmt: skip
            new = [column for column in table.columns if column[0] not in there]
            if new:
                self._sql.sql(add_columns(table, new))
        if any(found.get(key) != value for key, value in table.properties.items()):
            self._sql.sql(set_properties(table))
        if _bare(table.view) not in self._names or found["assay.layout"] != table.properties["assay.layout"]:
            self._sql.sql(table_view(table, replace=_bare(table.view) in self._names))
            self._names.add(_bare(table.view))
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
        self._come_home()
        ready = _whole(manifests, Path(self._warehouse))
        if not ready:
            return self.visible
        for name, files in _files_by_table(ready).items():
            self._later |= {(name, _day(file)) for file in files if not self._has_directory(file)}
            self._add(name, {_day(file) for file in files if self._has_directory(file)})
        crashpoint("bridge.registering")
        commit = ready[-1].commit
        self._sql.sql(visible_view(self._database, commit, replace=True))
        self.visible = commit
        return commit

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

    def _come_home(self) -> None:
        home = {(name, day) for name, day in self._later if day in days_on_disk(self._location(name))}
        for name, day in home:
            self._add(name, {day})
        self._later -= home

    def _location(self, name: str) -> str:
        return f"{self._warehouse}/{name.removesuffix('_files')}"


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
            found.setdefault(f"{file.table}_files", []).append(file)
    return found


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
