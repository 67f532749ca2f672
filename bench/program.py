"""The real program as a child process, and what can be learned of it from outside: its words on the bus, its memory."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from bench.events import DATASET, SCHEMA
from core.bus_messages import Filter
from core.line import Endpoint, Line, ipc_address
from core.signals import Signal

CHECKOUT = Path(__file__).resolve().parent.parent
OUT = CHECKOUT / "tests" / ".out" / "bench"
"""Where inputs, data directories and results go; not in version control."""
_LIBC = ctypes.CDLL(None)


class Program:
    """A running ``main.py`` and the newest ``stats`` of each station."""

    def __init__(self, process: subprocess.Popen[bytes], root: Path, log: Path) -> None:
        self.process = process
        self.root = root
        self.log = log
        self.stats: dict[str, dict[str, Any]] = {}
        self.heard_at: dict[str, float] = {}
        """Station -> monotonic seconds of its first word."""
        self.signals: list[Signal] = []
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Hear the bus as a lossy subscriber, for ever; one that stands still costs the others nothing."""
        line = Line(Endpoint(address=ipc_address(self.root)), "bench")
        await line.open(timeout_s=1e6)
        try:
            heard = await line.subscribe(Filter(topic=("stats", "system")), keep=5000, timeout_s=1e6)
            async for item in heard:
                if item.signal is not None:
                    self.signals.append(item.signal)
                elif item.body is not None:
                    said = msgspec.json.decode(item.body)
                    self.heard_at.setdefault(said["station"], time.monotonic())
                    self.stats[said["station"]] = said
                self._changed.set()
        finally:
            await line.close()

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until what was heard satisfies ``condition``.

        Raises:
            RuntimeError: the program ended, or did not get there in time; with the end of its log.
        """
        end = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"main.py is not where it should be:\n{self.log.read_text()[-3000:]}")
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self._changed.wait()

    def times(self, kind: str) -> list[float]:
        """When signals of this type were said, seconds since 1970, by their own clock."""
        return [_seconds(one.time) for one in self.signals if one.type == kind]

    def pids(self, stations: list[str]) -> dict[str, int]:
        """Process ids of the stations that have said something."""
        return {name: self.stats[name]["pid"] for name in stations if name in self.stats}

    async def stop(self) -> None:
        """End it in order; by force what is left after a minute."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, 60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@asynccontextmanager
async def running(
    config: Path, root: Path, *words: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """``main.py --config … --data-dir … words``, heard from its first word on, and ended at the end."""
    root.mkdir(parents=True, exist_ok=True)
    log = root.with_suffix(".log")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ASSAY_", "RAY_"))}
    command = [sys.executable, "main.py", "--config", str(config), "--data-dir", str(root), *words]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**kept, **(env or {})},
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one libc call, no thread of ours yet
        )
    program = Program(process, root, log)
    listening = asyncio.create_task(program.listen())
    try:
        yield program
    finally:
        await program.stop()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def write_config(folder: Path, pattern: str, **more: Any) -> Path:
    """A configuration with one source ``sales`` of benchmark events and their rules, no Hive. JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = folder / "sale.json"
    schema.write_text(json.dumps(SCHEMA))
    config = {
        "sources": {
            "sales": {"type": "file", "path": pattern, "format": "jsonl", "dataset": "sales", **more}
        },
        "datasets": {"sales": {"schema": str(schema), **DATASET}},
        "hive": {"enabled": False},
    }
    path = folder / "config.yml"
    path.write_text(json.dumps(config, indent=1))
    return path


def stored_rows(root: Path) -> dict[str, int]:
    """Rows by tier, from the footers of the parquet files in the tables; staged ones do not count."""
    found: dict[str, int] = {}
    for path in (root / "warehouse").glob("*/year=*/*/*/*.parquet"):
        tier, _, dataset = path.relative_to(root / "warehouse").parts[0].partition("_")
        if "_by_" in dataset:  # an aggregate's windows
            continue
        found[tier] = found.get(tier, 0) + pq.read_metadata(path).num_rows
    return found


def die_with_parent() -> None:
    """In a child, before it becomes its program: get SIGTERM when the bench that started it is gone (Linux)."""
    _LIBC.prctl(1, signal.SIGTERM)


def pss_mb(pid: int) -> float | None:
    """Proportional set size of a process in MB (10^6), None if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        return None
    return None


def cpu_s(pid: int) -> float:
    """User and system seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_s() -> float:
    """Seconds that the machine's cores have been at work, all processes together."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def waited_s(pid: int) -> float:
    """Seconds that the threads of a process were ready to run and had no core: how busy the machine was otherwise."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[1]) for path in tasks) / 1e9


def _seconds(stamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(stamp).timestamp()
