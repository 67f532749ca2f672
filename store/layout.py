"""Where things lie below the data directory (docs/contracts.md §2), and which day a row belongs to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import ConfigError

STAGING = "_staging"
DAY_US = 86_400_000_000
_FILE_NAME = re.compile(r"c(\d+)-(?:[0-9A-Za-z_]+-)?\d+\.parquet", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one data directory. All absolute."""

    root: Path
    warehouse: Path
    fallback: Path

    @classmethod
    def of(cls, root: Path, warehouse: str | None = None, fallback: Path | None = None) -> Layout:
        """From the ``storage`` settings.

        Raises:
            ConfigError: the warehouse is no local directory.
        """
        if warehouse is not None and "://" in warehouse:
            raise ConfigError(
                f"`storage.warehouse` is `{warehouse}`, but tables can only be written to a local directory: "
                "give a path, or leave it out for `<root>/warehouse`", code="E705",
            )  # fmt: skip
        root = root.absolute()
        return cls(
            root,
            Path(warehouse).absolute() if warehouse else root / "warehouse",
            fallback.absolute() if fallback else root / "fallback",
        )

    @property
    def commits(self) -> Path:
        """The commit log."""
        return self.root / "commits"

    @property
    def state(self) -> Path:
        """Locks, epochs, the index: all but the lock can be made again."""
        return self.root / "state"

    @property
    def quarantine(self) -> Path:
        """Copies of refused files."""
        return self.root / "quarantine"


def table_name(tier: str, dataset: str) -> str:
    """``gold_flights``."""
    return f"{tier}_{dataset}"


def table_directory(tier: str, dataset: str, version: int = 1) -> str:
    """``gold_flights``; ``gold_flights.v2`` for files with a column of another type than the first ones have."""
    return table_name(tier, dataset) + (f".v{version}" if version > 1 else "")


def file_name(commit: int, number: int, suffix: str = "") -> str:
    """``c000000000012-0.parquet``: made from the commit, so that every step can be repeated.

    With a suffix, ``c000000000012-4fd2-0.parquet``: many may stage for one commit, and each try has its own names.
    """
    return f"c{commit:012d}-{suffix}{'-' if suffix else ''}{number}.parquet"


def commit_of(name: str) -> int | None:
    """The commit number in a file name that ``file_name`` made; None if it is no such name."""
    found = _FILE_NAME.fullmatch(name)
    return int(found[1]) if found else None


def partition_path(year: int, month: int, day: int) -> str:
    """``year=2026/month=11/day=2``."""
    return f"year={year}/month={month}/day={day}"


def event_times(event_time: pa.Array, arrived: pa.Array) -> pa.Array:
    """The ``assay_event_time`` of n rows: arrival where the event's own time is missing or cannot be true.

    Args:
        event_time: timestamp[us, UTC][n], null where missing or not readable.
        arrived: timestamp[us, UTC][n], no nulls.

    Returns:
        timestamp[us, UTC][n]; arrival where the event is null, before 1970 or beyond arrival + 1 day.
    """
    micros = event_time.cast(pa.int64())
    limit = pc.add(arrived.cast(pa.int64()), DAY_US)
    good = pc.and_(pc.greater_equal(micros, 0), pc.less_equal(micros, limit))
    return pc.if_else(pc.fill_null(good, False), event_time, arrived)


def day_numbers(times: pa.Array) -> pa.Array:
    """Days since 1970-01-01 (UTC) of n times not before 1970, int32[n]."""
    return pc.divide(times.cast(pa.int64()), DAY_US).cast(pa.int32())


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: the directory is gone or may not be opened.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
