"""The commit log: manifests in order, attachments beside them, a checkpoint every 1,000 commits.

``commits/000000000001.json`` is commit 1. ``commits/checkpoint-000000001000.json`` is the state after commit 1000
(a line with its CRC-32, then JSON): start-up reads the newest whole one and the manifests after it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.batch import Mark, Resume
from core.errors import StoreUnavailable
from core.ledger import Counts
from core.ranges import Ranges
from store.layout import fsync_directory
from store.manifest import FORMAT_VERSION, FileEntry, Manifest, check_version, damaged, decode, encode

CHECKPOINT_EVERY = 1000


class LiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that holds rows now, and the commit it came with."""

    commit: int
    entry: FileEntry


class State:
    """All manifests up to ``commit``, folded; and those after a number that is reserved and still open."""

    def __init__(self) -> None:
        self.commit = 0
        """All numbers up to this one are there."""
        self.ahead: set[int] = set()
        """Folded numbers beyond the first hole."""
        self.coverage: dict[str, dict[str, Ranges]] = {}
        self.marks: dict[str, dict[str, Mark]] = {}
        self.attachments: dict[str, dict[str, str]] = {}
        self.counts: dict[str, Counts] = {}
        self.epochs: dict[str, int] = {}
        self.files: list[LiveFile] = []
        self.refused: dict[str, dict[str, int]] = {}
        """source -> ``files`` that were quarantined, and their ``bytes`` that were not read"""

    def add(self, manifest: Manifest) -> None:
        """Fold in a manifest: the next one, or the one of a number that was reserved."""
        self._count(manifest.commit)
        for source, partitions in manifest.covers.items():
            known = self.coverage.setdefault(source, {})
            for partition, ranges in partitions.items():
                known.setdefault(partition, Ranges()).update(ranges)
        for source, marks in manifest.marks.items():
            self.marks.setdefault(source, {}).update(marks)
        for source, names in manifest.attachments.items():
            self.attachments.setdefault(source, {}).update(names)
        for source, counts in manifest.counts.items():
            self.counts[source] = self.counts.get(source, Counts()) + counts
        for origin in manifest.origin:
            self.epochs[origin.source] = max(origin.epoch, self.epochs.get(origin.source, 0))
        for note in manifest.quarantined:
            so_far = self.refused.get(note.source, {"files": 0, "bytes": 0})
            self.refused[note.source] = {
                "files": so_far["files"] + 1, "bytes": so_far["bytes"] + note.bytes_unread,
            }  # fmt: skip
        self.files.extend(LiveFile(commit=manifest.commit, entry=entry) for entry in manifest.files)

    @property
    def newest(self) -> int:
        """The largest number folded in."""
        return max(self.ahead, default=self.commit)

    def _count(self, number: int) -> None:
        if number > self.commit + 1:
            self.ahead.add(number)
            return
        self.commit = max(number, self.commit)
        while self.commit + 1 in self.ahead:
            self.commit += 1
            self.ahead.remove(self.commit)

    def covered(self, source: str, partition: str) -> Ranges:
        """What is stored of a partition; an empty set if nothing is."""
        return self.coverage.get(source, {}).get(partition, Ranges())


class _Checkpoint(msgspec.Struct, kw_only=True):
    v: int = FORMAT_VERSION
    commit: int
    coverage: dict[str, dict[str, list[tuple[int, int]]]]
    marks: dict[str, dict[str, Mark]]
    attachments: dict[str, dict[str, str]]
    counts: dict[str, Counts]
    epochs: dict[str, int] = {}
    files: list[LiveFile]
    refused: dict[str, dict[str, int]] = {}

    @classmethod
    def of(cls, state: State) -> _Checkpoint:
        coverage = {s: {p: list(r) for p, r in found.items()} for s, found in state.coverage.items()}
        return cls(
            commit=state.commit, coverage=coverage, marks=state.marks, attachments=state.attachments,
            counts=state.counts, epochs=state.epochs, files=state.files,
            refused=state.refused,
        )  # fmt: skip

    def state(self) -> State:
        state = State()
        state.commit, state.marks, state.attachments = self.commit, self.marks, self.attachments
        state.counts, state.epochs, state.files = self.counts, self.epochs, self.files
        state.refused = self.refused
        state.coverage = {s: {p: Ranges(r) for p, r in found.items()} for s, found in self.coverage.items()}
        return state


