"""From a record's id to its row: an SQLite index of which file holds which ordinals. Can always be made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import StoreUnavailable
from store.layout import Layout
from store.log import CommitLog, LiveFile
from store.manifest import FileEntry

VERSION = 1
_TABLES = f"""
CREATE TABLE span (source TEXT, partition TEXT, start INTEGER, stop INTEGER, commit_no INTEGER, file INTEGER);
CREATE INDEX by_place ON span (source, partition, start, stop);
CREATE TABLE file (id INTEGER PRIMARY KEY, path TEXT UNIQUE, place TEXT, staged TEXT);
CREATE TABLE folded (commit_no INTEGER);
INSERT INTO folded VALUES (0);
PRAGMA user_version = {VERSION};
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a record is, and what it holds."""

    path: Path
    row: dict[str, Any]


class Index:
    """Ranges of (source, partition) -> files, at ``state/index.sqlite``. One writes (the writer), any number read."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._log = CommitLog(layout.root)
        self._path = layout.state / "index.sqlite"

    def catch_up(self) -> int:
        """Fold in the commits that are not in it yet; made anew when missing, damaged or ahead of the log.

        Returns:
            The newest commit it holds.

        Raises:
            StoreUnavailable: E703 the index cannot be written; E701, E702 as the log says.
        """
        try:
            try:
                return self._fold()
            except sqlite3.DatabaseError:
                self._remove()
                return self._fold()
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(
                f"`{self._path}` cannot be written ({error}): free space or give write permission; records are "
                "found from their id again after that", code="E703",
            ) from error  # fmt: skip

    def newest(self) -> int:
        """The newest commit it holds; 0 if there is no index, or no readable one."""
        if not self._path.exists():
            return 0
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
                return int(db.execute("SELECT commit_no FROM folded").fetchone()[0])
        except sqlite3.Error:
            return 0

    def find(self, assay_id: str) -> Found | None:
        """The newest row with this id, read from the one row group that can hold it; None if there is none.

        Raises:
            StoreUnavailable: E701, E702 as the log says.
        """
        place = split_id(assay_id)
        if place is None:
            return None
        for live in [*self._unfolded(*place), *self._folded(*place)]:
            path = self._located(live)
            row = _row(path, assay_id, place[2]) if path is not None else None
            if path is not None and row is not None:
                return Found(path, row)
        return None

    def _fold(self) -> int:
        self._layout.state.mkdir(parents=True, exist_ok=True)
        with _writing(self._path) as db:
            newest = int(db.execute("SELECT commit_no FROM folded").fetchone()[0])
            last = self._log.last()
            if newest > last:
                raise sqlite3.DatabaseError("ahead of the log")
            if last - newest > 1000:
                state = self._log.state()
                db.execute("DELETE FROM span")
                db.execute("DELETE FROM file")
                _add(db, (live for live in state.files if live.commit <= state.commit))
                newest = state.commit
            for manifest in self._log.after(newest):
                _add(db, (LiveFile(commit=manifest.commit, entry=entry) for entry in manifest.files))
                newest = manifest.commit
            db.execute("UPDATE folded SET commit_no = ?", (newest,))
        return newest

    def _remove(self) -> None:
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink(missing_ok=True)

    def _folded(self, source: str, partition: str, ordinal: int) -> list[_Home]:
        if not self._path.exists():
            return []
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
                found = db.execute(
                    "SELECT DISTINCT path, place, staged FROM span JOIN file ON file.id = span.file WHERE source = ? "
                    "AND partition = ? AND start <= ? AND stop > ? ORDER BY commit_no DESC",
                    (source, partition, ordinal, ordinal),
                )
                return [_Home(*row) for row in found]
        except sqlite3.Error:
            return []

    def _unfolded(self, source: str, partition: str, ordinal: int) -> list[_Home]:
        """Files of commits that the index does not hold yet."""
        newer = [entry for manifest in self._log.after(self.newest(), 100_000) for entry in manifest.files]
        return [_Home.of(entry) for entry in reversed(newer) if _may_hold(entry, source, partition, ordinal)]

    def _located(self, home: _Home) -> Path | None:
        staged = self._layout.fallback if home.place == "fallback" else self._layout.warehouse
        choices = (self._layout.warehouse / home.path, staged / home.staged)
        return next((path for path in choices if path.exists()), None)


@dataclass(frozen=True, slots=True)
class _Home:
    path: str
    place: str
    staged: str

    @classmethod
    def of(cls, entry: FileEntry) -> _Home:
        return cls(entry.path, entry.place, entry.staged)


def split_id(assay_id: str) -> tuple[str, str, int] | None:
    """(source, partition, ordinal) of a record's id; None if it is none. Only the partition may hold dots."""
    source, _, rest = assay_id.partition(".")
    partition, _, ordinal = rest.rpartition(".")
    digits = ordinal.removeprefix("-")
    if not (source and partition and digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    number = int(ordinal)
    return (source, partition, number) if -(2**63) <= number < 2**63 else None


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction; the tables are made when they are not there.

    Raises:
        sqlite3.DatabaseError: the file is damaged, or of another version.
    """
    with closing(sqlite3.connect(path, timeout=10)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # it can be made again
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(_TABLES)
        elif version != VERSION:
            raise sqlite3.DatabaseError("of another version")
        with db:
            yield db


def _add(db: sqlite3.Connection, files: Iterable[LiveFile]) -> None:
    for live in files:
        entry = live.entry
        cursor = db.execute(
            "INSERT OR REPLACE INTO file (path, place, staged) VALUES (?, ?, ?)",
            (entry.path, entry.place, entry.staged),
        )
        db.executemany(
            "INSERT INTO span VALUES (?, ?, ?, ?, ?, ?)",
            [(s.source, s.partition, s.start, s.end, live.commit, cursor.lastrowid) for s in entry.spans],
        )


def _may_hold(entry: FileEntry, source: str, partition: str, ordinal: int) -> bool:
    return any(
        span.source == source and span.partition == partition and span.start <= ordinal < span.end
        for span in entry.spans
    )


def _row(path: Path, assay_id: str, ordinal: int) -> dict[str, Any] | None:
    """The row of an id, from the row groups whose ordinals may hold it."""
    try:
        with pq.ParquetFile(path) as file:
            for at in range(file.metadata.num_row_groups):
                if not _group_may_hold(file.metadata.row_group(at), ordinal):
                    continue
                ids = file.read_row_group(at, columns=["assay_id"]).column(0)
                index = pc.index(ids, assay_id).as_py()
                if index >= 0:
                    row: dict[str, Any] = file.read_row_group(at).slice(index, 1).to_pylist()[0]
                    return row
    except OSError:
        return None
    return None


def _group_may_hold(group: Any, ordinal: int) -> bool:
    for at in range(group.num_columns):
        chunk = group.column(at)
        if (
            chunk.path_in_schema == "assay_ordinal"
            and chunk.statistics is not None
            and chunk.statistics.has_min_max
        ):
            return bool(chunk.statistics.min <= ordinal <= chunk.statistics.max)
    return True
