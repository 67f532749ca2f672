"""A source that Spark reads: its station attaches, keeps the books, and asks the bridge to read.

Like any connector it lives in epochs (actors/connector.py). The records themselves never come here: the bridge says how
many it has staged for each commit, the writer says what is committed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import msgspec

from actors.connector import Job, Renewed
from actors.novelty import Novelty
from actors.reading import Progress, ReadRequest
from actors.report import report
from core.batch import Resume
from core.errors import AssayError, ConfigError, Permanent, Retryable, SourceUnavailable, StoreUnavailable
from core.ledger import Counts, Ledger
from core.ports import Attachment, Bus, Settled, WriterDesk
from core.retry import backoff
from core.signals import Level, signal
from core.status import instant, source_object
from core.tally import Tally

LOOK_S = 0.2
PATIENCE_S = 180.0
"""Batch mode: how long Spark may be away (a JVM starts in 5 to 60 s) before the run gives the source up."""


class EngineDesk(Protocol):
    """The bridge, for a source that Spark reads.

    Raises (every call):
        StoreUnavailable: it is not there, or knows nothing of this epoch.
    """

    async def begin(self, request: ReadRequest) -> None:
        """Read from there on."""

    async def look(self, source: str, epoch: int) -> Progress:
        """How that stands."""

    async def finish(self, source: str, epoch: int) -> None:
        """Read no more; what is under way is committed."""


class StagedBooks:
    """What is committed, and which commits are staged and under way. One epoch long.

    ``read`` is what the bridge says of each commit, ``in_flight`` the sum of those that the writer has not settled, and
    the tiers are the writer's count: three separate counts.
    """

    def __init__(self, attachment: Attachment) -> None:
        self._base = attachment.base.read
        self._counts = attachment.base
        self._read = attachment.base.read
        self._known = 0
        self._open: deque[tuple[int, int]] = deque()
        """(number within the epoch, records)"""
        self.in_flight = 0

    def staged(self, read: tuple[int, ...], first: int = 0, before: int = 0) -> None:
        """The records of each commit of this epoch from number ``first`` on, and those ``before`` it together."""
        if first > self._known:  # too many at once: those that were not seen one by one count as one
            self._stage(first - 1, before - (self._read - self._base))
        for number in range(max(self._known, first), first + len(read)):
            self._stage(number, read[number - first])

    def _stage(self, number: int, read: int) -> None:
        self._open.append((number, read))
        self._read += read
        self.in_flight += read
        self._known = number + 1

    def reaches(self, settled: Settled) -> bool:
        """Whether all that the writer has settled was told by the bridge."""
        return settled.counts.read <= self._read

    def settle(self, settled: Settled) -> list[int]:
        """The writer's word; returns which commits of the epoch it settles."""
        done = []
        while self._open and settled.counts.read >= self._read - self.in_flight + self._open[0][1]:
            number, read = self._open.popleft()
            self.in_flight -= read
            done.append(number)
        self._counts = settled.counts
        return done

    @property
    def ledger(self) -> Ledger:
        """The books of now."""
        stored = {name: getattr(self._counts, name) for name in Counts.__struct_fields__}
        return Ledger(counts=Counts(**{**stored, "read": self._read}), in_flight=self.in_flight)


