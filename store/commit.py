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
from store.adopt import check, check_files, covers_of, manifest_of
from store.coverage import Delta, Fresh
from store.documents import Documents
from store.layout import Layout
from store.log import CHECKPOINT_EVERY, CommitLog, LiveFile, State
from store.manifest import DatasetNote, Manifest, Origin, Quarantine
from store.placing import Places, Recovered, recover
from store.reserving import Reservations
from store.staged import StagedCommit, StagedFile
from store.staging import stage

THREADS = 3
"""Files written at once: while one is synced, two cores have work."""
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
    again: bool = False
    """It had been committed before; this call changed nothing."""


class Committer:
    """The one writer of a data directory's commit log and tables. Blocking; one thread at a time.

    ``state`` is what the log holds; it changes only when a manifest is written. A failed ``commit`` may be repeated
    with the same frames.
    """

    def __init__(
        self, layout: Layout, plan: PlanOf, *, keep_raw: str = "all", threads: int = THREADS
    ) -> None:
        self.layout = layout
        self.log = CommitLog(layout.root)
        self.state = State()
        self.places = Places(layout)
        self.reservations = Reservations(self.log)
        self._plan = plan
        self._documents: dict[tuple[str, str], Documents] = {}
        self._keep_raw = keep_raw
        self._trying: int | None = None
        """The number of a window that the store refused so far."""
        self._checkpointed = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="staging")

    def recover(self) -> Recovered:
        """Read the log, put in place what a dead writer left, sweep what no manifest names.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        self.reservations.recover(time.time_ns() // 1000)
        self.state = self.log.state()
        self._checkpointed = self.state.commit
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
        number = self._trying = self._trying or self._next()
        staged = stage(
            fresh, self.places, number, self._documents_of, keep_raw=self._keep_raw, pool=self._pool
        )
        manifest = self._manifest(number, at_us or time.time_ns() // 1000, fresh, delta, staged)
        if self._breaks_order():
            for file in staged:
                self.places.staged_path(file.entry).unlink()
        crashpoint("writer.staged")
        done = self._finish(manifest, began)
        self._trying = None
        return done

    def reserve(self, source: str, epoch: int) -> int:
        """Give out the next number for rows that are staged elsewhere; other commits go on with larger ones.

        Raises:
            StoreUnavailable: E703; no number is given out.
        """
        if self._trying is not None and self._trying not in self.reservations.open:
            self.reservations.take(
                self._trying, "", 0
            )  # a hole that has a name, should we die before it is filled
        number = self._next()
        self.reservations.take(number, source, epoch)
        crashpoint("staged.reserved")
        return number

    def commit_staged(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Committed:
        """Commit what was staged for a reserved number. Said again, it answers what it did.

        Raises:
            AssayError: E908 it overlaps what is stored, E909 the number is not reserved for this epoch, or not the
                oldest one of it, E912 a staged file is gone. Nothing is committed, the number stays as it is.
            StoreUnavailable: E703, the log takes no writes; say it again.
        """
        began = time.perf_counter()
        there = self.stands(number, source, epoch, staged)
        if there is not None:
            return Committed(there, _rows(there), (time.perf_counter() - began) * 1e3, again=True)
        self.reservations.require(number, source, epoch)
        origin, covers = _origin(source, epoch, staged), covers_of(source, staged)
        check(source, staged, covers, self.state)
        check_files(self.places, staged.files)
        self.places.sync_staging([file.entry for file in staged.files])
        manifest = manifest_of(
            number, origin, staged, covers, at_us=time.time_ns() // 1000, log=self.log, layout=self.layout
        )
        crashpoint("staged.checked")
        done = self._finish(manifest, began)
        self.places.sweep(number, done.manifest or manifest)
        return done

    def stands(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Manifest | None:
        """What stands under the number already, if that is this very commit."""
        if number in self.reservations.open or not self.log.path(number).exists():
            return None
        there = self.log.read(number)
        same = ([_origin(source, epoch, staged)], covers_of(source, staged))
        return there if (there.origin, there.covers) == same else None

    def release(self, number: int) -> None:
        """Void a reserved number and sweep what was staged for it. No word against a number that is not open.

        Raises:
            StoreUnavailable: E703, the log takes no writes; the number stays open.
        """
        if number not in self.reservations.open:
            return
        manifest = self.reservations.void(number, time.time_ns() // 1000)
        self.state.add(manifest)
        self.places.bring_home([LiveFile(commit=number, entry=entry) for entry in manifest.files])
        self.places.sweep(number, manifest)
        self._checkpoint_if_due()

    def release_all(self, source: str | None = None) -> None:
        """``release`` every open number of a source, or of all; a window's own number is left to it."""
        for number, whose in sorted(self.reservations.open.items()):
            if whose.source and source in {None, whose.source}:
                self.release(number)

    def _next(self) -> int:
        return max(self.state.newest, self._trying or 0, *self.reservations.open, 0) + 1

    def _finish(self, manifest: Manifest, began: float) -> Committed:
        """The commit point and what follows it."""
        manifest = self.log.append(manifest)
        self.state.add(manifest)
        crashpoint("writer.manifest")
        self.reservations.close(manifest.commit)
        files = [LiveFile(commit=manifest.commit, entry=entry) for entry in manifest.files]
        self.places.bring_home(files[: len(files) // 2])
        crashpoint("writer.half-renamed")
        self.places.bring_home(files[len(files) // 2 :])
        crashpoint("writer.renamed")
        self._checkpoint_if_due()
        return Committed(manifest, _rows(manifest), (time.perf_counter() - began) * 1e3)

    def _checkpoint_if_due(self) -> None:
        """Every ``CHECKPOINT_EVERY`` commits, but never over a hole."""
        commit = self.state.commit
        whole = not self.reservations.open and not self.state.ahead
        if whole and commit // CHECKPOINT_EVERY > self._checkpointed // CHECKPOINT_EVERY:
            self.log.checkpoint(self.state)
            self._checkpointed = commit

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


def _origin(source: str, epoch: int, staged: StagedCommit) -> Origin:
    return Origin(source=source, epoch=epoch, first=0, last=0, mode=staged.mode, job=staged.job)


def _rows(manifest: Manifest) -> int:
    return sum(entry.rows for entry in manifest.files)


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