class CommitLog:
    """The manifests below one data directory. One writer appends; anybody may read at the same time.

    Nothing is made on disk before the first ``append``.
    """

    def __init__(self, root: Path) -> None:
        self.directory = root / "commits"
        self.attachments = self.directory / "attachments"

    def path(self, commit: int) -> Path:
        """Where a commit's manifest lies."""
        return self.directory / f"{commit:012d}.json"

    def reserved_path(self, commit: int) -> Path:
        """Where it is written that a number is reserved (``store.reserving``)."""
        return self.directory / f"{commit:012d}.reserved"

    def numbers(self) -> list[int]:
        """Numbers of all commits, in order."""
        try:
            names = [path.name for path in self.directory.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name[:12]) for name in names if len(name) == 17 and name[:12].isdigit())

    def last(self) -> int:
        """Number of the newest commit, 0 if none. Costs one listing."""
        numbers = self.numbers()
        return numbers[-1] if numbers else 0

    def whole(self) -> int:
        """The number up to which there is no hole: what readers of the log come to. Costs one listing."""
        numbers = set(self.numbers())
        try:
            markers = [int(path.stem) for path in self.directory.iterdir() if path.suffix == ".reserved"]
        except FileNotFoundError:
            return 0
        last = max(numbers, default=0)
        return min([number - 1 for number in markers if not self.path(number).exists()] + [last])

    def read(self, commit: int) -> Manifest:
        """One manifest.

        Raises:
            StoreUnavailable: E701 newer format, E702 damaged or missing.
        """
        path = self.path(commit)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise damaged(str(path), error.strerror) from error
        return decode(data, str(path))

    def after(self, commit: int, limit: int = 1000) -> Sequence[Manifest]:
        """Up to ``limit`` manifests with larger numbers, in order. Stops before a number that is reserved
        and still open: what it gives is a prefix of the log.

        Raises:
            StoreUnavailable: as ``read``.
        """
        found: list[Manifest] = []
        while len(found) < limit and self.path(commit + 1).exists():
            commit += 1
            found.append(self.read(commit))
        return found

    def state(self) -> State:
        """All commits folded: newest whole checkpoint, then the manifests after it, but for open reservations.

        Raises:
            StoreUnavailable: a manifest after the checkpoint is damaged or missing, or of a newer format.
        """
        state = self._newest_checkpoint()
        for number in range(state.commit + 1, self.last() + 1):
            if self.path(number).exists() or not self.reserved_path(number).exists():
                state.add(self.read(number))  # a marker goes after its manifest has come
        return state

    def append(self, manifest: Manifest) -> Manifest:
        """Write the next manifest; on return the commit is durable and can be seen.

        Returns:
            ``manifest``; or what is there already, when an earlier try with the same frames wrote it and then failed.

        Raises:
            StoreUnavailable: E703 the log takes no writes, E704 somebody else wrote this number.
        """
        path = self.path(manifest.commit)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            try:
                _publish(write_synced(path.with_suffix(".tmp"), encode(manifest)), path)
            except FileExistsError as error:
                manifest = self._mine(manifest, error)
            fsync_directory(self.directory)
        except OSError as error:
            raise unwritable(self.directory, error) from error
        return manifest

    def _mine(self, manifest: Manifest, error: FileExistsError) -> Manifest:
        there = self.read(manifest.commit)
        if (there.origin, there.covers) == (manifest.origin, manifest.covers):
            return there
        raise StoreUnavailable(
            f"commit {manifest.commit} is already in `{self.directory}`: another writer is at work there; "
            "end it, then start again", code="E704",
        ) from error  # fmt: skip

    def attach(self, source: str, name: str, content: bytes) -> str:
        """Store an attachment before the manifest that names it; returns its file name.

        Raises:
            StoreUnavailable: E703.
        """
        digest = hashlib.sha256(source.encode() + b"\0" + name.encode() + b"\0" + content).hexdigest()[:32]
        try:
            self.attachments.mkdir(parents=True, exist_ok=True)
            if not (self.attachments / digest).exists():
                temporary = write_synced(self.attachments / f"{digest}.tmp", content)
                temporary.replace(self.attachments / digest)
            fsync_directory(self.attachments)
        except OSError as error:
            raise unwritable(self.attachments, error) from error
        return digest

    def resume(self, source: str, state: State) -> Resume:
        """Where a source goes on.

        Raises:
            StoreUnavailable: E702 an attachment cannot be read.
        """
        found: dict[str, bytes] = {}
        for name, file in state.attachments.get(source, {}).items():
            try:
                found[name] = (self.attachments / file).read_bytes()
            except OSError as error:
                raise damaged(str(self.attachments / file), error.strerror) from error
        coverage = {p: r.copy() for p, r in state.coverage.get(source, {}).items()}
        return Resume(coverage=coverage, marks=dict(state.marks.get(source, {})), attachments=found)

    def checkpoint(self, state: State) -> None:
        """Write the state down; keeps the two newest checkpoints. A failure costs only start-up time."""
        body = msgspec.json.encode(_Checkpoint.of(state))
        path = self.directory / f"checkpoint-{state.commit:012d}.json"
        try:
            write_synced(path.with_suffix(".tmp"), b"%08x\n" % zlib.crc32(body) + body).replace(path)
            fsync_directory(self.directory)
            for old in self._checkpoints()[2:]:
                old.unlink(missing_ok=True)
        except OSError:
            return

    def _checkpoints(self) -> list[Path]:
        return sorted(self.directory.glob("checkpoint-*.json"), reverse=True)

    def _newest_checkpoint(self) -> State:
        for path in self._checkpoints():
            try:
                return read_checkpoint(path)
            except StoreUnavailable as error:
                if error.code == "E701":
                    raise
        return State()


