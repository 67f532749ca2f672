"""The driver: one run from the first actor to the last number. Everything that watches a run hangs here.

The stations say their numbers and signals on the bus; the driver hears them as any lossy subscriber would, folds
them into the status document, shows it (terminal, page, ``state/status.json``), and ends the run in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from actors import topology
from actors.plan import Plan
from core.bus_messages import Filter
from core.errors import AssayError
from core.ledger import Counts
from core.line import Endpoint, Line
from core.redact import redact, redact_value
from core.signals import Signal
from core.status import StatusBoard

if TYPE_CHECKING:
    from actors.lineage import LineageFollower

log = logging.getLogger("assay.driver")
END_S = 75.0
"""How long an orderly end may take: sources 30 s, the writer 30 s, and some for Hive and the rest."""
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Driver:
    """Watches one run.

    Args:
        stored: counts in the manifests before the run, by source.
        show: called with the status document about five times a second (progress, page).
    """

    def __init__(
        self,
        plan: Plan,
        stored: Mapping[str, Counts],
        *,
        show: Callable[[dict[str, Any]], None],
        hear: Callable[[str, Any], None] = lambda topic, body: None,
    ) -> None:
        self._plan = plan
        self._run = topology.Run(plan)
        self._show = show
        self._hear = hear
        self._stopping = asyncio.Event()
        self._signals = 0
        self._line: Line | None = None
        self._listening: asyncio.Task[None] | None = None
        self._lineage: LineageFollower | None = None
        self.interrupted = False
        self.board = StatusBoard(
            mode=plan.mode,
            sources=[plan.facts(name) for name in plan.sources],
            stored=stored,
            started_at=time.time(),
        )

    def begin(self) -> None:
        """Let the first stations' processes come up, and hear them; ``run`` then waits for them. Ray is there already."""
        if not self.stopping:
            self._run.begin()
            self._listening = asyncio.create_task(self._listen())

    async def run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Run until over or stopped.

        Returns:
            The final status document, and the supervisor's result (``errors`` by station).
        """
        if self.stopping:  # asked to end while Ray was starting
            self.board.state = "done"
            return self.board.document(), {"errors": {}, "statistics": []}
        listening = self._listening or asyncio.create_task(self._listen())
        watching = [listening, asyncio.create_task(self._publish())]
        await self._begin_lineage(watching)
        running = asyncio.create_task(self._run.run(on_death=self._supervisor_died))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self.board.state = "draining"
                await self._end(running)
            result = await running
            for message in result["statistics"]:
                self.board.take(message)
            self.board.state = "failed" if result["errors"] else "done"
            await self._end_lineage({name: error["message"] for name, error in result["errors"].items()})
        except BaseException as error:
            self.board.state = "failed"
            await self._end_lineage({"driver": redact(str(error)) or type(error).__name__})
            raise
        finally:
            for task in (*watching, stopping):
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            if self._line:
                await self._line.close()
            self._store(self.board.document())
        document = self.board.document()
        self._show(document)
        return document, result

    async def _begin_lineage(self, watching: list[asyncio.Task[None]]) -> None:
        """Follow the log for OpenLineage, if that is asked for."""
        if not self._plan.config.lineage.enabled:
            return
        from actors.lineage import LineageFollower

        self._lineage = LineageFollower(self._plan.config, self._plan.root)
        try:
            await asyncio.to_thread(self._lineage.begin, self._plan.sources, _now_us())
        except AssayError as error:  # said, and shown; the run itself needs none of it
            log.error("%s; this run tells no lineage", error)
            self._lineage = None
            self.board.take({"station": "lineage", "kind": "lineage", "state": "down"})
        else:
            watching.append(asyncio.create_task(self._lineage.run()))

    async def _end_lineage(self, errors: Mapping[str, str]) -> None:
        """Say how the run ended; what cannot be said now is said by the next run."""
        lineage, self._lineage = self._lineage, None
        if lineage:
            aborted = self._plan.mode == "batch" and self.stopping
            await lineage.end({name: redact(why) for name, why in errors.items()}, _now_us(), aborted=aborted)
            self.board.take(lineage.statistics())

    def stop(self) -> None:
        """End the run in order."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether the run was asked to end."""
        return self._stopping.is_set()

    def watch_signals(self) -> None:
        """SIGINT and SIGTERM end the run in order from now on, also while Ray is starting."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled, number)

    async def _end(self, running: asyncio.Task[Any]) -> None:
        """Ask for the end, and wait for it no longer than ``END_S``."""
        asking = asyncio.create_task(self._run.stop())
        await asyncio.wait({running}, timeout=END_S)
        asking.cancel()
        if not running.done():
            running.cancel()
            raise AssayError(f"the run did not end within {END_S:.0f} s; what is committed is safe", "E907")

    def _signalled(self, number: int) -> None:
        """First: end in order. Second: end now; what is committed stays committed."""
        self._signals += 1
        self.interrupted = self.interrupted or number == signal.SIGINT
        if self._signals > 1:
            print("ended at once; what is committed is safe", file=sys.stderr, flush=True)
            topology.disconnect()
            os._exit(130 if self.interrupted else 143)
        self.stop()

    def _supervisor_died(self, why: str) -> None:
        log.error("the supervisor died (%s); every station starts again from the commit log", why)

    async def _listen(self) -> None:
        self._line = await open_line(self._plan, "driver")
        heard = await self._line.subscribe(Filter(topic=("stats", "system")), name="driver", lossless=False)
        async for item in heard:
            if item.signal is not None:
                self._log(item.signal)
                self._hear("system", item.signal)
            elif item.body is not None:
                self.board.take(msgspec.json.decode(item.body))
                self._hear(item.topic, item.body)

    async def _publish(self) -> None:
        """Show five times a second, store every other time."""
        turn = 0
        while True:
            if self._lineage:
                self.board.take(self._lineage.statistics())
            document = self.board.document()
            self._show(document)
            if turn % 2 == 0:
                await asyncio.to_thread(self._store, document)
            turn += 1
            await asyncio.sleep(0.2)

    def _store(self, document: dict[str, Any]) -> None:
        path = status_path(self._plan.root)
        beside = path.with_name(f".{path.name}")
        with contextlib.suppress(OSError):  # a full disk must not end the watching
            beside.write_bytes(msgspec.json.encode(redact_value(document)))
            beside.replace(path)

    def _log(self, said: Signal) -> None:
        if said.type in {"assay.batch.committed", "assay.batch.scored"}:
            level = logging.DEBUG
        else:
            level = LEVELS[said.level]
        log.log(
            level,
            "%s",
            said.data.get("message", said.type),
            extra={"event": said.type, "source": said.subject},
        )


async def open_line(plan: Plan, name: str) -> Line:
    """A line to the run's bus; usable before the bus is up."""
    line = Line(Endpoint(address=plan.bus_address), name)
    await line.open(timeout_s=1e6)
    return line


def _now_us() -> int:
    return int(time.time() * 1e6)


def status_path(root: Path) -> Path:
    """Where a run keeps its status for ``assay status``."""
    return root / "state" / "status.json"
