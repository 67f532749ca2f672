"""Files as a kind of source for Spark: which ones there are, what is missing of them, cut into splits."""

from __future__ import annotations

import glob
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.sources.catalogue import Catalogue, KnownFile
from actors.sources.chunk import RefusedFrom
from actors.sources.formats import refuse_encoding
from actors.sources.identity import Fingerprint
from actors.sources.reading import quarantine
from bridge.engine.cutting import cut
from bridge.engine.splits import Split, SplitReader, bins
from bridge.engine.tasks import STAGE_BYTES
from bridge.engine.work import Again, Trouble, Work
from config.models import FileSettings
from core.batch import Resume
from core.errors import BadFile, SourceUnavailable
from core.frame import QuarantineNote
from core.ports import SourceStatistics
from core.ranges import Ranges
from core.signals import Signal, signal
from store.staged import StagedPart

if TYPE_CHECKING:
    from bridge.engine.file_stream import FileStream
    from bridge.engine.kinds import Given

SMALLEST_SPLIT, LARGEST_SPLIT = 4 << 20, 32 << 20


@dataclass(frozen=True, slots=True)
class Splits:
    """``Work.items`` of files."""

    splits: tuple[Split, ...]
    refused: tuple[Trouble, ...] = ()
    """Known from an earlier try."""


