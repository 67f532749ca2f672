"""Micro-batches on Structured Streaming: how long a row takes at 10,000 rows/s, and how fast a backlog is read.

    python -m bench.micro_batch [--seconds 90] [--events 1200000]

Latency: every second a file of 10,000 events is renamed into the watched folder. A file's time ends with the commit that
holds its last row; the writer's own signals say when that was.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path
from statistics import median

from bench.event_mode import QUICK, events_file
from bench.events import write_jsonl
from bench.figure import Figure, quantile, table
from bench.program import OUT, Program, running, stored_rows, write_config

EVENTS, RATE, SECONDS, TRIGGER_S = 1_200_000, 10_000, 90, 10
BACKLOG = 45_000


def finished(program: Program) -> list[tuple[float, int]]:
    """When each micro-batch was over, and how many rows it brought."""
    rows = [one.data["rows"] for one in program.signals if one.type == "assay.batch.finished"]
    return list(zip(program.times("assay.batch.finished"), rows, strict=True))


async def backlog(source: Path, count: int) -> float:
    """Events a second of a file that waits, from the end of the first micro-batch to the end of the last."""
    folder = OUT / "micro_backlog"
    shutil.rmtree(folder, ignore_errors=True)
    config, root = write_config(folder, str(source), settle_s=0.2), folder / "data"
    from bench.spark_batch import limit_to

    limit_to(config, max(source.stat().st_size // 5, 1 << 20))
    async with running(config, root, "--streaming", "--trigger-interval", "2 seconds", "--no-web") as program:
        await program.until(lambda: sum(rows for _, rows in finished(program)) >= count, 240 + count / 5000)
        batches = finished(program)
    if sum(stored_rows(root).values()) != count:
        raise RuntimeError(f"{count} events were written, {stored_rows(root)} are in the tables")
    shutil.rmtree(root)
    return sum(rows for _, rows in batches[1:]) / (batches[-1][0] - batches[0][0])


async def latency(seconds: int, rate: int) -> list[float]:
    """Seconds from a file's rename into the folder to the end of the micro-batch that holds it."""
    folder = OUT / "micro_latency"
    shutil.rmtree(folder, ignore_errors=True)
    inbox, ready = folder / "in", folder / "ready"
    inbox.mkdir(parents=True)
    ready.mkdir()
    for number in range(seconds):
        write_jsonl(ready / f"{number:04d}.jsonl", rate, seed=number % 4)
    write_jsonl(inbox / "0.jsonl", 1000)
    config, root = (
        write_config(folder, str(inbox / "*.jsonl"), settle_s=0.2, poll_interval_s=0.2),
        folder / "data",
    )
    trigger = f"{TRIGGER_S} seconds"
    async with running(config, root, "--streaming", "--trigger-interval", trigger, "--no-web") as program:
        await program.until(lambda: bool(finished(program)), 240)
        dropped = []
        for number in range(seconds):
            due = time.monotonic() + 1.0
            (ready / f"{number:04d}.jsonl").rename(inbox / f"{number + 1:04d}.jsonl")
            dropped.append(time.time())
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        wanted = 1000 + seconds * rate
        await program.until(lambda: sum(rows for _, rows in finished(program)) >= wanted, 240)
        batches = finished(program)
    shutil.rmtree(folder)
    found, done, at = [], 0, iter(batches)
    when = 0.0
    for number, start in enumerate(dropped):
        while done < 1000 + (number + 1) * rate:
            when, rows = next(at)
            done += rows
        found.append(when - start)
    return found


def main(quick: bool = False, *, events: int = 0, seconds: int = 0) -> list[Figure]:
    """Both figures."""
    count, seconds = events or (QUICK if quick else EVENTS), seconds or (10 if quick else SECONDS)
    took = asyncio.run(latency(seconds, RATE // 10 if quick else RATE))
    rate = asyncio.run(backlog(events_file(count), count))
    return [
        Figure(
            f"micro-batch, file to commit at 10,000 rows/s, trigger {TRIGGER_S} s, median", median(took), "s",
            TRIGGER_S + 1.0, note=f"p95 {quantile(took, 0.95):.1f} s",
        ),
        Figure("micro-batch, backlog", rate, "events/s", BACKLOG, at_most=False),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    args = parser.parse_args()
    began = time.monotonic()
    print(table(main(events=args.events, seconds=args.seconds)))
    print(f"{time.monotonic() - began:.0f} s in all", file=sys.stderr)
