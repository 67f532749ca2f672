"""Sources that Spark reads: one reading a source and epoch, each in a thread, on the bridge's session.

A reading knows nothing that is not in the commit log: whatever fails, it ends, and the source's connector begins another
one from the coverage.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from actors.plan import Plan
from actors.reading import Progress, ReadRequest
from bridge.engine.chunks import Chunks, Done
from bridge.engine.kinds import Given, batch, stream
from bridge.engine.stream import Stream
from bridge.engine.work import Job, Kind, Outcome
from bridge.session import Session
from core.errors import AssayError, StoreUnavailable
from core.ports import Bus, Settled
from core.signals import Signal, signal
from core.units import size_bytes
from schemas.columns import Column
from schemas.model import Registered
from store.layout import Layout
from store.staged import StagedCommit

T = TypeVar("T")
RATE_CHUNK_S = 10.0
"""With a ``rate_limit``, a chunk of a batch run holds about as much as may be read in this time."""


class Writer(Protocol):
    """What the engine asks of the writer."""

    async def reserve(self, source: str, epoch: int) -> int:
        """See ``actors.writer.Writer``."""

    async def commit_staged(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Settled:
        """See ``actors.writer.Writer``."""

    async def release(self, number: int) -> None:
        """See ``actors.writer.Writer``."""


class Tables(Protocol):
    """Who owns the session."""

    async def spark(self) -> Session:
        """The session that runs, as soon as there is one."""


class Engine:
    """All readings of this process.

    Args:
        tables: the bridge.
        schemas: dataset -> its registered schema and the typed columns of its tables.
    """

    def __init__(
        self, plan: Plan, line: Bus, writer: Writer, tables: Tables,
        schemas: Callable[[str], tuple[Registered, list[Column]]],
    ) -> None:  # fmt: skip
        self._plan, self._line, self._writer, self._tables, self._schemas = (
            plan,
            line,
            writer,
            tables,
            schemas,
        )
        self._readings: dict[str, Reading] = {}
        self._beside: set[asyncio.Task[Any]] = set()

    async def begin(self, request: ReadRequest) -> None:
        """Read a source; an older reading of it is ended first."""
        await self._end(request.source)
        self._readings[request.source] = Reading(self, request, asyncio.get_running_loop())

    def look(self, source: str, epoch: int) -> Progress:
        """How the reading stands.

        Raises:
            StoreUnavailable: there is none (any more).
        """
        reading = self._readings.get(source)
        if reading is None or reading.epoch != epoch:
            raise StoreUnavailable(f"nobody reads `{source}` in epoch {epoch} here; it begins again", "E905")
        return reading.progress

    def finish(self, source: str, epoch: int) -> None:
        """Read no more, once the work under way is committed."""
        reading = self._readings.get(source)
        if reading is not None and reading.epoch == epoch:
            reading.stop()

    async def close(self) -> None:
        """End all readings; what was not committed is read again."""
        for source in list(self._readings):
            await self._end(source)

    async def _end(self, source: str) -> None:
        reading = self._readings.pop(source, None)
        if reading is not None:
            reading.abandon()
            await reading.ended(5.0)

    # --- for readings

    def say(self, one: Signal, loop: asyncio.AbstractEventLoop) -> None:
        """Publish a signal, from any thread."""

        def begin() -> None:
            task = loop.create_task(self._line.say(one))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

        loop.call_soon_threadsafe(begin)

    def job(self, request: ReadRequest) -> Job:
        """What the tasks of a source are told."""
        plan, config = self._plan, self._plan.config
        dataset = config.sources[request.source].dataset
        registered, made = self._schemas(dataset)
        return Job(
            source=request.source, dataset=dataset, mode="batch" if plan.mode == "batch" else "micro-batch",
            epoch=request.attachment.epoch, schema=registered.word, document=registered.schema,
            rules=config.datasets[dataset].model_dump(by_alias=True), columns=tuple(made),
            layout=Layout.of(plan.root, config.storage.warehouse, config.storage.fallback),
            keep_raw=config.storage.keep_raw, span=plan.span,
        )  # fmt: skip

    def given(self, source: str, say: Callable[[Signal], None]) -> Given:
        """What the source's kind is made from."""
        from actors.stations import types_of

        plan = self._plan
        settings = plan.config.sources[source]
        registered, _ = self._schemas(settings.dataset)
        return Given(
            name=source, settings=settings, fields=types_of(json.loads(registered.schema)), say=say,
            follow=plan.follow, span=plan.span, cores=cores_of(plan.config.spark.master),
            folder=plan.root / "state" / "spark" / "streams" / source, checkpoint=checkpoints(plan) / source,
            limit_bytes=self._limit(source),
            root=plan.root, event_time=plan.config.datasets[settings.dataset].event_time,
        )  # fmt: skip

    def _limit(self, source: str) -> int:
        return size_bytes(self._plan.config.spark.trigger_limit)

    @property
    def plan(self) -> Plan:
        """The run."""
        return self._plan

    @property
    def writer(self) -> Writer:
        """The writer's desk."""
        return self._writer

    @property
    def tables(self) -> Tables:
        """Who owns the session."""
        return self._tables