class FileKind:
    """See ``bridge.engine.work.Kind``. Made anew for each epoch.

    Args:
        follow: True: a file is taken once it has settled, and looked for again and again.
        fields: what the dataset's schema says.
        say: told of signals, from any thread.
        cores: tasks that run side by side.
    """

    def __init__(
        self, name: str, settings: FileSettings, *, follow: bool, fields: Mapping[str, frozenset[str]],
        say: Callable[[Signal], None], cores: int = 2,
    ) -> None:  # fmt: skip
        self._name, self._settings, self._follow, self._fields = name, settings, follow, fields
        self._tell, self._cores = say, cores
        self._catalogue = Catalogue(settings.path, settings.root, self._say)
        self._stored: dict[str, Ranges] = {}
        self._known: dict[str, KnownFile] = {}
        self._files: list[KnownFile] = []
        self._ready: deque[KnownFile] = deque()
        self._cutting: tuple[KnownFile, Iterator[Split]] | None = None
        self._cut: dict[str, tuple[int, int, int]] = {}
        """Partition -> identity of its file when all of it was planned."""
        self._scanned_at = float("-inf")
        self._said: set[tuple[str, str]] = set()

    def restore(self, resume: Resume) -> None:
        """See ``Kind``. A glob without a match is E201 in batch, a warning when following."""
        refuse_encoding(self._settings)
        self._catalogue.restore(resume)
        self._stored = {partition: ranges.copy() for partition, ranges in resume.coverage.items()}
        self._scan()
        if not self._files:
            message = f"`{self._settings.path}` matches no file (looked from `{Path.cwd()}`); check the path"
            if not self._follow:
                raise SourceUnavailable(message, "E201")
            self._say("assay.source.waiting", self._name, message + "; waiting for one", level="warning")

    def plan(self, limit_bytes: int) -> Work | None:
        """See ``Kind``."""
        splits = self.splits(limit_bytes)
        return self.work(splits) if splits else None

    def splits(self, limit_bytes: int) -> list[Split]:
        """What is to be read next, in reading order."""
        if time.monotonic() - self._scanned_at >= self._settings.poll_interval_s:
            self._scan()
        found: list[Split] = []
        weight = 0
        for attempt in range(2):
            while weight < limit_bytes and (split := self._next(limit_bytes)) is not None:
                found.append(split)
                weight += split.weight
            if found or self._follow or attempt:
                break
            self._scan()  # what came while the rest was read
        return found

    def work(self, splits: Sequence[Split], refused: Sequence[Trouble] = ()) -> Work:
        """Splits as one work."""
        grouped = bins(splits, self._cores, STAGE_BYTES)
        tasks = len(grouped)
        return Work(
            frame=lambda spark: spark.range(0, tasks, 1, max(1, tasks)),
            reader=SplitReader(grouped, self._settings, self._fields), tasks=tasks,
            size_bytes=sum(split.weight for split in splits),
            partitions=frozenset(split.partition for split in splits),
            items=Splits(tuple(splits), tuple(refused)),
        )  # fmt: skip

    def holds(self, split: Split) -> bool:
        """Whether a split that was planned earlier is still of the file as it is."""
        known = self._known.get(split.partition)
        return known is not None and known.present and not known.refused and known.inode == split.inode

    def settle(
        self, work: Work, troubles: Sequence[Trouble], parts: Sequence[StagedPart]
    ) -> list[StagedPart]:
        """See ``Kind``: refused files are quarantined with their reason; what was staged of them behind it is not kept."""
        items: Splits = work.items
        refused = [trouble for trouble in troubles if trouble.what == "refused"] + list(items.refused)
        first: dict[str, Trouble] = {}
        for trouble in refused:
            if trouble.partition not in first or trouble.start < first[trouble.partition].start:
                first[trouble.partition] = trouble
        behind = {
            partition for part in parts for partition, start, _ in part.covers
            if partition in first and start >= first[partition].start
        }  # fmt: skip
        if behind:
            raise Again(self.work(_before(items.splits, first), list(first.values())))
        for trouble in troubles:
            if trouble.what == "gone":
                self._forget(trouble)
        return [self._refuse(trouble, parts) for trouble in first.values()]

    def committed(self, work: Work, parts: Sequence[StagedPart]) -> None:
        """See ``Kind``."""
        for part in parts:
            for partition, start, stop in part.covers:
                self._stored.setdefault(partition, Ranges()).add(start, stop)
            for partition, mark in part.marks.items():
                self._absorb(partition, mark)

    def statistics(self) -> SourceStatistics:
        """See ``Kind``."""
        done = [known for known in self._files if self._is_stored(known)]
        waiting = [known.noticed_at for known in self._files if not self._is_stored(known) and known.size]
        return SourceStatistics(
            lag_seconds=time.monotonic() - min(waiting) if waiting else 0.0,
            bytes_read=sum(self._bytes_stored(known) for known in self._files),
            bytes_total=sum(known.size for known in self._files), partitions=len(self._catalogue),
            detail=f"{len(done)} of {len(self._files)} files",
        )  # fmt: skip

    def close(self) -> None:
        """See ``Kind``."""
        cutting, self._cutting = self._cutting, None
        if cutting is not None:
            cutting[1].close()  # type: ignore[attr-defined]  # a generator; its file is closed with it

    # --- looking and cutting --------------------------------------------------------------------------------------

    def _scan(self) -> None:
        now = self._scanned_at = time.monotonic()
        try:
            self._files = self._catalogue.scan(now)
        except OSError as error:
            raise SourceUnavailable(
                f"`{self._settings.path}` cannot be listed: {error.strerror}", "E200"
            ) from error
        self._known.update((known.partition, known) for known in self._files)
        current = self._cutting[0] if self._cutting else None
        self._ready = deque(known for known in self._files if known is not current and self._is_due(known))

    def _is_due(self, known: KnownFile) -> bool:
        if known.refused or self._cut.get(known.partition) == known.identity or not self._is_settled(known):
            return False
        if known.size == 0:
            self._once("assay.file.empty", known.file, f"`{known.file}` is empty")
        return known.size > 0

    def _is_settled(self, known: KnownFile) -> bool:
        """Whether nobody writes to it any more: unchanged for ``settle_s``, by our own clock or by its time stamp."""
        settle_s = self._settings.settle_s
        if not self._follow or time.monotonic() - known.changed_at >= settle_s:
            return True
        return settle_s <= time.time() - known.mtime_ns / 1e9

    def _next(self, limit_bytes: int) -> Split | None:
        """The next split of any file; None: nothing now."""
        while True:
            if self._cutting is None:
                if not self._ready:
                    return None
                known = self._ready.popleft()
                self._cutting = (
                    known,
                    cut(known, self._catalogue.root, self._settings, self._split_bytes(limit_bytes)),
                )
            known, splits = self._cutting
            try:
                split = next(splits, None)
            except FileNotFoundError:
                self._gone(known.file, f"`{known.file}` was gone before it could be read")
                self._cutting = None
                continue
            except OSError as error:
                self._cutting = None
                raise SourceUnavailable(
                    f"`{known.file}` cannot be read now: {error.strerror}", "E208"
                ) from error
            if split is not None:
                return split
            self._cut[known.partition] = known.identity
            self._cutting = None

    def _split_bytes(self, limit_bytes: int) -> int:
        """So that every core has some work of what is there."""
        left = sum(max(0, known.size - known.covered.total) for known in [*self._ready, *self._files[:1]])
        fair = min(left, limit_bytes) // (2 * self._cores)
        return max(min(SMALLEST_SPLIT, limit_bytes), min(LARGEST_SPLIT, fair))

    # --- what came of it ------------------------------------------------------------------------------------------

    def _forget(self, trouble: Trouble) -> None:
        known = self._known[trouble.partition]
        known.covered = self._stored.get(trouble.partition, Ranges()).copy()
        self._cut.pop(trouble.partition, None)
        self._gone(known.file, trouble.message)

    def _refuse(self, trouble: Trouble, parts: Sequence[StagedPart]) -> StagedPart:
        known = self._known[trouble.partition]
        stored = self._stored.get(trouble.partition, Ranges()).copy()
        for part in parts:
            stored.update(
                (start, stop) for partition, start, stop in part.covers if partition == trouble.partition
            )
            if mark := part.marks.get(trouble.partition):
                self._absorb(trouble.partition, mark)
        kind = RefusedFrom if "start" in trouble.facts else BadFile
        covers, note = quarantine(known, kind(trouble.message, trouble.code, trouble.facts), stored)
        self._say("assay.file.quarantined", known.file, note.reason, level="error", file=note.what, records=0)
        return StagedPart(
            covers=[(trouble.partition, start, stop) for start, stop in covers],
            marks={trouble.partition: known.mark()},
            quarantined=[QuarantineNote(note.what, note.reason, note.records, note.bytes_unread, note.path)],
        )  # fmt: skip

    def _absorb(self, partition: str, mark: Mapping[str, Any]) -> None:
        """Know of a file what the task that read it knew."""
        known = self._known.get(partition)
        if known is not None:
            known.print = Fingerprint.from_mark(dict(mark)) or known.print
            known.line = (int(mark.get("at", 0)), int(mark.get("line", 1)))
            known.parts = known.parts or bool(mark.get("parts"))

    def _is_stored(self, known: KnownFile) -> bool:
        stored = self._stored.get(known.partition, Ranges())
        return known.refused or (known.limit > 0 and stored.covers(0, known.limit))

    def _bytes_stored(self, known: KnownFile) -> int:
        stored = self._stored.get(known.partition, Ranges())
        return min(known.size, known.size * stored.total // known.limit if known.limit else stored.total)

    # --- what it says ---------------------------------------------------------------------------------------------

    def _say(self, kind: str, subject: str, message: str, **facts: Any) -> None:
        self._tell(signal(kind, subject, message, source=f"/sources/{self._name}", **facts))

    def _gone(self, file: str, message: str) -> None:
        self._once("assay.file.vanished", file, message, level="warning")

    def _once(self, kind: str, subject: str, message: str, **facts: Any) -> None:
        if (kind, subject) not in self._said:
            self._said.add((kind, subject))
            self._say(kind, subject, message, **facts)


def _before(splits: Sequence[Split], refused: Mapping[str, Trouble]) -> list[Split]:
    """The splits without what lies behind the place where their file was refused."""
    cut_short = (
        split.before(refused[split.partition].start) if split.partition in refused else split
        for split in splits
    )
    return [split for split in cut_short if split is not None]


def batch(given: Given) -> FileKind:
    """See ``bridge.engine``."""
    return FileKind(
        given.name, given.settings, follow=given.follow, fields=given.fields, say=given.say, cores=given.cores
    )


def stream(given: Given) -> FileStream:
    """See ``bridge.engine``."""
    from bridge.engine.file_stream import FileStream

    return FileStream(batch(given), given.folder, given.limit_bytes)


def record_bytes(settings: FileSettings) -> int:
    """About how large a record is, by the first lines of the first file."""
    for path in sorted(glob.iglob(settings.path, recursive=True))[:1]:  # noqa: PTH207 - as the catalogue does
        with suppress(OSError), Path(path).open("rb") as file:
            head = file.read(65_536)
            return max(1, len(head) // max(1, head.count(b"\n"))) if head else 256
    return 256
