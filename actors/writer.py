"""The writer: takes frames, cuts windows, commits them, and says what is settled. Plain asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from actors.window import Cutting, Window
from config.models import Storage
from config.models import Writer as WriterSettings
from core.crash import crashpoint, fault
from core.errors import AssayError, Fenced, StoreUnavailable
from core.frame import Frame
from core.ledger import Counts
from core.ports import Attachment, Settled
from core.retry import backoff
from core.signals import Level, Signal, signal
from store.commit import ORDER_BROKEN, Committed, Committer, PlanOf
from store.epochs import Epochs
from store.index import Index
from store.layout import Layout
from store.lock import WriterLock
from store.placing import Recovered
from store.staged import StagedCommit
from store.watch import Changed, Watch

LOCK_WAIT_S = 30.0
HEARTBEAT_S = 1.0
LOOK_EVERY_S = 0.4
HOME_EVERY_S = 2.0

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode


class WriterLine(Protocol):
    """What the writer says over the bus."""

    async def post(self, topic: str, body: bytes) -> None:
        """Publish control bytes."""

    async def say(self, signal: Signal) -> None:
        """Publish a signal."""


class _Held(msgspec.Struct):
    """An attached source: its epoch, the newest frame taken and the newest one committed."""

    epoch: int
    taken: int = 0
    settled: int = 0


class Writer:
    """The one writer of a data directory.

    Life: ``start``; then ``take`` and ``attach`` as they come; ``drain`` and ``close``. A frame is kept until it is
    committed; a store that refuses is tried again for ever, and ``take`` waits meanwhile. One commit is under way at
    most, while the next window fills.

    Args:
        plan: (dataset, schema ref) -> typed columns; called in a thread.
        clock: monotonic seconds.
    """

    def __init__(
        self, root: Path, storage: Storage, settings: WriterSettings, *, mode: str, plan: PlanOf,
        line: WriterLine, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.layout = Layout.of(root, storage.warehouse, storage.fallback)
        self.boot = ""
        self._line, self._clock = line, clock
        self._committer = Committer(self.layout, plan, keep_raw=storage.keep_raw)
        self._epochs = Epochs(self.layout.state)
        self._index = Index(self.layout)
        self._watch = Watch(self._committer.places)
        self._lock = WriterLock(self.layout.state)
        self._cutting = Cutting(mode, settings.window_s, settings.window_rows)
        self._window = Window()
        self._held: dict[str, _Held] = {}
        self._corrections: dict[str, Counts] = {}
        self._store = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._wake, self._room, self._to_index = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._draining, self._committing = 0, False
        self._tasks: list[asyncio.Task[None]] = []
        self._error: StoreUnavailable | None = None
        self._down: set[str] = set()
        self._fenced_frames = self._fenced_commits = 0
        self._last: Committed | None = None
        self._rate = _Rate(clock)

    async def start(self) -> Recovered:
        """Take the lock, recover what a dead writer left, begin a new life; returns what recovery did.

        Raises:
            Locked: E707, another writer keeps the directory for 30 s.
            StoreUnavailable: the log cannot be read.
        """
        end = self._clock() + LOCK_WAIT_S
        while not self._lock.try_take():
            if self._clock() > end:
                raise self._lock.held()
            await asyncio.sleep(0.05)
        done = await self._in_store(self._recover)
        self.boot = uuid.uuid4().hex
        self._room.set()
        self._to_index.set()
        works = (self._cut_windows, self._beat, self._look, self._bring_home, self._keep_index)
        self._tasks = [asyncio.create_task(work(), name=f"writer.{work.__name__}") for work in works]
        return done

    async def take(self, frame: Frame) -> bool:
        """Take a frame into the window; waits while that is full. False: refused, its epoch is over.

        A frame that was taken before (the bus sent it again) is passed over.

        Raises:
            AssayError: E906, frames of this epoch are missing before this one.
        """
        while True:
            self._raise_if_ended()
            held = self._held.get(frame.header.source)
            if held is None or frame.header.epoch != held.epoch:
                self._fenced_frames += 1
                return False
            if frame.header.seq <= held.taken:
                return True
            if not self._cutting.full(self._window):
                break
            self._room.clear()
            await self._room.wait()
        if frame.header.seq != held.taken + 1:
            raise AssayError(
                f"frame {held.taken + 1} of source `{frame.header.source}` is missing, {frame.header.seq} came: the bus "
                "lost a frame; the writer ends and all sources go on from what is committed", code="E906",
                facts={"source": frame.header.source, "epoch": held.epoch},
            )  # fmt: skip
        held.taken = frame.header.seq
        self._window.add(frame, self._clock())
        crashpoint("writer.taken")
        self._wake.set()
        return True

    async def attach(self, source: str) -> Attachment:
        """See ``core.ports.WriterDesk``: commit what is held of the source, fence its old epoch, say where to go on.

        Numbers that it had reserved are void.

        Raises:
            StoreUnavailable: E702 an attachment cannot be read, E703 the epoch cannot be stored.
        """
        self._held.pop(source, None)
        await self.drain()
        return await self._in_store(lambda: self._attach(source))

    async def reserve(self, source: str, epoch: int) -> int:
        """A commit number for rows of this epoch that are staged elsewhere; it is durable on return.

        Ends by ``commit_staged`` or ``release``, or when the source is attached again.

        Raises:
            Fenced: E901, the epoch is over.
            StoreUnavailable: E703, no number is given out.
        """
        return await self._in_store(lambda: self._reserve(source, epoch))

    async def commit_staged(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Settled:
        """Commit what was staged for a reserved number. Said again after it was done, it answers the same.

        Raises:
            Fenced: E901, the epoch is over: nothing is committed, its files are swept.
            AssayError: E908, E909, E912 (``store.commit.Committer.commit_staged``): nothing is committed.
            StoreUnavailable: E703, say it again.
        """
        done = await self._in_store(lambda: self._commit_staged(number, source, epoch, staged))
        if not done.again:
            await self._tell(source)
            await self._announce(done)
        return self._settled(source, epoch, number)

    async def release(self, number: int) -> None:
        """Give a reserved number back: it is void, and what was staged for it is swept. Safe twice.

        Raises:
            StoreUnavailable: E703, the number stays open.
        """
        await self._in_store(lambda: self._committer.release(number))

    async def drain(self) -> None:
        """Commit all that is held; returns when it is stored."""
        self._draining += 1
        try:
            while self._window or self._committing:
                self._raise_if_ended()
                self._wake.set()
                self._room.clear()
                await self._room.wait()
        finally:
            self._draining -= 1

    async def close(self) -> None:
        """End; what was not committed is read again by its sources. Safe twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._room.set()
        with contextlib.suppress(StoreUnavailable, RuntimeError):  # RuntimeError: closed before
            await self._in_store(self._committer.release_all)
        self._store.shutdown(wait=True)
        self._committer.close()
        self._lock.release()

    async def failure(self) -> None:
        """Wait until one of the writer's loops fails, and raise that. The process should end then."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        self._raise_if_ended()

    async def audited(self) -> dict[str, Counts]:
        """Look at the files once more; every source's committed counts, less what is missing on disk."""
        await self._in_store(self._seen)
        return {source: self._counts(source) for source in self._committer.state.counts}

    def statistics(self) -> dict[str, Any]:
        """Numbers of now."""
        state = "refused" if self._error else "degraded" if self._committer.places.waiting else "running"
        return {
            "state": state, "boot": self.boot, "commit": self._committer.state.newest,
            "reserved": sorted(self._committer.reservations.open), "window_rows": self._window.rows, "window_bytes": self._window.size_bytes,
            "committing": self._committing, "last_commit_ms": round(self._last.took_ms, 1) if self._last else None,
            "last_commit_rows": self._last.rows if self._last else 0, "rows_per_s": round(self._rate.per_second(), 1),
            "waiting": sum(live.entry.rows for live in self._committer.places.waiting),
            "fenced_frames": self._fenced_frames, "fenced_commits": self._fenced_commits, "refusals": dict(self._committer.places.refusals),
            "refused": dict(self._committer.state.refused),
            "last_error": {"code": self._error.code, "message": self._error.message} if self._error else None,
        }  # fmt: skip

    # -- in the store's thread ---------------------------------------------------------------------------------

    async def _in_store(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._store, work)

    def _recover(self) -> Recovered:
        done = self._committer.recover()
        self._epochs.load(self._committer.state.epochs)
        self._watch.add(self._committer.state.files[-2000:], trusted=False)
        return done

    def _attach(self, source: str) -> Attachment:
        self._committer.release_all(source)
        state = self._committer.state
        resume = self._committer.log.resume(source, state)
        held = _Held(self._epochs.renew(source))
        self._held[source] = held
        return Attachment(boot=self.boot, epoch=held.epoch, resume=resume, base=self._counts(source))

    def _commit(self, window: Window) -> Committed:
        return self._watched(self._committer.commit(window.frames))

    def _reserve(self, source: str, epoch: int) -> int:
        self._require(source, epoch)
        return self._committer.reserve(source, epoch)

    def _commit_staged(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Committed:
        if number in self._committer.reservations.open or not self._committer.stands(
            number, source, epoch, staged
        ):
            self._require(source, epoch)
        return self._watched(self._committer.commit_staged(number, source, epoch, staged))

    def _require(self, source: str, epoch: int) -> None:
        held = self._held.get(source)
        if held is None or held.epoch != epoch:
            self._fenced_commits += 1
            raise Fenced(
                f"epoch {epoch} of source `{source}` is over: attach again, and read on from what is stored",
                facts={"source": source, "epoch": epoch},
            )  # fmt: skip

    def _watched(self, done: Committed) -> Committed:
        if done.manifest is not None and done.manifest.files and not done.again:
            files = self._committer.state.files[-len(done.manifest.files) :]
            self._watch.add(files, trusted=True)
        return done

    def _seen(self) -> list[Changed]:
        changed = self._watch.look()
        self._corrections = self._watch.corrections()
        return changed

    def _counts(self, source: str) -> Counts:
        stored = self._committer.state.counts.get(source, Counts())
        return stored + self._corrections.get(source, Counts())

    # -- the loops ---------------------------------------------------------------------------------------------

    async def _cut_windows(self) -> None:
        while True:
            await self._until_due()
            window, self._window, self._committing = self._window, Window(), True
            self._room.set()
            try:
                done = await self._stored(window)
                await self._settle(window, done)
            finally:
                self._committing = False
                self._room.set()

    async def _until_due(self) -> None:
        while True:
            self._wake.clear()
            wait_s: float | None = None
            if self._window:
                wait_s = self._cutting.wait_s(self._window, self._clock(), self._held)
                if self._draining or wait_s <= 0:
                    return
            elif self._draining:
                self._room.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):  # wait_for may swallow a cancellation in 3.11
                    await self._wake.wait()

    async def _stored(self, window: Window) -> Committed:
        """Commit, trying again for as long as the store refuses; nothing is forgotten meanwhile."""
        for wait_s in backoff(0.2, 5.0):
            try:
                done = await self._in_store(lambda: self._commit(window))
            except StoreUnavailable as error:
                first, self._error = self._error is None, error
                if first:
                    await self._say(
                        "assay.store.down", "warehouse", error.message, level="error", code=error.code
                    )
                await asyncio.sleep(wait_s)
            else:
                if self._error is not None:
                    self._error = None
                    await self._say("assay.store.up", "warehouse", "the store takes writes again")
                return done
        raise AssertionError("backoff never ends")

    async def _settle(self, window: Window, done: Committed) -> None:
        for header in (frame.header for frame in window.frames):
            held = self._held.get(header.source)
            if held is not None and held.epoch == header.epoch:
                held.settled = max(held.settled, header.seq)
        for source in {frame.header.source for frame in window.frames}:
            await self._tell(source)
        await self._die_if_asked()
        await self._announce(done)

    async def _announce(self, done: Committed) -> None:
        self._last = done
        self._rate.add(done.rows)
        if done.manifest is not None:
            tables = done.manifest.rows
            self._cutting.learn(len(done.manifest.files), sum(map(len, tables.values())))
            await self._say(
                "assay.batch.committed", f"commit {done.manifest.commit}",
                f"committed {done.rows} rows in {done.took_ms:.0f} ms", commit=done.manifest.commit, rows=done.rows,
                tiers=tables, took_ms=round(done.took_ms, 1), files=len(done.manifest.files),
            )  # fmt: skip
        await self._report_refusals()
        self._to_index.set()

    async def _tell(self, source: str) -> None:
        """Say what is settled of a source; one that is not attached in this life learns of the new boot."""
        held = self._held.get(source)
        epoch = held.epoch if held else self._epochs.current(source)
        settled = self._settled(source, epoch, self._committer.state.newest)
        with contextlib.suppress(AssayError):  # a lost word is said again with the next heartbeat
            await self._line.post(f"settled.{source}", _encode(settled))

    def _settled(self, source: str, epoch: int, commit: int) -> Settled:
        held = self._held.get(source)
        return Settled(
            boot=self.boot, source=source, epoch=epoch, seq=held.settled if held and held.epoch == epoch else 0,
            commit=commit, counts=self._counts(source),
        )  # fmt: skip

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for source in self._epochs.known():
                await self._tell(source)

    async def _look(self) -> None:
        while True:
            for change in await self._in_store(self._seen):
                for source, missing in change.missing.items():
                    await self._tell(source)
                    await self._say(
                        "assay.store.changed", source,
                        f"`{change.path}` was changed behind the writer's back: {missing} rows of `{source}` less than "
                        "committed; run `assay fsck`", level="error", rows=missing, tier=change.tier, code="E708",
                    )  # fmt: skip
            await asyncio.sleep(LOOK_EVERY_S)

    async def _bring_home(self) -> None:
        while True:
            await asyncio.sleep(HOME_EVERY_S)
            await self._in_store(self._committer.places.sweep_late)
            if self._committer.places.waiting:
                await self._in_store(self._committer.move_home)
                await self._report_refusals()

    async def _keep_index(self) -> None:
        """A thread of its own: making the index anew may take long and holds nothing up."""
        while True:
            await self._to_index.wait()
            self._to_index.clear()
            crashpoint("writer.told")
            with contextlib.suppress(StoreUnavailable):  # it can be made again; `assay fsck` says so
                await asyncio.to_thread(self._index.catch_up)

    async def _report_refusals(self) -> None:
        """Say once when a table's directory begins or ceases to refuse."""
        refusals = dict(self._committer.places.refusals)
        for table in refusals.keys() - self._down:
            message = f"table `{table}` refuses ({refusals[table]}); its files wait and move home later"
            await self._say("assay.store.down", table, message, level="error")
        for table in self._down - refusals.keys():
            await self._say("assay.store.up", table, f"table `{table}` takes files again")
        self._down = set(refusals)

    async def _say(
        self, kind: str, subject: str, message: str, *, level: Level = "info", **facts: Any
    ) -> None:
        with contextlib.suppress(AssayError):
            await self._line.say(
                signal(kind, subject, message, source="/stations/writer", level=level, **facts)
            )

    async def _die_if_asked(self) -> None:
        """The end of the broken promise ``ack-before-commit``: once said, die."""
        mark = self.layout.state / ORDER_BROKEN
        if fault("ack-before-commit") and mark.exists() and not mark.stat().st_size:
            mark.write_text("done")
            await asyncio.sleep(0.1)  # lets the word out
            os.kill(os.getpid(), signals.SIGKILL)

    def _raise_if_ended(self) -> None:
        """A loop that failed is the writer's failure."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error


class _Rate:
    """Rows a second over the last ten seconds or so."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = clock()
        self._rate = 0.0
        self._rows = 0

    def add(self, rows: int) -> None:
        self._rows += rows
        self._fold()

    def per_second(self) -> float:
        self._fold()
        return self._rate

    def _fold(self) -> None:
        passed = self._clock() - self._at
        if passed >= 1.0:
            share = min(1.0, passed / 5.0)
            self._rate += share * (self._rows / passed - self._rate)
            self._at, self._rows = self._clock(), 0
