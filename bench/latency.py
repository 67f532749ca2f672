"""From an event's arrival to a subscriber in another process, and to its commit, at 20,000 events a second.

    python -m bench.latency [--seconds 20] [--rate 20000]

Four processes, made of the real parts and without Ray, which carries no records: a connector with the real judge, the
bus, the writer on a real data directory, and a subscriber that decodes what it gets. Event ``k`` arrives at ``start +
k / rate``, whether anybody is ready for it or not, and the source hands over what has arrived every 2 ms: the wait
for that, and any backlog, count. The first quarter is warm-up and left out.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import shutil
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import uvloop

from actors.bus import Bus
from actors.connector import Connector, Job
from actors.novelty import Novelty
from actors.stations import settlements
from actors.writer import Writer
from bench.events import DATASET, SCHEMA, lines
from bench.figure import Figure, quantile, table
from bench.program import OUT, cpu_s
from config.models import Storage
from config.models import Writer as WriterSettings
from core.batch import Batch, Mark, Resume, large_binary
from core.bus_messages import Filter
from core.line import Endpoint, Line, ipc_address
from core.ports import Attachment, SourceStatistics
from core.status import SourceFacts
from quality import compile_judge
from schemas.columns import columns

RATE = 20_000
LINGER_S = 0.002
SECONDS, QUICK_S = 20.0, 4.0
WARM_UP = 0.25
SOURCE = "paced"
DISTINCT = 100_000
"""Different events; a longer run tells them again."""

Floats = npt.NDArray[np.float64]


class Paced:
    """``core.ports.Source``: events that arrive by the clock."""

    def __init__(self, start: float, rate: int, events: int, raw: pa.Array) -> None:
        self._start, self._rate, self._events, self._raw = start, rate, events, raw
        self._read = self._acked = 0
        self._due = start
        self.durable: list[Floats] = []
        """For each event, in order: when its commit was known here, less ``k / rate``."""

    async def open(self, resume: Resume) -> None:
        """Nothing to resume."""

    async def read(self) -> Batch | None:
        """What has arrived since the last call, at most every 2 ms."""
        while self._read < self._events:
            now = time.monotonic()
            arrived = min(self._events, int((now - self._start) * self._rate))
            if now >= self._due and arrived > self._read:
                self._due = max(self._due + LINGER_S, now)
                return self._batch(arrived)
            await asyncio.sleep(max(0.0, self._due - now))
        return None

    async def ack(self, marks: Mapping[str, Mark]) -> None:
        """Events before the mark are committed, and that is known here now."""
        now, upto = time.monotonic(), int(marks["p"]["upto"])
        self.durable.append(now - np.arange(self._acked, upto) / self._rate)
        self._acked = upto

    async def close(self) -> None:
        """Nothing is held."""

    def statistics(self) -> SourceStatistics:
        """None to tell."""
        return SourceStatistics()

    def _batch(self, upto: int) -> Batch:
        numbers = np.arange(self._read, upto, dtype=np.int64)
        first, self._read = self._read, upto
        raw = self._raw.take(pa.array(numbers % len(self._raw)))
        positions = pa.array([f'{{"number":{number}}}' for number in numbers.tolist()])
        return Batch(
            partition="p", ordinals=pa.array(numbers), ends=pa.array(numbers + 1), raw=raw, positions=positions,
            covers=((first, upto),), mark={"upto": upto}, content_type="application/json",
        )  # fmt: skip


class Desk:
    """``core.ports.WriterDesk`` over a pipe; also the registry's desk, which has nothing to notice here."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def attach(self, source: str) -> Attachment:
        """See ``WriterDesk``."""
        self._pipe.send(source)
        return msgspec.msgpack.decode(await asyncio.to_thread(self._pipe.recv_bytes), type=Attachment)

    async def noticed(self, subject: str, fields: dict[str, str], source: str) -> None:
        """Benchmark events have no unknown fields."""


async def carry(address: str, root: Path, pipe: Connection) -> None:
    """The bus, until killed."""
    bus = Bus(address, "memory", root / "state" / "bus")
    await bus.start()
    pipe.send("ready")
    await bus.run()


async def write(address: str, root: Path, pipe: Connection) -> None:
    """The writer, until killed: as actors/stations.py wires it, with a pipe for calls."""
    line, plan = Line(Endpoint(address), "writer"), columns(SCHEMA)
    writer = Writer(root, Storage(root=root), WriterSettings(), mode="event", plan=lambda *_: plan, line=line)
    await writer.start()
    await line.open()
    frames = await line.subscribe(
        Filter("scored.*"),
        name="writer",
        durable=True,
        by_hand=True,
        credit_bytes=64 << 20,
        credit_frames=4096,
    )

    async def answer() -> None:
        while True:
            source = await asyncio.to_thread(pipe.recv)
            pipe.send_bytes(msgspec.msgpack.encode(await writer.attach(source)))

    pipe.send("ready")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        async for delivery in frames:
            assert delivery.frame is not None
            await writer.take(delivery.frame)
            frames.done(delivery)


