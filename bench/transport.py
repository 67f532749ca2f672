"""What the bus carries: a publisher, the bus and two subscribers, each a process of its own.

    python -m bench.transport [--seconds 4] [--queue memory|disk] [--uvloop]

Throughput: events/s with frames of 64, 512 and 4096 rows, every event delivered to both lossless subscribers.
Latency: at 20,000 events/s in frames of 2 ms (40 rows), from `send` to the subscriber's loop. Peer in the same run:
the same bytes over a bare ZeroMQ PUSH/PULL pair, which routes, numbers and holds back nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import zmq

from actors.bus import Bus
from bench.events import lines
from core.bus_messages import Filter
from core.frame import FRAME_SCHEMA, Frame, Header
from core.line import Endpoint, Line

RATE = 20_000
LINGER_S = 0.002


def records(rows: int) -> pa.RecordBatch:
    """``rows`` judged benchmark events."""
    raw = lines(rows)
    columns: dict[str, Any] = {
        name: pa.nulls(rows, FRAME_SCHEMA.field(name).type) for name in FRAME_SCHEMA.names
    }
    columns["ordinal"] = pa.array(range(rows), pa.int64())
    columns["tier"] = pa.array([3] * rows, pa.uint8())
    columns["score"] = pa.array([1.0] * rows)
    columns["raw"] = pa.array(raw, pa.large_binary())
    return pa.RecordBatch.from_arrays([columns[name] for name in FRAME_SCHEMA.names], schema=FRAME_SCHEMA)


def frame(batch: pa.RecordBatch, seq: int) -> Frame:
    """The next one, stamped with now (monotonic is one clock for all processes of a machine)."""
    header = Header(
        source="bench", dataset="bench", epoch=1, seq=seq, arrived_us=time.monotonic_ns() // 1000,
        tiers=(0, 0, 0, batch.num_rows), covers=[("p", seq, seq + 1)],
    )  # fmt: skip
    return Frame(header, batch)


async def serve(address: str, directory: str, queue: Any, _: Any) -> None:
    """The bus."""
    bus = Bus(address, queue, Path(directory))
    await bus.start()
    await bus.run()


async def listen(address: str, rows: int, events: int, said: Any) -> None:
    """A subscriber: says the mean rate and the delays of its frames."""
    line = Line(Endpoint(address), "reader")
    await line.open()
    reader = await line.subscribe(Filter("scored.bench"), lossless=True)
    said.put("ready")
    delays: list[float] = []
    first = last = 0.0
    async for item in reader:
        assert item.frame is not None
        last = time.monotonic()
        first = first or last
        delays.append(last * 1e3 - item.frame.header.arrived_us / 1e3)
        assert item.frame.records.num_rows == rows
        if len(delays) * rows >= events:
            break
    said.put({"rate": (len(delays) - 1) * rows / max(1e-9, last - first), "delays": delays})
    await line.close()


async def publish(address: str, rows: int, events: int, rate: int) -> None:
    """Publish ``events`` at ``rate`` a second (0: as fast as the line takes them)."""
    line = Line(Endpoint(address), "writer")
    await line.open()
    batch, start = records(rows), time.monotonic()
    for seq in range(1, events // rows + 1):
        if rate:
            await asyncio.sleep(max(0.0, start + seq * rows / rate - time.monotonic()))
        await line.send(frame(batch, seq))
        if not rate:
            await asyncio.sleep(0)
    await asyncio.sleep(1)
    await line.close()


def measure(rows: int, events: int, rate: int, args: argparse.Namespace) -> tuple[float, list[float]]:
    """Rate of the slower subscriber, and all delays in ms."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        address, said = f"ipc://{directory}/bus.sock", spawn.Queue()
        bus = spawn.Process(
            target=run, args=(args.uvloop, serve, address, directory, args.queue, None), daemon=True
        )
        bus.start()
        readers = [
            spawn.Process(target=run, args=(args.uvloop, listen, address, rows, events, said), daemon=True)
            for _ in range(2)
        ]
        for reader in readers:
            reader.start()
        for _ in readers:
            assert said.get(timeout=60) == "ready"
        writer = spawn.Process(
            target=run, args=(args.uvloop, publish, address, rows, events, rate), daemon=True
        )
        writer.start()
        results = [said.get(timeout=120) for _ in readers]
        for process in (writer, *readers, bus):
            process.terminate()
            process.join()
    return min(result["rate"] for result in results), [d for result in results for d in result["delays"]]


def bare(rows: int, seconds: float) -> float:
    """Events/s of the same frames over a PUSH/PULL pair, one process."""
    context: zmq.Context[Any] = zmq.Context()
    push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    with tempfile.TemporaryDirectory() as directory:
        pull.bind(f"ipc://{directory}/s")
        push.connect(f"ipc://{directory}/s")
        batch, seq, start = records(rows), 0, time.monotonic()
        while time.monotonic() - start < seconds:
            seq += 1
            push.send_multipart(frame(batch, seq).pack(), copy=False)
            assert (
                Frame.unpack([part.buffer for part in pull.recv_multipart(copy=False)]).records.num_rows
                == rows
            )
        took = time.monotonic() - start
    context.destroy(0)
    return seq * rows / took


def run(uv: bool, what: Any, *args: Any) -> None:
    """A process's loop."""
    if uv:
        import uvloop

        uvloop.run(what(*args))
    else:
        asyncio.run(what(*args))


def main() -> None:
    """Print one JSON object a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--queue", choices=["memory", "disk"], default="memory")
    parser.add_argument("--uvloop", action="store_true")
    args = parser.parse_args()
    for rows, guess in ((64, 100_000), (512, 200_000), (4096, 250_000)):
        rate, _ = measure(rows, int(guess * args.seconds) // rows * rows, 0, args)
        peer = bare(rows, args.seconds / 4)
        print(
            json.dumps(
                {
                    "rows": rows,
                    "events_per_s": round(rate),
                    "bare_zeromq": round(peer),
                    "ratio": round(rate / peer, 2),
                }
            )
        )
    rows = int(RATE * LINGER_S)
    _, delays = measure(rows, int(RATE * args.seconds) // rows * rows, RATE, args)
    cuts = statistics.quantiles(delays, n=100)
    print(
        json.dumps(
            {
                "at_events_per_s": RATE,
                "p50_ms": round(cuts[49], 2),
                "p99_ms": round(cuts[98], 2),
                "max_ms": round(max(delays), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