class Abandoned(Exception):
    """A newer reading of the source began."""


class Reading:
    """One source in one epoch, in a thread of its own."""

    def __init__(self, engine: Engine, request: ReadRequest, loop: asyncio.AbstractEventLoop) -> None:
        self._engine, self._request, self._loop = engine, request, loop
        self.epoch = request.attachment.epoch
        self.progress = Progress()
        self._lock = threading.Lock()
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._stream: Stream | None = None
        self._kind: Kind | None = None
        self._thread = ThreadPoolExecutor(1, f"reading-{request.source}")
        self._task = loop.create_task(self._run())

    def stop(self) -> None:
        """End in order."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.stop()
        if self.progress.state == "waiting":
            self._abandoned.set()

    def abandon(self) -> None:
        """End soon; nothing more is committed."""
        self._abandoned.set()
        self.stop()

    async def ended(self, timeout_s: float) -> None:
        """Wait for the thread."""
        await asyncio.wait({self._task}, timeout=timeout_s)
        self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        try:
            session = await self._session()
            if session is not None:
                await self._loop.run_in_executor(self._thread, self._translated, session)
            state: Any = "stopped" if self._stopping.is_set() else "drained"
            self._note(state=state)
        except asyncio.CancelledError:
            raise
        except Abandoned:
            self._note(state="stopped")
        except AssayError as error:
            self._note(state="failed", error=error)
        except Exception as error:
            wrapped = AssayError(f"reading `{self._request.source}` failed: {error!r}", "E900")
            self._note(state="failed", error=wrapped)

    async def _session(self) -> Session | None:
        """The session, or None when the end is asked for while Spark is starting."""
        waiting = asyncio.ensure_future(self._engine.tables.spark())
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=0.1)
            if self._abandoned.is_set():
                waiting.cancel()
                return None
        return waiting.result()

    # --- in the thread

    def _translated(self, session: Session) -> None:
        with session.translated():
            self._read(session)

    def _read(self, session: Session) -> None:
        request = self._request
        plan = self._engine.plan
        given = self._engine.given(request.source, lambda one: self._engine.say(one, self._loop))
        given = replace(given, spark=session.spark)
        rate = given.settings.rate_limit
        streaming = plan.mode != "batch"
        if rate is not None:
            span_s = plan.trigger_s if streaming else RATE_CHUNK_S
            given = replace(given, limit_bytes=max(1, int(rate * span_s)) * record_bytes(given))
        following = stream(given) if streaming else None
        kind = following or batch(given)
        self._kind = kind
        try:
            kind.restore(request.attachment.resume)
            chunks = Chunks(
                self._engine.job(request), kind, self, request.attachment.resume, rows_in=self._rows_in, wait=self._wait
            )  # fmt: skip
            self._count()
            if following is not None:
                self._stream = Stream(
                    request.source, chunks, following, folder=given.checkpoint, trigger_s=plan.trigger_s,
                    alive=lambda: session.alive, finished=self._finished, looked=self._look,
                )  # fmt: skip
                if not self._stopping.is_set():
                    self._stream.run(session.spark)
            else:
                self._look()
                self._in_chunks(session, chunks, kind, given.limit_bytes, rate)
        finally:
            self._count()
            kind.close()

    def _in_chunks(
        self, session: Session, chunks: Chunks, kind: Kind, limit_bytes: int, rate: float | None
    ) -> None:
        """Batch: one work after the other, until there is none."""
        number = 0
        while not self._stopping.is_set():
            work = kind.plan(limit_bytes)
            if work is None:
                return
            done = chunks.do(session.spark, work, f"{self.epoch}/{number}")
            self._finished(number, done)
            number += 1
            if rate is not None:
                self._wait(max(0.0, done.read / rate - done.took_s))

    def _rows_in(self, read: int) -> None:
        with self._lock:
            self.progress = self.progress.with_commit(read)

    def _finished(self, number: int, done: Done) -> None:
        """A micro-batch or chunk is over: numbers for the page, a signal for the log."""
        first = min((one.arrived_us for one in done.outcomes if one.arrived_us), default=0)
        rate = round(done.read / done.took_s) if done.took_s else 0
        facts: dict[str, Any] = {
            "batch": number, "commit": done.number or None, "rows": done.read, "rows_per_s": rate,
            "took_ms": round(done.took_s * 1000), "tasks": len(done.outcomes), "duplicates": done.duplicates,
        }  # fmt: skip
        with self._lock:
            was = self.progress
            arrived = (*was.arrived_us[:-1], first) if done.number and was.arrived_us else was.arrived_us
            counted = replace(was, arrived_us=arrived, batch={**facts, "at": round(time.time(), 3)})
            self.progress = tallied(counted, done.outcomes)
        self._look()
        if done.number:
            name = self._request.source
            word = "micro-batch" if self._stream is not None else "chunk"
            self._engine.say(signal(
                "assay.batch.finished", name,
                f"{name}: {word} {number}: {done.read:,} records in {done.took_s:.1f} s ({rate:,}/s), commit {done.number}",
                source=f"/sources/{name}", **facts,
            ), self._loop)  # fmt: skip

    def _look(self) -> None:
        """The source was asked and is there."""
        self._count(state="running")

    def _count(self, **more: Any) -> None:
        """The source's own numbers, taken here: the loop never waits for a disk."""
        if self._kind is not None:
            self._note(source=self._kind.statistics(), **more)

    def _note(self, **changes: Any) -> None:
        with self._lock:
            self.progress = replace(self.progress, **changes)

    def _wait(self, seconds: float) -> None:
        """Sleep, unless the end is asked for."""
        if self._abandoned.wait(0) or (self._stopping.wait(seconds) and self._abandoned.is_set()):
            raise Abandoned

    # --- the writer's desk, for the thread

    def reserve(self) -> int:
        """See ``bridge.engine.work.Desk``."""
        return self._ask(self._engine.writer.reserve(self._request.source, self.epoch))

    def commit(self, number: int, staged: StagedCommit) -> Settled:
        """See ``bridge.engine.work.Desk``."""
        return self._ask(self._engine.writer.commit_staged(number, self._request.source, self.epoch, staged))

    def release(self, number: int) -> None:
        """See ``bridge.engine.work.Desk``."""
        self._ask(self._engine.writer.release(number))

    def _ask(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()


def tallied(progress: Progress, outcomes: Sequence[Outcome]) -> Progress:
    """The progress with what these tasks counted."""
    scored, rules, fields = dict(progress.scored), dict(progress.rules), dict(progress.fields)
    measures = progress.measures
    for outcome in outcomes:
        for tier, count in outcome.scored.items():
            scored[tier] = scored.get(tier, 0) + count
        for rule, count in outcome.rules.items():
            rules[rule] = rules.get(rule, 0) + count
        fields |= outcome.fields
        measures = outcome.measures or measures
    events = progress.events + sum(outcome.events for outcome in outcomes)
    return replace(progress, events=events, scored=scored, rules=rules, fields=fields, measures=measures)


def record_bytes(given: Given) -> int:
    """About how large a record of the source is."""
    if given.settings.type != "file":
        return 256
    from bridge.engine.files import record_bytes as of_files

    return of_files(given.settings)


def checkpoints(plan: Plan) -> Any:
    """Where Structured Streaming keeps its checkpoints, one folder a source."""
    named = plan.config.spark.checkpoint_dir
    return named.absolute() if named is not None else plan.root / "state" / "spark" / "checkpoints"


def cores_of(master: str) -> int:
    """Tasks that run side by side, as far as the master's name tells.

    >>> cores_of("local[3]"), cores_of("local"), cores_of("spark://host:7077")
    (3, 1, 4)
    """
    if master.startswith("local["):
        import os

        inside = master[6:].partition("]")[0].partition(",")[0]
        return int(inside) if inside.isdigit() else os.cpu_count() or 2
    return 1 if master == "local" else 4
