"""A connector: read, judge, send; tell the source what the commit log holds. A crash repeats a batch but loses none.

It lives in epochs. Each one begins with the writer's answer to "where do I go on?" and ends when the writer or the
bus has a new life, when the source fails, or when the source is drained. Whatever happens, the next epoch goes on
from the coverage.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from actors.ledger import Books, Sent
from actors.novelty import Novelty
from actors.report import report
from core.batch import Batch, Resume
from core.crash import crashpoint
from core.errors import AssayError, BusLost, ConfigError, Permanent, Retryable
from core.frame import FRAME_SCHEMA, Frame, Header, QuarantineNote
from core.judging import counts_by_tier, judge_batch, kept_of, pieces, within
from core.ledger import Counts
from core.ports import Attachment, Bus, Judge, Settled, Source, WriterDesk
from core.rate import Throttle
from core.retry import backoff
from core.signals import Level, signal
from core.span import Span
from core.status import SourceFacts, instant, source_object
from core.tally import Tally

CREDIT_BYTES = 96 << 20
"""Frames of one source that may be on their way to a commit, in bytes of payload."""


AT_ONCE_ROWS = 128
"""Batches up to this are judged on the loop, in about a millisecond: handing them to a thread and back costs more."""


class Renewed(Exception):
    """The writer or the bus began a new life; so does the epoch."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a connector is told once."""

    facts: SourceFacts
    mode: str
    follow: bool
    schema: str
    rate_limit: float | None = None
    span: Span | None = None
    whole_batches: bool = False
    """The source's marks hold only with all records of their batch (SQL)."""
    patience_s: float = 15.0
    """Batch mode: how long a source may be unavailable before the run gives it up."""


