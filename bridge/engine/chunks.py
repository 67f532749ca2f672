"""One work after the other, each of them one commit: reserve, run on Spark, commit. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bridge.engine.tasks import Stage
from bridge.engine.work import Again, Desk, Job, Kind, Outcome, Work
from core.batch import Resume
from core.crash import crashpoint
from core.errors import AssayError, Fenced, StoreUnavailable
from core.ports import Settled
from core.ranges import Ranges
from core.retry import backoff
from quality.spec import JudgeSpec
from store.staged import StagedCommit, StagedPart

GIVE_UP_S = 20.0
"""How long a commit is said again to a writer that is away, before the whole source takes a new epoch."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one work."""

    label: str
    number: int
    """Of the commit; 0: it brought nothing new."""
    read: int
    rows: int
    duplicates: int
    took_s: float
    outcomes: Sequence[Outcome]
    settled: Settled | None


class Chunks:
    """Carries out the works of one source in one epoch.

    Args:
        rows_in: told, before each commit, how many records it accounts for.
        wait: sleeps so many seconds; raises what ends the reading.
    """

    def __init__(
        self, job: Job, kind: Kind, desk: Desk, resume: Resume, *,
        rows_in: Callable[[int], None] = lambda read: None, wait: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._job, self._kind, self._desk = job, kind, desk
        self._rows_in, self._wait = rows_in, wait
        self._rules = JudgeSpec.from_mapping(job.rules).version
        self.coverage = {partition: ranges.copy() for partition, ranges in resume.coverage.items()}
        """What is stored, this epoch's commits included."""

    def do(self, spark: Any, work: Work, label: str) -> Done:
        """Read, judge, stage and commit one work; exactly its new rows are in the tables afterwards.

        Raises:
            AssayError: nothing of it is committed.
        """
        began = time.monotonic()
        number = self._desk.reserve()
        try:
            crashpoint("engine.reserved")
            work, outcomes, parts = self._staged(spark, work, number)
            crashpoint("engine.staged")
            if not any(part.covers or part.files or part.read for part in parts):
                self._desk.release(number)
                self._kind.committed(work, parts)
                return Done(label, 0, 0, 0, 0, time.monotonic() - began, outcomes, None)
            read = sum(part.read for part in parts)
            self._rows_in(read)
            settled = self._commit(number, parts, label)
        except BaseException:
            with suppress(AssayError):
                self._desk.release(number)
            raise
        crashpoint("engine.committed")
        for part in parts:
            for partition, start, stop in part.covers:
                self.coverage.setdefault(partition, Ranges()).add(start, stop)
        self._kind.committed(work, parts)
        rows = sum(file.entry.rows for part in parts for file in part.files)
        duplicates = sum(part.duplicates for part in parts)
        return Done(label, number, read, rows, duplicates, time.monotonic() - began, outcomes, settled)

    def _staged(self, spark: Any, work: Work, number: int) -> tuple[Work, list[Outcome], list[StagedPart]]:
        """Run the tasks, again where a file turns out to be refused in its midst."""
        while True:
            outcomes = self._run(spark, work, number) if work.tasks else []
            parts = [part for outcome in outcomes for part in outcome.parts]
            troubles = [trouble for outcome in outcomes for trouble in outcome.troubles]
            try:
                return work, outcomes, [*parts, *self._kind.settle(work, troubles, parts)]
            except Again as again:
                if again.work is None:
                    return work, outcomes, []
                work = again.work

    def _run(self, spark: Any, work: Work, number: int) -> list[Outcome]:
        wanted = self.coverage if work.partitions is None else work.partitions
        known = {name: list(self.coverage[name]) for name in wanted if name in self.coverage}
        job = replace(self._job, number=number, coverage=known)
        rows = work.frame(spark).mapInArrow(Stage(job, work.reader), "outcome binary").collect()
        outcomes = sorted((Outcome.unpacked(bytes(row[0])) for row in rows), key=lambda one: one.task)
        for outcome in outcomes:
            if outcome.failure is not None:
                raise outcome.failure.error()
        return outcomes

    def _commit(self, number: int, parts: list[StagedPart], label: str) -> Settled:
        """Say it to the writer until it answers; a writer that died has made the number void, and says so."""
        staged = StagedCommit(
            parts=parts, dataset=self._job.dataset, schema=self._job.schema, rules=self._rules,
            mode=self._job.mode, job=label,
        )  # fmt: skip
        end = time.monotonic() + GIVE_UP_S
        for pause_s in backoff(0.1, 2.0):
            try:
                return self._desk.commit(number, staged)
            except Fenced:
                raise
            except StoreUnavailable:
                if time.monotonic() > end:
                    raise
                self._wait(pause_s)
        raise AssertionError("backoff never ends")