async def listen(address: str, root: Path, pipe: Connection, rate: int, events: int) -> None:
    """The subscriber: says, for each event in order, when it had it, less ``k / rate``."""
    line = Line(Endpoint(address), "reader")
    await line.open()
    reader = await line.subscribe(Filter(f"scored.{SOURCE}"), lossless=True)
    pipe.send("ready")
    seen: list[Floats] = []
    missing = events
    async for item in reader:
        assert item.frame is not None
        ordinals = item.frame.records.column("ordinal").to_numpy()
        seen.append(time.monotonic() - ordinals / rate)
        missing -= len(ordinals)
        if not missing:
            break
    pipe.send(np.concatenate(seen))
    await line.close()


async def connect(
    address: str, root: Path, pipe: Connection, rate: int, events: int, desk_pipe: Connection
) -> None:
    """The connector, until its source is drained."""
    line = Line(Endpoint(address), f"connector:{SOURCE}")
    await line.open()
    settled = await line.subscribe(Filter(f"settled.{SOURCE}"), keep=1000)
    raw, judge, desk = (
        large_binary(list(lines(min(DISTINCT, events)))),
        compile_judge(SCHEMA, DATASET),
        Desk(desk_pipe),
    )
    pipe.send("ready")
    source = Paced(await asyncio.to_thread(pipe.recv), rate, events, raw)
    job = Job(facts=SourceFacts(SOURCE, "paced", SOURCE), mode="event", follow=True, schema="sale:1")
    connector = Connector(
        job, lambda: source, judge, line=line, settlements=settlements(settled), desk=desk,
        novelty=Novelty(SOURCE, SOURCE, desk),
    )  # fmt: skip
    await connector.run()
    pipe.send(np.concatenate(source.durable))
    await line.close()


def _run(station: Any, *args: Any) -> None:
    uvloop.run(station(*args))  # as Ray's actors do where it is installed


def measure(rate: int, seconds: float) -> tuple[Floats, Floats, dict[str, float]]:
    """Seconds from arrival to the subscriber and to the known commit, of each event after warm-up; cores used."""
    spawn = multiprocessing.get_context("spawn")
    root, events = OUT / "latency", int(rate * seconds)
    shutil.rmtree(root, ignore_errors=True)
    (root / "state").mkdir(parents=True)
    address = ipc_address(root)
    processes: list[Any] = []

    def begin(station: Any, *args: Any) -> Connection:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_run, args=(station, address, root, theirs, *args), daemon=True)
        process.start()
        processes.append(process)
        assert ours.recv() == "ready"
        return ours

    try:
        begin(carry)
        desk = begin(write)
        reader = begin(listen, rate, events)
        connector = begin(connect, rate, events, desk)
        start = time.monotonic() + 0.5
        before = [cpu_s(process.pid) for process in processes]
        connector.send(start)
        live, durable = reader.recv() - start, connector.recv() - start
        used = [cpu_s(process.pid) - spent for process, spent in zip(processes, before, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.join()
    shutil.rmtree(root)
    first = int(events * WARM_UP)
    names = ("bus", "writer", "subscriber", "connector")
    return (
        live[first:],
        durable[first:],
        {name: spent / seconds for name, spent in zip(names, used, strict=True)},
    )


def main(quick: bool = False, *, rate: int = RATE, seconds: float = 0.0) -> list[Figure]:
    """Measure."""
    live, durable, cores = measure(rate, seconds or (QUICK_S if quick else SECONDS))
    live_ms, durable_s = (live * 1e3).tolist(), durable.tolist()
    where = f"{rate:,} events/s"
    worst = f"max {max(live_ms):.1f} ms, {len(live_ms):,} events"
    load = ", ".join(f"{name} {100 * share:.0f} %" for name, share in cores.items())
    return [
        Figure(f"arrival to subscriber, p50 at {where}", quantile(live_ms, 0.5), "ms", 4, note=f"of a core: {load}"),
        Figure(f"arrival to subscriber, p99 at {where}", quantile(live_ms, 0.99), "ms", 20, note=worst),
        Figure(
            f"arrival to commit, p99 at {where}", quantile(durable_s, 0.99), "s", 1.2,
            note=f"p50 {quantile(durable_s, 0.5):.2f} s, max {max(durable_s):.2f} s",
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    print(table(main(rate=args.rate, seconds=args.seconds)))