class Connector:
    """One source, from its system to the bus.

    Args:
        make_source: a fresh source for each epoch.
        settlements: the writer's words to this source (topic ``settled.<source>``), endless.
        line: the bus.
        desk: the writer, for control calls.
    """

    def __init__(
        self,
        job: Job,
        make_source: Callable[[], Source],
        judge: Judge,
        *,
        line: Bus,
        settlements: AsyncIterator[Settled],
        desk: WriterDesk,
        novelty: Novelty,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._job = job
        self._make_source = make_source
        self._judge = judge
        self._line = line
        self._settlements = settlements
        self._desk = desk
        self._novelty = novelty
        self._clock = clock
        self._throttle = Throttle(job.rate_limit) if job.rate_limit else None
        self._books = Books(Attachment(boot="", epoch=0, resume=Resume(), base=Counts()))
        self._source: Source | None = None
        self._reading: asyncio.Future[Batch | None] | None = None
        self._attached: Attachment | None = None
        self._boots: set[str] = set()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._accepted = asyncio.Event()
        self._renew: str | None = None
        self._seq = 0
        self._state = "starting"
        self._last_error: dict[str, Any] | None = None
        self._tally = Tally()

    async def run(self) -> dict[str, Any]:
        """Live epoch after epoch until drained or stopped; returns the final statistics.

        Raises:
            Retryable: batch mode, the source stayed away longer than ``patience_s``.
            Permanent, ConfigError: calling again is of no use.
        """
        beside = (self._hear(), self._watch_bus(), report(self._line, self.statistics))
        tasks = [asyncio.ensure_future(one) for one in (self._live(), *beside)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for (
                task
            ) in tasks:  # the life itself first: what ends beside it ends the connector only by failing
                if task.done():
                    await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._publish()
        return self.statistics()

    def stop(self) -> None:
        """Read no more; ``run`` returns when what was sent is settled."""
        self._stopping.set()
        self._changed.set()

    def statistics(self) -> dict[str, Any]:
        """The ``stats`` message of this station."""
        job = self._job
        source = self._source.statistics() if self._source else None
        ledger = self._books.ledger
        waits = source.waiting if source and self._state == "running" else None
        state = "waiting" if waits else self._state
        return {
            "station": f"connector:{job.facts.name}", "kind": "connector", "state": state, "pid": os.getpid(),
            "epoch": self._attached.epoch if self._attached else 0,
            "credit": {"used_bytes": self._books.bytes_in_flight, "capacity_bytes": CREDIT_BYTES},
            "kernel": self._judge.kernel, **self._tally.as_dict(),
            "detail": waits or (source.detail if source else ""),
            "bytes_read": source.bytes_read if source else 0,
            "bytes_total": source.bytes_total if source else None,
            "source": source_object(
                job.facts, ledger.counts, state=state, in_flight=ledger.in_flight,
                lag={
                    "records": source.lag_records if source else None,
                    "seconds": source.lag_seconds if source else None,
                },
                last_error=self._last_error,
            ),
        }  # fmt: skip

    # --- epochs

    async def _live(self) -> None:
        waits, failing_since = backoff(), None
        while True:
            try:
                await self._epoch()
                return
            except (Renewed, BusLost) as why:
                await self._say("assay.source.recovered", f"goes on from the commit log: {why}")
            except (Permanent, ConfigError) as error:
                await self._fail(error, "failed", "error")
                raise
            except Retryable as error:
                failing_since = failing_since or time.monotonic()
                await self._fail(error, "waiting", "warning")
                if not self._job.follow and time.monotonic() - failing_since > self._job.patience_s:
                    await self._fail(error, "failed", "error")
                    raise
                await self._pause(next(waits))
            else:
                failing_since = None
            finally:
                await self._close_source()
            if self._state == "running":
                waits, failing_since = backoff(), None
            if self._stopping.is_set():
                return

    async def _epoch(self) -> None:
        await self._line.accept_boot()
        self._accepted.set()
        self._attached = await self._desk.attach(self._job.facts.name)
        self._boots.add(self._attached.boot)
        self._books, self._seq, self._renew = Books(self._attached), 0, None
        self._source = self._make_source()
        await self._source.open(self._attached.resume)
        self._state, self._last_error = "running", None
        await self._say("assay.source.started", f"epoch {self._attached.epoch}")
        interrupted = asyncio.create_task(self._interrupted())
        try:
            while (batch := await self._next(interrupted)) is not None:
                await self._forward(batch)
        finally:
            interrupted.cancel()
            await self._stop_reading()
        await self._flush()
        await self._until(lambda: self._books.in_flight == 0 and not self._books.bytes_in_flight)
        self._state = "stopped" if self._stopping.is_set() else "drained"
        if self._state == "drained":
            await self._say("assay.source.drained", f"{self._books.ledger.counts.read:,} records in all")

    async def _next(self, interrupted: asyncio.Task[None]) -> Batch | None:
        """The next batch, when there is credit for it; None when drained or stopped. One more is read meanwhile."""
        await self._until(lambda: self._books.bytes_in_flight < CREDIT_BYTES or self._stopping.is_set())
        if self._stopping.is_set():
            return None
        assert self._source is not None
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._source.read())
        either: set[asyncio.Future[Any]] = {self._reading, interrupted}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._reading.done():
            self._check()
            return None
        batch = self._reading.result()
        self._reading = None if batch is None else asyncio.ensure_future(self._source.read())
        return batch

    async def _stop_reading(self) -> None:
        """A batch that was read ahead and not sent is read again from the coverage."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _forward(self, batch: Batch) -> None:
        crashpoint("connector.read")
        arrived = int(self._clock() * 1e6)
        self._tally.events += len(batch) + batch.repeats
        if len(batch) <= AT_ONCE_ROWS:
            records = judge_batch(self._judge, batch, arrived)
        else:
            records = await asyncio.to_thread(judge_batch, self._judge, batch, arrived)
        records, covers = within(records, batch.covers, self._job.span)
        attachments = self._attachments(batch, records)
        notes = [
            QuarantineNote(q.what, q.reason, q.records, q.bytes_unread, q.path) for q in batch.quarantined
        ]
        if records.num_rows or covers or notes:
            header = self._header(
                arrived,
                content_type=batch.content_type,
                marks={batch.partition: batch.mark},
                attachments=attachments,
            )
            whole = bool(attachments) or self._job.whole_batches
            for piece, mine in pieces(records, covers, batch.partition, whole=whole):
                await self._send(piece, msgspec.structs.replace(header, covers=mine, quarantined=notes))
                notes = []
            await self._novelty.look(records)
        for refused in batch.quarantined:
            await self._say(
                "assay.file.quarantined", refused.reason, "error", file=refused.what, records=refused.records
            )
        if self._throttle:
            await self._pause(self._throttle.spend(len(batch)))
            self._check()

    def _header(self, arrived: int, **more: Any) -> Header:
        """What all frames of a moment have in common; the number comes when one is sent."""
        assert self._attached is not None
        facts = self._job.facts
        return Header(
            source=facts.name, dataset=facts.dataset, epoch=self._attached.epoch, seq=0, mode=self._job.mode,
            arrived_us=arrived, schema=self._job.schema, rules=self._judge.version, **more,
        )  # fmt: skip

    async def _send(self, records: pa.RecordBatch, header: Header) -> None:
        self._seq += 1
        resumes = self._resumes() if self._seq == 1 else []
        tiers = counts_by_tier(records)
        header = msgspec.structs.replace(header, seq=self._seq, tiers=tiers, resumes=resumes)
        frame = Frame(header, records)
        size = (await asyncio.to_thread(lambda: frame.size_bytes)) if header.rows > 512 else frame.size_bytes
        self._check()
        self._books.send(Sent(header.seq, header.read, size, header.arrived_us, dict(header.marks)))
        self._tally.judged(records, tiers)
        await self._line.send(frame)
        crashpoint("connector.sent")
        if self._seq == 1:  # that it has begun is said at once
            await self._publish()

    async def _flush(self) -> None:
        """An empty last frame: commit without waiting for the window."""
        empty = pa.RecordBatch.from_pylist([], schema=FRAME_SCHEMA)
        await self._send(empty, self._header(int(self._clock() * 1e6), last=True))

    def _attachments(self, batch: Batch, records: pa.RecordBatch) -> dict[str, bytes]:
        """What the source wants back on resuming; in a back-fill it is told which rows were kept (SQL)."""
        narrowed = getattr(self._source, "narrowed", None)
        if self._job.span is not None and narrowed is not None:
            return dict(narrowed(batch, kept_of(records, batch)))
        return dict(batch.attachments)

    def _resumes(self) -> list[tuple[str, int]]:
        assert self._attached is not None
        return [(partition, ranges.end) for partition, ranges in self._attached.resume.coverage.items()][:100]

    # --- what comes back

    async def _hear(self) -> None:
        async for settled in self._settlements:
            attached = self._attached
            if attached is None or settled.source != self._job.facts.name:
                continue
            if settled.boot != attached.boot:
                if settled.boot not in self._boots:
                    self._wake("the writer began a new life")
            elif settled.epoch == attached.epoch:
                await self._settle(settled)

    async def _watch_bus(self) -> None:
        while True:
            await self._line.until_lost()
            self._accepted.clear()
            self._wake("the bus began a new life")
            await self._accepted.wait()

    async def _settle(self, settled: Settled) -> None:
        done = self._books.settle(settled)
        now = self._clock() * 1e6
        self._tally.settled([(now - sent.arrived_us) / 1000 for sent in done if sent.read])
        if done and self._source:
            crashpoint("connector.acked")
            marks = {partition: mark for sent in done for partition, mark in sent.marks.items()}
            await self._source.ack(marks)
        self._changed.set()

    def _wake(self, why: str) -> None:
        self._renew = why
        self._changed.set()

    def _check(self) -> None:
        if self._renew:
            raise Renewed(self._renew)

    async def _interrupted(self) -> None:
        """Wait until reading on is of no use: stopped, or a new epoch is due."""
        while not (self._stopping.is_set() or self._renew):
            self._changed.clear()
            await self._changed.wait()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for ``condition``, or raise ``Renewed``."""
        while True:
            self._check()
            if condition():
                return
            self._changed.clear()
            await self._changed.wait()

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless stopped."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation in 3.11
                    await self._stopping.wait()
            except TimeoutError:
                return

    # --- words and numbers

    async def _publish(self) -> None:
        await self._line.post("stats", msgspec.json.encode(self.statistics()))

    async def _fail(self, error: AssayError, state: str, level: Level) -> None:
        self._state = state
        self._last_error = {"code": error.code, "message": error.message, "at": instant(self._clock())}
        await self._say(
            f"assay.source.{'failed' if state == 'failed' else 'waiting'}", str(error), level, code=error.code
        )

    async def _say(self, kind: str, message: str, level: Level = "info", **facts: Any) -> None:
        name = self._job.facts.name
        await self._line.say(
            signal(kind, name, f"{name}: {message}", source=f"/sources/{name}", level=level, **facts)
        )

    async def _close_source(self) -> None:
        if self._source is not None:
            await self._source.close()
