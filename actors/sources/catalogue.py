"""The files a glob names, and which of them are which: new, grown, renamed, replaced, gone."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from actors.sources.identity import Fingerprint, partition_of
from core.batch import Mark, Resume
from core.errors import BadFile
from core.ranges import Ranges

Say = Callable[..., None]
"""``say(kind, subject, message, level=…, **facts)``"""


@dataclass(slots=True, eq=False)
class KnownFile:
    """One partition: a path and a generation of it, and what has been read."""

    partition: str
    file: str
    """Path relative to the root; what people see and ids are made from."""
    generation: int
    path: str = ""
    inode: int = 0
    size: int = 0
    mtime_ns: int = 0
    covered: Ranges = field(default_factory=Ranges)
    print: Fingerprint | None = None
    line: tuple[int, int] = (0, 1)
    """(offset, number of the line that begins there)"""
    refused: bool = False
    """The file was quarantined as it is; a changed one is a new generation."""
    parts: bool = False
    """Records of it were delivered, so that being refused cannot be undone by a new generation."""
    present: bool = False
    changed_at: float = 0.0
    noticed_at: float = 0.0
    limit: int = 0
    """Where its ordinals end, as far as that is known."""

    @property
    def identity(self) -> tuple[int, int, int]:
        """Changes whenever the file may have."""
        return self.inode, self.size, self.mtime_ns

    @property
    def is_read(self) -> bool:
        """Whether nothing is left of it, as far as is known."""
        return self.limit > 0 and self.covered.covers(0, self.limit)

    def mark(self) -> Mark:
        """What is committed with its records."""
        known: Mark = {
            "path": self.file, "generation": self.generation, "inode": self.inode, "length": self.size,
            "at": self.line[0], "line": self.line[1], "refused": self.refused, "parts": self.parts,
        }  # fmt: skip
        return known | (self.print.as_mark() if self.print else {})


class Catalogue:
    """All files of a source, by partition."""

    def __init__(self, pattern: str, root: Path | None, say: Say) -> None:
        self._pattern = str(Path(pattern).absolute())
        self._base = str(root.absolute()) if root else fixed_part(self._pattern)
        self.root = os.path.realpath(self._base)
        self._say = say
        self._gone: set[str] = set()
        self._by_partition: dict[str, KnownFile] = {}
        self._by_file: dict[str, KnownFile] = {}

    def restore(self, resume: Resume) -> None:
        """Know again what was stored."""
        for partition in {*resume.coverage, *resume.marks}:
            mark = resume.marks.get(partition, {})
            covered = resume.coverage.get(partition, Ranges()).copy()
            known = KnownFile(
                partition, str(mark.get("path", "")), int(mark.get("generation", 0)), covered=covered
            )
            known.inode, known.size = int(mark.get("inode", 0)), int(mark.get("length", 0))
            known.print = Fingerprint.from_mark(mark)
            known.line = (int(mark.get("at", 0)), int(mark.get("line", 1)))
            known.refused = bool(mark.get("refused", False))
            known.parts = bool(mark.get("parts", covered))
            self._by_partition[partition] = known
            newest = self._by_file.get(known.file)
            if known.file and (newest is None or newest.generation < known.generation):
                self._by_file[known.file] = known

    def __iter__(self) -> Iterator[KnownFile]:
        return (known for known in self._by_file.values() if known.present)

    def __len__(self) -> int:
        return len(self._by_partition)

    def scan(self, now: float) -> list[KnownFile]:
        """Look again. Returns the files that are there, by path."""
        found = self._look()
        self._follow_renames(found)
        for known in self._by_file.values():
            known.present = known.file in found
        return [self._admit(file, path, status, now) for file, (path, status) in found.items()]

    def _look(self) -> dict[str, tuple[str, os.stat_result]]:
        found = {}
        for path in sorted(glob.iglob(self._pattern, recursive=True)):  # noqa: PTH207 - three times as fast as Path.glob
            file = words(os.path.relpath(path, self._base))
            try:
                status = os.stat(path)  # noqa: PTH116
            except FileNotFoundError:
                if file not in self._gone:
                    self._gone.add(file)
                    message = f"`{file}` was gone before it could be read"
                    self._say("assay.file.vanished", file, message, level="warning")
                continue
            except OSError:
                status = os.lstat(path)  # a loop of links, a directory that may not be entered: opening tells
            if not stat.S_ISDIR(status.st_mode):
                found[file] = (path, status)
        return found

    def _follow_renames(self, found: dict[str, tuple[str, os.stat_result]]) -> None:
        """The same inode and bytes under a new name keep their partition, if the old name has gone to another file."""
        strange = {file: at for file, at in found.items() if not self._holds(file, at[1])}
        if not strange:
            return
        by_inode: dict[int, list[KnownFile]] = {}
        for known in self._by_partition.values():
            if known.inode and known.print:
                by_inode.setdefault(known.inode, []).append(known)
        moves = []
        for file, (path, status) in strange.items():
            candidates = [
                known for known in by_inode.get(status.st_ino, ())
                if not self._is_at_home(known, found) and _is_still(known, path, status)
            ]  # fmt: skip
            if candidates:
                moves.append(
                    (max(candidates, key=lambda known: known.print.crc_end if known.print else 0), file)
                )
        for was, _ in moves:
            if self._by_file.get(was.file) is was:
                del self._by_file[was.file]
        for was, file in moves:
            self._say(
                "assay.file.renamed", file, f"`{was.file}` is now called `{file}`; it goes on where it stood"
            )
            was.file = file
            self._by_file[file] = was

    def _holds(self, file: str, status: os.stat_result) -> bool:
        """Whether the file of that name is the one that was known by it, as far as its inode tells."""
        holder = self._by_file.get(file)
        return holder is not None and holder.inode == status.st_ino

    def _is_at_home(self, known: KnownFile, found: dict[str, tuple[str, os.stat_result]]) -> bool:
        """Whether the file is still under its own name: then the same inode elsewhere is a hard link, and a copy."""
        there = found.get(known.file)
        return there is not None and there[1].st_ino == known.inode and self._by_file.get(known.file) is known

    def _admit(self, file: str, path: str, status: os.stat_result, now: float) -> KnownFile:
        known = self._by_file.get(file)
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        if known is None:
            known = self._by_partition.get(partition_of(file, 0))
            if known is None or known.file:  # covered without a mark (another reader's): the same file
                known = self._new(file)
            known.file = file
            self._by_file[file] = known
        elif known.identity != identity and not _is_still(known, path, status):
            known = self._replaced(known)
        if known.identity != identity or not known.path:
            if not known.noticed_at or known.is_read:
                known.noticed_at = now
            known.changed_at = now
        known.path, known.present = path, True
        known.inode, known.size, known.mtime_ns = identity
        return known

    def _replaced(self, known: KnownFile) -> KnownFile:
        newer = self._new(known.file, known.generation + 1)
        self._by_file[known.file] = newer
        left = sum(b - a for a, b in known.covered.complement(0, known.limit))
        self._say(
            "assay.file.replaced", known.file,
            f"`{known.file}` is not the file it was (generation {newer.generation}); it is read from its beginning",
            level="warning", generation=newer.generation, unread=left,
        )  # fmt: skip
        return newer

    def _new(self, file: str, generation: int = 0) -> KnownFile:
        while partition_of(file, generation) in self._by_partition:
            generation += 1
        made = KnownFile(partition_of(file, generation), file, generation)
        self._by_partition[made.partition] = made
        return made


def open_inside(known: KnownFile, root: str) -> int:
    """A descriptor of the file, its links resolved, if it lies below ``root``.

    Raises:
        BadFile: it lies elsewhere, or may not be read.
        FileNotFoundError: it is gone.
    """
    real = os.path.realpath(known.path)
    if not Path(real).is_relative_to(root):
        raise BadFile(
            f"`{known.file}` is a link that leads out of `{root}`; put the file there, or widen `root`",
            "E203",
        )
    try:
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise BadFile(
            f"`{known.file}` cannot be read: {why}; give this user the right to read it", "E204"
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadFile(f"`{known.file}` is not a regular file", "E204")
    return fd


def fixed_part(pattern: str) -> str:
    """The directory before a glob's first wildcard.

    >>> fixed_part("/data/in/2024-*/x.csv"), fixed_part("/data/in/x.csv")
    ('/data/in', '/data/in')
    """
    parts = Path(pattern).parts
    fixed = [
        part
        for index, part in enumerate(parts[:-1])
        if not any(glob.has_magic(p) for p in parts[: index + 1])
    ]
    return str(Path(*fixed))


def words(path: str) -> str:
    """A path as text that any encoding can hold."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace(os.sep, "/")


def _is_still(known: KnownFile, path: str, status: os.stat_result) -> bool:
    """Whether the file at ``path`` begins with all that was read of ``known``."""
    if known.refused and not known.parts:
        return known.size == status.st_size and (known.mtime_ns in (0, status.st_mtime_ns))
    if known.print is None:
        return status.st_size >= known.covered.end or not known.parts
    if status.st_size < known.print.crc_end:
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return True  # opening it to read tells why
    try:
        return known.print.matches(fd)
    finally:
        os.close(fd)
