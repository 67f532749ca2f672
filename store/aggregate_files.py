"""An aggregate's files: one a day, replaced in one step, each saying which definition made it and up to which commit.

``warehouse/gold_flights_by_day/year=2013/month=1/day=2/part-0.parquet``; what the file says of itself stands in its
footer (``assay.definition``, ``assay.commit``, ``assay.late``), so that no other file needs to agree with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from core.crash import crashpoint
from core.errors import StoreUnavailable
from store.aggregate import MOST_GROUPS, Groups, partial_of, results
from store.definition import Definition
from store.layout import STAGING, Layout, fsync_directory, partition_path
from store.windows import Day, day_number, day_of_number

FILE = "part-0.parquet"
RETIRED = "_retired"
_DEFINITION, _COMMIT, _LATE = b"assay.definition", b"assay.commit", b"assay.late"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stated:
    """What a day's file says of itself."""

    definition: str
    commit: int
    """Gold up to this commit is in it."""
    late: int
    """Gold records that came after their window was closed, and are in no row."""


class DayFiles:
    """The files of one aggregate. Blocking; one thread.

    Every method raises StoreUnavailable (E709) when the directory refuses.
    """

    def __init__(self, layout: Layout, definition: Definition) -> None:
        self.definition = definition
        self.directory = layout.warehouse / definition.table
        self._staging = self.directory / STAGING

    def path(self, day: int) -> Path:
        """Where a day's file lies (days since 1970-01-01)."""
        return self.directory / partition_path(*day_of_number(day)) / FILE

    def stated(self, day: int) -> Stated | None:
        """What the day's file says; None if there is none that can be read."""
        try:
            said = pq.read_metadata(self.path(day)).metadata or {}
            return Stated(said[_DEFINITION].decode(), int(said[_COMMIT]), int(said[_LATE]))
        except (OSError, pa.ArrowInvalid, KeyError, ValueError):
            return None

    def groups(self, day: int) -> Groups:
        """What the day's file holds, to add to. Its definition must be ours."""
        with self._named(self.path(day)), pq.ParquetFile(self.path(day)) as file:
            return Groups(self.definition, day, partial_of(self.definition, file.read(use_threads=False)))

    def stage(self, day: int, groups: Groups, commit: int, late: int) -> None:
        """Write a day's next file beside the table and make it durable."""
        table = results(self.definition, groups.partial(), commit)
        said = {_DEFINITION: self.definition.version, _COMMIT: str(commit), _LATE: str(late)}
        path = self._staged(day)
        with self._named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                table.replace_schema_metadata(said), path, row_group_size=MOST_GROUPS, compression="snappy"
            )
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def publish(self, days: Iterable[int]) -> None:
        """Put staged files in place of those that were there, and make that durable."""
        touched: set[Path] = set()
        for at, day in enumerate(days):
            path = self.path(day)
            with self._named(path):
                touched |= _made(path.parent)
                self._staged(day).replace(path)
            if at == 0:
                crashpoint("aggregates.half-renamed")
        for directory in touched:
            with self._named(directory):
                fsync_directory(directory)

    def sweep(self) -> None:
        """Remove what a dead process left in staging."""
        with self._named(self._staging):
            for path in self._staging.glob("*"):
                path.unlink(missing_ok=True)

    def days(self) -> Iterator[int]:
        """Days that have a file, in order."""
        found = []
        for path in self.directory.glob(f"year=*/month=*/day=*/{FILE}"):
            parts = [part.partition("=")[2] for part in path.relative_to(self.directory).parts[:3]]
            if all(part.isdigit() for part in parts):
                day: Day = (int(parts[0]), int(parts[1]), int(parts[2]))
                found.append(day_number(day))
        yield from sorted(found)

    def retire(self) -> None:
        """Take the files of other definitions out of the table, so that it holds one definition at any time."""
        for day in self.days():
            stated = self.stated(day)
            if stated is None or stated.definition != self.definition.version:
                target = self._retired(stated.definition if stated else "unknown", day)
                with self._named(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self.path(day).replace(target)

    def forget(self, days: Iterable[int]) -> int:
        """Remove retired files of days that were made anew; returns how many days are left that were not."""
        with self._named(self.directory / RETIRED):
            for day in days:
                for path in self.directory.glob(str(self._retired("*", day).relative_to(self.directory))):
                    path.unlink(missing_ok=True)
            return len({path.name for path in self.directory.glob(f"{RETIRED}/*/*.parquet")})

    def _retired(self, definition: str, day: int) -> Path:
        return self.directory / RETIRED / definition / self._staged(day).name

    def _staged(self, day: int) -> Path:
        year, month, of_month = day_of_number(day)
        return self._staging / f"{year}-{month}-{of_month}.parquet"

    def _named(self, path: Path) -> _Named:
        return _Named(path)


class _Named:
    """OSErrors inside become E709, naming the path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | pa.ArrowInvalid):
            raise refused(self._path, error) from error


def refused(path: Path, error: Exception) -> StoreUnavailable:
    """The error for an aggregate's file or directory that refuses."""
    why = getattr(error, "strerror", None) or error
    return StoreUnavailable(
        f"the aggregate's `{path}` cannot be read or written ({why}): free space or mend its rights; "
        "the records are safe, and it is tried again", code="E709",
    )  # fmt: skip


def _made(directory: Path) -> set[Path]:
    """Make a directory; it and those whose names changed."""
    changed, missing = {directory}, directory
    while not missing.exists():
        missing = missing.parent
        changed.add(missing)
    directory.mkdir(parents=True, exist_ok=True)
    return changed


def in_portions(
    days: Iterable[int], size: int, stage: Callable[[int], bool], publish: Callable[[list[int]], None]
) -> None:
    """Stage and publish ``size`` days at a time; ``stage`` says whether there is something to publish."""
    staged: list[int] = []
    for day in days:
        if stage(day):
            staged.append(day)
        if len(staged) >= size:
            publish(staged)
            staged = []
    if staged:
        publish(staged)