def read_checkpoint(path: Path) -> State:
    """Read one checkpoint.

    Raises:
        StoreUnavailable: E701 newer format, E702 damaged.
    """
    try:
        crc, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise damaged(str(path), error.strerror) from error
    if crc != b"%08x" % zlib.crc32(body):
        raise damaged(str(path), "its checksum does not fit")
    check_version(body, str(path))
    try:
        return msgspec.json.decode(body, type=_Checkpoint).state()
    except msgspec.DecodeError as error:
        raise damaged(str(path), error) from error


def write_synced(path: Path, content: Any) -> Path:
    """Write a file and make its bytes durable (its name is not, before its directory is synced).

    Raises:
        OSError: as the system says.
    """
    with path.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    return path


def unwritable(directory: Path, error: OSError) -> StoreUnavailable:
    """The error for a directory of ours that refuses."""
    return StoreUnavailable(
        f"`{directory}` takes no writes ({error.strerror}): free space or give write permission; "
        "nothing is lost, Assay tries again", code="E703", facts={"errno": error.errno},
    )  # fmt: skip


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its final name, only if nobody has it."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP}:
            raise
        if path.exists():  # a file system without hard links; writer.lock keeps others out
            raise FileExistsError(errno.EEXIST, "exists", str(path)) from error
        temporary.replace(path)
        return
    temporary.unlink()


def sum_counts(counts: Mapping[str, Counts]) -> Counts:
    """All sources' counts added up."""
    total = Counts()
    for one in counts.values():
        total = total + one
    return total
