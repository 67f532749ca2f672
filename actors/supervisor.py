"""The supervisor: starts the stations in order, starts them again when they die, and ends the run in order.

It does not know Ray: a ``Spawner`` puts stations somewhere and says when they end (actors/topology.py is the real one).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.plan import Plan
from actors.report import report
from core.errors import AssayError, ConfigError, Permanent
from core.ports import Bus
from core.retry import backoff
from core.signals import Level, signal
from core.status import instant

GIVE_UP_AFTER = 8
"""Batch mode: a station that died so often in a row before it was ready ends for good."""
STEADY_S = 30.0
"""A station that lived this long starts again without the waits of its earlier deaths."""


class Died(Exception):
    """A station's process is gone."""


class Running(Protocol):
    """A station somewhere."""

    pid: int

    async def finished(self) -> Any:
        """What its ``run`` returns. Raises ``Died``, or the AssayError that ended it."""

    async def call(self, method: str, *args: Any) -> Any:
        """A control call. Raises ``Died``."""

    def kill(self) -> None:
        """End it now."""


class Spawner(Protocol):
    """Where stations are put."""

    def begin(self, stations: Iterable[str]) -> None:
        """These will be started soon: let their processes come up side by side."""

    async def start(self, station: str) -> Running:
        """Start a station and wait until it is ready. Raises ``Died`` or the AssayError that kept it from it."""


@dataclass(slots=True)
class Station:
    """What the supervisor knows of a station."""

    name: str
    state: str = "waiting"
    pid: int | None = None
    restarts: int = 0
    last_error: dict[str, Any] | None = None
    running: Running | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)

    def as_dict(self) -> dict[str, Any]:
        """For ``stations`` of the status document."""
        return {
            "name": self.name, "state": self.state, "pid": self.pid, "restarts": self.restarts,
            "last_error": self.last_error,
        }  # fmt: skip