class SparkConnector:
    """See ``actors.connector.Connector``, of which this is the outside.

    Args:
        settlements: the writer's words to this source, endless.
    """

    def __init__(
        self, job: Job, *, line: Bus, settlements: AsyncIterator[Settled], desk: WriterDesk, engine: EngineDesk,
        novelty: Novelty, kernel: str, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._job, self._line, self._settlements = job, line, settlements
        self._desk, self._engine, self._novelty = desk, engine, novelty
        self._kernel, self._clock = kernel, clock
        self._attached = Attachment(boot="", epoch=0, resume=Resume(), base=Counts())
        self._books = StagedBooks(self._attached)
        self._progress = Progress()
        self._carried = Tally()
        self._tally = Tally()
        self._boots: set[str] = set()
        self._heard: Settled | None = None
        self._poked, self._stopping = asyncio.Event(), asyncio.Event()
        self._renew: str | None = None
        self._state = "starting"
        self._last_error: dict[str, Any] | None = None

    async def run(self) -> dict[str, Any]:
        """Live epoch after epoch until drained or stopped; returns the final statistics.

        Raises:
            Retryable: batch mode, the source or Spark stayed away too long. Permanent, ConfigError: no use.
        """
        beside = (self._hear(), report(self._line, self.statistics))
        tasks = [asyncio.ensure_future(one) for one in (self._live(), *beside)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._line.post("stats", msgspec.json.encode(self.statistics()))
        return self.statistics()

    def stop(self) -> None:
        """Read no more; ``run`` returns when what is under way is committed."""
        self._stopping.set()
        self._poked.set()

    def statistics(self) -> dict[str, Any]:
        """The ``stats`` message of this station."""
        facts, source, ledger = self._job.facts, self._progress.source, self._books.ledger
        return {
            "station": f"connector:{facts.name}", "kind": "connector", "state": self._state, "pid": os.getpid(),
            "epoch": self._attached.epoch, "engine": "spark", "batch": self._progress.batch,
            "credit": {"used_bytes": 0, "capacity_bytes": 0}, "kernel": self._kernel, **self._tally.as_dict(),
            "detail": source.detail, "bytes_read": source.bytes_read, "bytes_total": source.bytes_total,
            "source": source_object(
                facts, ledger.counts, state=self._state, in_flight=ledger.in_flight,
                lag={"records": source.lag_records, "seconds": source.lag_seconds}, last_error=self._last_error,
            ),
        }  # fmt: skip

    # --- epochs

    async def _live(self) -> None:
        waits, failing_since = backoff(), None
        while True:
            try:
                await self._epoch()
                return
            except Renewed as why:
                await self._say("assay.source.recovered", f"goes on from the commit log: {why}")
            except (Permanent, ConfigError) as error:
                await self._fail(error, "failed", "error")
                raise
            except AssayError as error:
                if self._state == "running":
                    waits, failing_since = backoff(), None
                failing_since = failing_since or time.monotonic()
                await self._fail(error, "waiting", "warning")
                if self._gives_up(error, failing_since):
                    await self._fail(error, "failed", "error")
                    raise
                await self._pause(next(waits))
            if self._stopping.is_set():
                self._state = "stopped"
                return

    def _gives_up(self, error: AssayError, since: float) -> bool:
        if not isinstance(error, Retryable) and error.code != "E901":
            return not self._job.follow
        patience = self._job.patience_s if isinstance(error, SourceUnavailable) else PATIENCE_S
        return not self._job.follow and time.monotonic() - since > patience

    async def _epoch(self) -> None:
        name = self._job.facts.name
        self._attached = await self._desk.attach(name)
        self._boots.add(self._attached.boot)
        self._books, self._renew, self._heard = StagedBooks(self._attached), None, None
        self._carried, self._progress = self._tally, Progress()
        epoch = self._attached.epoch
        await self._engine.begin(ReadRequest(name, self._attached))
        asked = False
        while not self._over():
            self._check()
            await self._look(epoch)
            if self._stopping.is_set() and not asked:
                asked = True
                await self._engine.finish(name, epoch)
        self._state = "stopped" if self._stopping.is_set() else "drained"
        if self._state == "drained":
            await self._say("assay.source.drained", f"{self._books.ledger.counts.read:,} records in all")

    def _over(self) -> bool:
        return self._progress.state in {"drained", "stopped"} and not self._books.in_flight

    async def _look(self, epoch: int) -> None:
        """Ask the bridge once, at its pace or when the writer said something."""
        progress = await self._engine.look(self._job.facts.name, epoch)
        if progress.state == "failed":
            assert progress.error is not None
            raise progress.error
        if progress.state == "running" and self._state != "running":
            self._state, self._last_error = "running", None
            await self._say("assay.source.started", f"epoch {epoch}, read by Spark")
        self._progress = progress
        self._books.staged(progress.read, progress.first, progress.before)
        self._settle()
        self._count(progress)
        await self._novelty.tell(progress.fields)
        if not self._over():
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):  # wait_for may swallow a cancellation in 3.11
                await self._poked.wait()
        except TimeoutError:
            return
        self._poked.clear()
        if self._stopping.is_set():
            await asyncio.sleep(LOOK_S)

    def _count(self, progress: Progress) -> None:
        """The tally of all epochs: what earlier ones counted, and this one so far."""
        before, now = self._carried, Tally()
        now.events = before.events + progress.events
        now.scored = {tier: count + progress.scored.get(tier, 0) for tier, count in before.scored.items()}
        rules = {**before.rules}
        for rule, count in progress.rules.items():
            rules[rule] = rules.get(rule, 0) + count
        now.judged_elsewhere(rules, progress.measures or before.measures)
        now.carry(self._tally)
        self._tally = now

    # --- what comes back

    async def _hear(self) -> None:
        async for settled in self._settlements:
            if settled.source != self._job.facts.name:
                continue
            if settled.boot != self._attached.boot:
                if settled.boot not in self._boots and self._attached.boot:
                    self._renew = "the writer began a new life"
                    self._poked.set()
            elif settled.epoch == self._attached.epoch:
                self._heard = settled
                if self._books.reaches(settled):
                    self._settle()
                self._poked.set()

    def _settle(self) -> None:
        if self._heard is None or not self._books.reaches(self._heard):
            return
        now, arrived, first = self._clock() * 1e6, self._progress.arrived_us, self._progress.first
        done = [number - first for number in self._books.settle(self._heard)]
        self._tally.settled(
            [(now - arrived[at]) / 1000 for at in done if 0 <= at < len(arrived) and arrived[at]]
        )

    def _check(self) -> None:
        if self._renew:
            raise Renewed(self._renew)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    # --- words

    async def _fail(self, error: AssayError, state: str, level: Level) -> None:
        absent = isinstance(error, StoreUnavailable) and error.code == "E905"
        first = self._last_error is None or self._last_error["code"] != error.code
        self._state = "starting" if absent and not self._progress.read and state == "waiting" else state
        self._last_error = {"code": error.code, "message": error.message, "at": instant(self._clock())}
        if absent and state == "waiting":
            return  # the bridge is starting, or starts again: its own signals say so
        if first or state == "failed":
            await self._say(f"assay.source.{state}", str(error), level, code=error.code)

    async def _say(self, kind: str, message: str, level: Level = "info", **facts: Any) -> None:
        name = self._job.facts.name
        words = f"{name}: {message}"
        await self._line.say(signal(kind, name, words, source=f"/sources/{name}", level=level, **facts))
