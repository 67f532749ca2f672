"""Bringing staged files to their place: the warehouse's staging, the fallback, renames, and recovery of them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.aggregation import is_aggregate
from core.errors import StoreUnavailable
from store.layout import STAGING, Layout, commit_of, fsync_directory
from store.log import CommitLog, LiveFile
from store.manifest import FileEntry, Manifest

STRAYS_KEPT = 256
"""Closed numbers whose late files are looked for, at most."""

Place = Literal["warehouse", "fallback"]


@dataclass(slots=True)
class Recovered:
    """What a start-up found to do."""

    renamed: int = 0
    swept: int = 0
    waiting: int = 0
    names: list[str] = field(default_factory=list)
    """The files, as a person should read them."""


class Places:
    """Where files are staged and how they come home. Staging is safe in threads, the rest is for one thread."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.waiting: list[LiveFile] = []
        """Committed files that are not in their place yet, oldest first."""
        self.refusals: dict[str, str] = {}
        """table -> why its directory refused last time."""
        self._strays: dict[int, frozenset[Path]] = {}
        """Numbers staged for elsewhere and closed now -> the staged files of theirs that still wait to come home."""
        self._known: set[Path] = set()
        self._lock = threading.Lock()

    def stage(self, table: str, name: str, write: Callable[[Path], None]) -> tuple[Place, Path]:
        """Write one file below the table's staging, or below the fallback's if that refuses.

        Raises:
            StoreUnavailable: E706, both refuse.
        """
        relative = self.relative_staged(table, name)
        try:
            path = self._ready(self.layout.warehouse / relative)
            write(path)
        except OSError as error:
            refusal = f"`{self.layout.warehouse / table}`: {error.strerror or error}"
        else:
            self.refusals.pop(table, None)
            return "warehouse", path
        self.refusals[table] = refusal
        try:
            path = self._ready(self.layout.fallback / relative)
            write(path)
        except OSError as error:
            second = f"`{self.layout.fallback}`: {error.strerror or error}"
            raise StoreUnavailable(
                f"neither warehouse nor fallback takes files ({refusal}; {second}): free space or give write "
                "permission; the data are safe at the source and Assay tries again", code="E706",
            ) from error  # fmt: skip
        return "fallback", path

    def sync_staging(self, entries: Iterable[FileEntry]) -> None:
        """Make the names of staged files durable.

        Raises:
            StoreUnavailable: E706.
        """
        for directory in {self.staged_path(entry).parent for entry in entries}:
            try:
                fsync_directory(directory)
            except OSError as error:
                raise StoreUnavailable(
                    f"`{directory}` cannot be synced ({error.strerror}): Assay tries again", code="E706"
                ) from error

    def bring_home(self, files: Iterable[LiveFile]) -> None:
        """Rename committed files into their partitions; what refuses waits."""
        self.waiting += [live for live in files if not self._home(live.entry)]

    def move_home(self) -> int:
        """Try the waiting files again; returns how many came home."""
        before = len(self.waiting)
        self.waiting = [live for live in self.waiting if not self._home(live.entry)]
        return before - len(self.waiting)

    def sweep(self, number: int, manifest: Manifest) -> int:
        """Remove what was staged for a closed number and is not in its manifest; how many files that were.

        A task that does not know yet may still write such a file: ``sweep_late`` looks again.
        """
        self._strays[number] = frozenset(self.staged_path(entry) for entry in manifest.files)
        for old in sorted(self._strays)[:-STRAYS_KEPT]:
            del self._strays[old]
        return self.sweep_late()

    def sweep_late(self) -> int:
        """Look again for files of numbers that ``sweep`` was asked for. Costs two listings."""
        removed = 0
        for place in (self.layout.warehouse, self.layout.fallback) if self._strays else ():
            for path in staged_files(place):
                kept = self._strays.get(commit_of(path.name) or 0)
                if kept is not None and path not in kept:
                    removed += _removed(path)
        return removed

    def staged_path(self, entry: FileEntry) -> Path:
        """Where the file was staged."""
        return (self.layout.fallback if entry.place == "fallback" else self.layout.warehouse) / entry.staged

    def final_path(self, entry: FileEntry) -> Path:
        """Where it belongs."""
        return self.layout.warehouse / entry.path

    def found_path(self, entry: FileEntry) -> Path | None:
        """Where it is now; None if it is in neither place."""
        return next(
            (path for path in (self.final_path(entry), self.staged_path(entry)) if path.exists()), None
        )

    @staticmethod
    def relative_staged(table: str, name: str) -> str:
        """``gold_flights/_staging/c000000000012-0.parquet``."""
        return f"{table}/{STAGING}/{name}"

    def _home(self, entry: FileEntry) -> bool:
        """Put one file in place, whatever was done before; False if something refuses."""
        staged, final = self.staged_path(entry), self.final_path(entry)
        try:
            if final.exists():
                if entry.place == "fallback":
                    staged.unlink(missing_ok=True)
                return True
            self._make(final.parent)
            if entry.place == "warehouse":
                staged.replace(final)
            else:
                self._copy_home(staged, final, entry)
        except OSError as error:
            self.refusals[entry.table] = f"`{final.parent}`: {error.strerror or error}"
            return False
        self.refusals.pop(entry.table, None)
        return True

    def _copy_home(self, staged: Path, final: Path, entry: FileEntry) -> None:
        """From the fallback, which may be another disk: copied beside its place, synced, renamed, then forgotten."""
        beside = self._ready(self.layout.warehouse / entry.staged)
        shutil.copyfile(staged, beside)
        handle = os.open(beside, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(final)
        fsync_directory(final.parent)
        staged.unlink()

    def _ready(self, path: Path) -> Path:
        """``path``, with its directory made."""
        self._make(path.parent)
        return path

    def _make(self, directory: Path) -> None:
        with self._lock:
            if directory in self._known and directory.is_dir():
                return
            missing = list(_missing(directory))
            directory.mkdir(parents=True, exist_ok=True)
            for made in missing:
                fsync_directory(made.parent)
            self._known.add(directory)


def _missing(directory: Path) -> Iterator[Path]:
    """``directory`` and its parents that do not exist yet."""
    for path in (directory, *directory.parents):
        if path.exists():
            return
        yield path


def _removed(path: Path) -> bool:
    """Remove a file of nobody's; one that refuses is looked at again."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def staged_files(place: Path) -> Iterator[Path]:
    """Everything in the staging directories of the tables of a warehouse or fallback; aggregates keep their own."""
    found = place.glob(f"*/{STAGING}/*")
    yield from sorted(path for path in found if not is_aggregate(path.parent.parent.name))


def recover(layout: Layout, log: CommitLog, places: Places) -> Recovered:
    """Roll manifests forward and sweep what none names. Only staging is looked at: a renamed file is not there.

    Raises:
        StoreUnavailable: a manifest cannot be read.
    """
    done, last = Recovered(), log.last()
    named: dict[int, dict[str, FileEntry]] = {}
    for place in (layout.fallback, layout.warehouse):
        for path in staged_files(place):
            commit = commit_of(path.name)
            entry = None
            if commit is not None and 0 < commit <= last and log.path(commit).exists():
                if commit not in named:
                    named[commit] = {
                        places.relative_staged(e.table, _name(e)): e for e in log.read(commit).files
                    }
                entry = named[commit].get(str(path.relative_to(place)))
            done.names.append(str(path))
            if (
                entry is None or places.staged_path(entry) != path
            ):  # no manifest, or half a copy from the fallback
                path.unlink(missing_ok=True)
                done.swept += 1
                continue
            before = len(places.waiting)
            places.bring_home([LiveFile(commit=commit or 0, entry=entry)])
            done.renamed += len(places.waiting) == before
    for path in (
        *log.directory.glob("*.tmp"),
        *log.directory.glob("*.reserving"),
        *log.attachments.glob("*.tmp"),
    ):
        path.unlink(missing_ok=True)
        done.swept += 1
    done.waiting = len(places.waiting)
    return done


def _name(entry: FileEntry) -> str:
    return entry.staged.rpartition("/")[2]