class Supervisor:
    """Keeps one run alive.

    Args:
        line: the supervisor's own line to the bus; usable before the bus is up.
    """

    def __init__(self, plan: Plan, spawner: Spawner, line: Bus) -> None:
        self._plan = plan
        self._spawner = spawner
        self._line = line
        self._stations = {
            name: Station(name) for name in ("bus", "registry", "writer", *plan.connectors, "bridge")
        }
        self._ends: dict[str, asyncio.Task[Any]] = {}
        self._stopping = asyncio.Event()
        self._closing = False

    def statistics(self) -> dict[str, Any]:
        """The ``stats`` message of the supervisor."""
        own = {
            "name": "supervisor",
            "state": "done" if self._closing else "running",
            "pid": os.getpid(),
            "restarts": 0,
            "last_error": None,
        }
        stations = [station.as_dict() for station in self._stations.values()]
        return {"station": "supervisor", "kind": "supervisor", "stations": [own, *stations]}

    def stop(self) -> None:
        """End the run in order: sources first, then what they sent is committed."""
        self._stopping.set()

    async def run(self) -> dict[str, Any]:
        """Until every source is drained (batch), or until stopped.

        Returns:
            ``{"errors": {station: {"code", "message"}}, "statistics": [last stats message of each station]}``
        """
        reporting = asyncio.create_task(report(self._line, self.statistics))
        try:
            tables = ["bridge"] if self._plan.by_spark else []
            self._spawner.begin(["bus", "writer", "registry", *tables, *self._plan.connectors])
            for name in self._stations:
                self._ends[name] = asyncio.create_task(self._keep(self._stations[name]), name=name)
            await self._until_over()
            return await self._close()
        finally:
            reporting.cancel()

    async def _until_over(self) -> None:
        sources = asyncio.gather(
            *(self._ends[name] for name in self._plan.connectors), return_exceptions=True
        )
        stopping = asyncio.create_task(self._stopping.wait())
        over: set[asyncio.Future[Any]] = {sources, stopping}
        over |= {self._ends[name] for name in ("bus", "registry", "writer")}
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _keep(self, station: Station) -> Any:
        """Start ``station``, and again whenever it dies. Returns what it returns; raises what ends it for good."""
        for need in self._needs(station.name):
            await self._stations[need].up.wait()
        waits, stillborn = backoff(0.1, 10.0), 0
        while True:
            born = time.monotonic()
            try:
                await self._begin(station)
                stillborn = 0
                assert station.running is not None
                result = await station.running.finished()
                station.state = "done"
                return result
            except Died as death:
                if self._closing:
                    station.state = "done"
                    return None
                stillborn += station.running is None
                if stillborn >= GIVE_UP_AFTER and not self._plan.follow:
                    raise await self._fail(station, AssayError(f"does not start: {death}", "E907")) from None
                await self._mourn(station, "E907", str(death))
            except AssayError as error:
                if not self._may_heal(station, error):
                    raise await self._fail(station, error) from None
                await self._mourn(station, error.code, error.message)
            if time.monotonic() - born > STEADY_S:
                waits = backoff(0.1, 10.0)
            await asyncio.sleep(next(waits))

    async def _begin(self, station: Station) -> None:
        station.state = "restarting" if station.restarts else "starting"
        station.running = None
        station.running = await self._spawner.start(station.name)
        station.pid, station.state = station.running.pid, "running"
        station.up.set()
        if station.restarts:
            await self._say("assay.station.restarted", station, f"lives again, pid {station.pid}")

    async def _fail(self, station: Station, error: AssayError) -> AssayError:
        station.state = "failed"
        station.last_error = {"code": error.code, "message": error.message, "at": instant(time.time())}
        await self._say("assay.station.failed", station, str(error), "error")
        return error

    async def _mourn(self, station: Station, code: str, why: str) -> None:
        station.restarts += 1
        station.state, station.running = "restarting", None
        station.last_error = {"code": code, "message": why, "at": instant(time.time())}
        await self._say("assay.station.died", station, why, "error")

    def _may_heal(self, station: Station, error: AssayError) -> bool:
        """Whether a new life may mend it: not what the user must mend, nor a source that gave up by itself."""
        own = station.name.startswith("connector:") and station.running is not None
        if station.name == "writer" and error.code.startswith("E7") and not self._plan.follow:
            return False
        return not (own or self._closing or isinstance(error, ConfigError | Permanent))

    def _needs(self, name: str) -> tuple[str, ...]:
        if name == "bus":
            return ()
        if name in {"registry", "writer"}:
            return ("bus",)
        if (
            name == "bridge" and not self._plan.by_spark
        ):  # its JVM may take the processor once the sources are at work
            return self._plan.connectors
        return ("bus", "registry", "writer")

    async def _close(self) -> dict[str, Any]:
        """Sources stop, the writer commits, the bridge registers, the rest ends; every step has its bound."""
        drain_s = 30.0 if self._stations["writer"].state != "failed" else 1.0  # nobody will settle anything
        last: list[dict[str, Any]] = []
        await self._each(self._plan.connectors, "stop", within_s=5)
        await self._wait(self._plan.connectors, drain_s)
        last += await self._each(self._plan.connectors, "statistics", within_s=5)
        last += await self._each(["writer"], "drain", within_s=drain_s)
        patient = self._plan.mode == "batch" and not self._stopping.is_set()
        if patient:
            await self._let_the_bridge_come_up()
        bridge_s = 120.0 if patient else 5.0
        last += await self._each(["bridge"], "drain", bridge_s, within_s=bridge_s + 5)
        last += await self._each(["registry", "bus"], "statistics", within_s=5)
        self._closing = True
        for name in ("bridge", "registry", "writer", "bus"):
            await self._each([name], "stop", within_s=10)
            await self._wait([name], 5)
        for station in self._stations.values():
            if station.running:
                station.running.kill()
        for task in self._ends.values():
            task.cancel()
        await asyncio.gather(*self._ends.values(), return_exceptions=True)
        return {"errors": self._errors(), "statistics": [*last, self.statistics()]}

    async def _let_the_bridge_come_up(self) -> None:
        """A small batch is over before the bridge's process is up; what it committed is registered all the same."""
        if not all(self._stations[name].up.is_set() for name in self._plan.connectors):
            return
        up = asyncio.create_task(self._stations["bridge"].up.wait())
        await asyncio.wait({up, self._ends["bridge"]}, timeout=60.0, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()

    def _errors(self) -> Mapping[str, Any]:
        return {s.name: s.last_error for s in self._stations.values() if s.state == "failed" and s.last_error}

    async def _each(self, names: Any, method: str, *args: Any, within_s: float) -> list[dict[str, Any]]:
        """Call ``method`` of each station that still lives; answers that are statistics."""
        calls = [s.running.call(method, *args) for n in names if (s := self._stations[n]).running]
        bounded = [asyncio.wait_for(call, within_s) for call in calls]
        answers = await asyncio.gather(*bounded, return_exceptions=True)
        return [answer for answer in answers if isinstance(answer, dict)]

    async def _wait(self, names: Any, within_s: float) -> None:
        tasks = [self._ends[name] for name in names]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)

    async def _say(self, kind: str, station: Station, message: str, level: Level = "warning") -> None:
        words = f"{station.name}: {message}"
        await self._line.say(signal(kind, station.name, words, source="/stations/supervisor", level=level))
