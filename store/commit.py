"""Committing a window of frames: stage, manifest (the commit point), rename. Every step can be repeated."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from core.crash import crashpoint, fault
from core.frame import Frame
from core.ledger import Counts
from schemas.columns import Column
from store import quarantine
from store.coverage import Delta, Fresh
from store.documents import Documents
from store.layout import Layout
from store.log import CHECKPOINT_EVERY, CommitLog, LiveFile, State
from store.manifest import DatasetNote, Manifest, Origin, Quarantine
from store.placing import Places, Recovered, recover
from store.staged import StagedFile
from store.staging import stage

ORDER_BROKEN = "fault-ack-before-commit"

PlanOf = Callable[[str, str], Sequence[Column]]
"""(dataset, schema ref ``subject:version``) -> the typed columns of its Silver and Gold tables."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one window."""

    manifest: Manifest | None
    """None: the window brought nothing new."""
    rows: int
    took_ms: float


class Committer:
    """The one writer of a data directory's commit log and tables. Blocking; one thread at a time.

    ``state`` is what the log holds; it changes only when a manifest is written. A failed ``commit`` may be repeated
    with the same frames.
    """

    def __init__(self, layout: Layout, plan: PlanOf, *, keep_raw: str = "all", threads: int = 2) -> None:
        self.layout = layout
        self.log = CommitLog(layout.root)
        self.state = State()
        self.places = Places(layout)
        self._plan = plan
        self._documents: dict[tuple[str, str], Documents] = {}
        self._keep_raw = keep_raw
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="staging")

    def recover(self) -> Recovered:
        """Read the log, put in place what a dead writer left, sweep what no manifest names.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        self.state = self.log.state()
        return recover(self.layout, self.log, self.places)

    def commit(self, frames: Sequence[Frame], at_us: int | None = None) -> Committed:
        """Store a window. On return it is durable and in place (or waits in the fallback, see ``places.waiting``).

        Raises:
            StoreUnavailable: neither warehouse nor fallback takes the files, or the log takes no writes; nothing
                of the window is committed.
        """
        began = time.perf_counter()
        delta = Delta(self.state)
        fresh = [delta.take(frame) for frame in frames]
        if not _brings(fresh, delta, self.state):
            return Committed(None, 0, (time.perf_counter() - began) * 1e3)
        number = self.state.commit + 1
        staged = stage(
            fresh, self.places, number, self._documents_of, keep_raw=self._keep_raw, pool=self._pool
        )
        manifest = self._manifest(number, at_us or time.time_ns() // 1000, fresh, delta, staged)
        if self._breaks_order():
            for file in staged:
                self.places.staged_path(file.entry).unlink()
        crashpoint("writer.staged")
        manifest = self.log.append(manifest)
        self.state.add(manifest)
        crashpoint("writer.manifest")
        files = [LiveFile(commit=number, entry=entry) for entry in manifest.files]
        self.places.bring_home(files[: len(files) // 2])
        crashpoint("writer.half-renamed")
        self.places.bring_home(files[len(files) // 2 :])
        crashpoint("writer.renamed")
        if number % CHECKPOINT_EVERY == 0:
            self.log.checkpoint(self.state)
        rows = sum(entry.rows for entry in manifest.files)
        return Committed(manifest, rows, (time.perf_counter() - began) * 1e3)

    def _breaks_order(self) -> bool:
        """Whether a test asked that one window of this directory be committed without being stored."""
        mark = self.layout.state / ORDER_BROKEN
        if not fault("ack-before-commit") or mark.exists():
            return False
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        return True

    def move_home(self) -> int:
        """Try again to put waiting files in place; returns how many came home."""
        return self.places.move_home()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _documents_of(self, dataset: str, schema: str) -> Documents:
        key = (dataset, schema)
        if key not in self._documents:
            self._documents[key] = Documents(self._plan(dataset, schema))
        return self._documents[key]

    def _manifest(
        self, number: int, at_us: int, fresh: Sequence[Fresh], delta: Delta,
        staged: Sequence[StagedFile],
    ) -> Manifest:  # fmt: skip
        counts = _counts(fresh, staged)
        marks: dict[str, dict[str, dict[str, object]]] = {}
        attachments: dict[str, dict[str, str]] = {}
        refused: list[Quarantine] = []
        for header in (one.frame.header for one in fresh):
            if header.marks:
                marks.setdefault(header.source, {}).update(header.marks)
            for name, content in header.attachments.items():
                attachments.setdefault(header.source, {})[name] = self.log.attach(
                    header.source, name, content
                )
            refused += [quarantine.keep(self.layout, header.source, note) for note in header.quarantined]
        datasets = {
            one.frame.header.dataset: DatasetNote(
                schema=one.frame.header.schema, rules=one.frame.header.rules
            )
            for one in fresh
        }
        return Manifest(
            commit=number, at_us=at_us, origin=_origins(fresh), files=[file.entry for file in staged],
            covers=delta.new(), marks=marks, counts=counts, datasets=datasets, attachments=attachments,
            quarantined=refused,
        )  # fmt: skip


def _brings(fresh: Sequence[Fresh], delta: Delta, state: State) -> bool:
    """Whether anything would be lost without a manifest."""
    headers = [one.frame.header for one in fresh]
    if (
        any(one.frame.header.read or one.frame.header.attachments for one in fresh)
        or not delta.adds_nothing()
    ):
        return True
    return any(state.marks.get(h.source, {}).get(p) != mark for h in headers for p, mark in h.marks.items())


def _counts(fresh: Sequence[Fresh], staged: Sequence[StagedFile]) -> dict[str, Counts]:
    """What the window adds to each source's books: tiers as the footers of its files say."""
    found: dict[str, Counts] = defaultdict(Counts)
    for one in fresh:
        header = one.frame.header
        refused = sum(note.records for note in header.quarantined)
        found[header.source] += Counts(read=header.read, quarantined=refused, duplicate=one.duplicates)
    for file in staged:
        for source, rows in file.counts.items():
            found[source] += Counts(**{file.entry.tier: rows})
    return dict(found)


def _origins(fresh: Sequence[Fresh]) -> list[Origin]:
    seqs: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for header in (one.frame.header for one in fresh):
        seqs[header.source, header.epoch, header.mode].append(header.seq)
    return [
        Origin(source=source, epoch=epoch, first=min(found), last=max(found), mode=mode)
        for (source, epoch, mode), found in seqs.items()
    ]
