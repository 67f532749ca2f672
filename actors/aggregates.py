"""The follower that keeps aggregates: it reads the commit log by a cursor of its own, beside the bridge.

It needs no Java and holds nothing up: its work is done in one niced thread, from files that are committed, and it takes
at most half of the time. ``store/aggregating.py`` says what a step does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from bridge.ddl import AggregatePlan
from bridge.jvm import lower_priority
from config.aggregate import Aggregate
from core.aggregation import window_s
from core.errors import AssayError
from core.ports import Bus
from core.retry import backoff
from core.signals import Level, signal
from core.units import seconds
from schemas.columns import Column
from store.aggregate import TooManyGroups
from store.aggregating import Aggregates, Step
from store.definition import Definition, define
from store.layout import Layout
from store.log import CommitLog
from store.windows import Day, day_of_number

LOOK_S = 0.25
"""How often to look at the log when nobody pokes."""
PACE_S = 1.0
"""Steps begin at least so far apart, and never sooner than the last one took."""
AWAY_S = 20.0
"""The end of a batch waits so long for a directory that refuses."""
SAY_S = 10.0
"""Late records are said at most so often."""

Published = Callable[[str, set[Day]], None]
"""(table, days whose files are new)"""


class Follower:
    """Keeps one data directory's aggregates.

    Life: ``run`` in a task of its own, ``drain`` at a batch's end, ``close``.

    Args:
        line: where signals go.
        published: told after each step which days have new files.
    """

    def __init__(
        self, layout: Layout, definitions: Sequence[Definition], line: Bus, published: Published = lambda table, days: None
    ) -> None:  # fmt: skip
        self.definitions = tuple(definitions)
        self._aggregates = Aggregates(layout, definitions)
        self._log = CommitLog(layout.root)
        self._line = line
        self._published = published
        self._thread = ThreadPoolExecutor(1, "aggregates", initializer=lower_priority)
        self._state = "starting" if definitions else "off"
        self._tip = 0
        self._commit = 0
        self._took_ms = 0.0
        self._last_error: dict[str, str] | None = None
        self._away_since: float | None = None
        self._late: dict[str, int] = {}
        self._unsaid: dict[str, int] = {}
        self._said_at = 0.0
        self._poked = asyncio.Event()
        self._hurry = asyncio.Event()
        self._run: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow until ``close``."""
        if not self.definitions:
            return
        self._run = asyncio.current_task()
        waits = backoff(0.5, 15.0)
        opened = False
        while True:
            try:
                if not opened:
                    await self._work(self._aggregates.open)
                    opened = True
                await self._follow()
                waits = backoff(0.5, 15.0)
            except (AssayError, OSError) as error:
                await self._lost(error)
                await asyncio.sleep(next(waits))

    def poke(self) -> None:
        """There may be a new commit."""
        self._poked.set()

    async def drain(self, timeout_s: float) -> int:
        """Wait until aggregates hold every commit of now that no hole keeps back.

        Returns:
            How many commits still wait after ``timeout_s``.
        """
        if not self.definitions:
            return 0
        target = await asyncio.to_thread(self._whole)
        self._hurry.set()
        end = time.monotonic() + timeout_s
        while self._behind(target) and time.monotonic() < end and not self._given_up():
            self._poked.set()
            await asyncio.sleep(0.05)
        self._hurry.clear()
        return max(0, target - self._commit)

    async def close(self) -> None:
        """End; what a step is at is finished first. Safe twice."""
        if self._run is not None and not self._run.done():
            self._run.cancel()
            await asyncio.wait([self._run])
        await asyncio.to_thread(self._thread.shutdown)

    def statistics(self) -> dict[str, Any]:
        """State, commits that wait, and what is known of each table."""
        return {
            "state": self._state, "waiting": max(0, self._tip - self._commit), "commit": self._commit,
            "late": sum(self._late.values()), "took_ms": round(self._took_ms, 1), "last_error": self._last_error,
            "tables": {one.table: {"late": self._late.get(one.table, 0)} for one in self.definitions},
        }  # fmt: skip

    async def _follow(self) -> None:
        """One step and the wait after it."""
        began = time.monotonic()
        before = self._commit
        step = await self._work(self._aggregates.step)
        took = time.monotonic() - began
        self._commit, self._late = step.commit, self._aggregates.late
        self._tip = await asyncio.to_thread(self._whole)
        self._state, self._away_since = "up", None
        if not step.refused and (self._last_error or {}).get("code") != TooManyGroups.code:
            self._last_error = None
        if step.days or step.commit != before:
            self._took_ms = took * 1e3
        for table, days in step.days.items():
            self._published(table, {day_of_number(day) for day in days})
        await self._tell(step)
        await self._wait(max(PACE_S, 2 * took) - took if step.commit != before else 0.0)

    async def _wait(self, pace_s: float) -> None:
        """Keep the pace unless a drain is asked; then, with nothing left, until poked or ``LOOK_S`` is over."""
        if pace_s > 0:
            await _first_of(self._hurry, pace_s)
        if self._tip <= self._commit:
            await _first_of(self._poked, LOOK_S)
            self._poked.clear()

    def _behind(self, target: int) -> bool:
        return self._commit < target or self._state == "starting"

    def _given_up(self) -> bool:
        return self._away_since is not None and time.monotonic() > self._away_since + AWAY_S

    def _whole(self) -> int:
        known = max(self._tip, self._commit)
        while self._log.path(known + 1).exists():
            known += 1
        return known

    async def _work(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _lost(self, error: AssayError | OSError) -> None:
        code = error.code if isinstance(error, AssayError) else "E709"
        text = str(error) if isinstance(error, AssayError) else f"{code} aggregates cannot go on: {error}"
        first = self._state != "down"
        self._state, self._last_error = "down", {"code": code, "message": text}
        self._tip = await asyncio.to_thread(self._whole)
        if first:
            self._away_since = time.monotonic()
            await self._say("assay.store.down", f"{text}; commits go on", "warning", code=code)

    async def _tell(self, step: Step) -> None:
        """What people should know of a step."""
        for table in step.made_anew:
            await self._say("assay.aggregate.made", f"`{table}` was made from all of Gold", table=table)
        for table, days in step.retired.items():
            what = f"{days} days of `{table}` are of an older definition and their Gold is gone: they lie in its `_retired`"
            await self._say("assay.aggregate.retired", what, "warning", table=table, days=days)
        for path in step.missing:
            what = (
                f"`{path}` is gone, so its records are in no aggregate; restore it and remove the day's file"
            )
            await self._say("assay.aggregate.missing", what, "warning", file=str(path))
        for error in step.refused:
            self._last_error = {"code": error.code, "message": str(error)}
            await self._say("assay.store.refused", str(error), "warning", code=error.code)
        await self._tell_late(step)

    async def _tell_late(self, step: Step) -> None:
        for table, late in step.late.items():
            if late:
                self._unsaid[table] = self._unsaid.get(table, 0) + late
        if not self._unsaid or time.monotonic() - self._said_at < SAY_S:
            return
        said, self._unsaid, self._said_at = self._unsaid, {}, time.monotonic()
        for table, late in said.items():
            what = f"{late} records came after their window was closed: they are in Gold, and in no row of `{table}`"
            await self._say("assay.aggregate.late", what, "warning", table=table, records=late)

    async def _say(self, kind: str, message: str, level: Level = "info", **facts: Any) -> None:
        await self._line.say(
            signal(kind, "aggregates", message, source="/stations/bridge", level=level, **facts)
        )


def definition_of(dataset: str, settings: Aggregate, columns: Sequence[Column]) -> Definition:
    """An aggregate of the configuration, over a dataset's typed columns.

    Raises:
        ConfigError: E155, E156, E157 as ``store.definition.define``.
    """
    return define(
        dataset, name=settings.suffix, window_s=window_s(settings.window), keys=settings.keys, measures=settings.measures,
        watermark_s=None if settings.watermark is None else seconds(settings.watermark), columns=columns,
    )  # fmt: skip


def definitions_of(dataset: str, found: Iterable[Aggregate], columns: Sequence[Column]) -> list[Definition]:
    """All of a dataset."""
    return [definition_of(dataset, one, columns) for one in found]


def aggregate_plan(definition: Definition, schema: str, rules: str) -> AggregatePlan:
    """What Hive should know of an aggregate's table.

    Args:
        schema: ``subject:version`` of the dataset.
        rules: version of the rules that its Gold is judged by.
    """
    words = ", ".join(f"{one.name} = {one.words}" for one in definition.measures)
    keys = "".join(f" and {key.name}" for key in definition.keys)
    return AggregatePlan(
        dataset=definition.table.removeprefix("gold_"), schema=schema, rules=rules, columns=(),
        comment=f"gold records of {definition.dataset} by window{keys}: {words}",
        facts={"assay.definition": definition.version}, definition=definition.version, made=definition.columns,
    )  # fmt: skip


async def _first_of(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):  # wait_for may swallow a cancellation in 3.11
            await event.wait()
