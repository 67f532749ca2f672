"""The batch engine on Spark, with our kernel in its tasks; beside the same job as plain Spark SQL expressions.

    python -m bench.spark_batch [--events 1200000] [--runs 3] [--no-peer]

Both read the same JSON lines in a session that has digested a first portion, and are timed over the rest: until the last
rows are in parquet. The peer (bench/spark_peer.py) parses, checks, scores and tiers by column expressions, without any
Python function, and writes parquet by tier and day. Ours judges exactly, keeps every reason, and commits chunk by chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench import spark_peer
from bench.event_mode import QUICK, events_file
from bench.figure import Figure, table
from bench.program import OUT, running, stored_rows, write_config

EVENTS, RUNS, RATIO = 1_200_000, 3, 1.5
CHUNKS = 4


async def measure(source: Path, count: int) -> dict[str, float]:
    """Events a second from the end of the first chunk to the last commit.

    Raises:
        RuntimeError: not every event arrived in the tables.
    """
    folder = OUT / "spark_batch"
    shutil.rmtree(folder, ignore_errors=True)
    config, root = write_config(folder, str(source)), folder / "data"
    limit_to(config, source.stat().st_size // CHUNKS)
    async with running(config, root, "--engine", "spark", "--no-web") as program:
        await asyncio.to_thread(program.process.wait, 120 + count / 5000)
        chunks = [
            (one.time, one.data["rows"]) for one in program.signals if one.type == "assay.batch.finished"
        ]
        ended = program.times("assay.batch.finished")
    stored = stored_rows(root)
    if sum(stored.values()) != count:
        raise RuntimeError(
            f"{count} events were written, {stored} are in the tables:\n{program.log.read_text()[-2000:]}"
        )
    shutil.rmtree(root)
    took, rows = ended[-1] - ended[0], sum(rows for _, rows in chunks[1:])
    return {"rate": rows / took, "seconds": took, "timed": float(rows)}


def limit_to(config: Path, size_bytes: int) -> None:
    """Let the configuration's chunks or micro-batches be at most so large."""
    import json

    document = json.loads(config.read_text())
    document["spark"] = {"trigger_limit": f"{max(1, size_bytes)} B", "driver_memory": "2g"}
    config.write_text(json.dumps(document))


def main(quick: bool = False, *, events: int = 0, runs: int = 0, peer: bool = True) -> list[Figure]:
    """Us and the peer in turn, several times; medians."""
    count, runs = events or (QUICK if quick else EVENTS), runs or (1 if quick else RUNS)
    source = events_file(count)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, Any]] = []
    for _ in range(runs):
        ours.append(asyncio.run(measure(source, count)))
        if peer:
            theirs.append(spark_peer.measure(source, count, "--batch"))
    note = ", ".join(f"{one['rate']:,.0f}" for one in ours)
    if peer:
        note += " against " + ", ".join(f"{one['rate']:,.0f}" for one in theirs)
    return [
        Figure(
            "batch on Spark, JSON lines to committed parquet", median(one["rate"] for one in ours), "events/s",
            at_most=False, peer=median(one["rate"] for one in theirs) if peer else None,
            peer_name="plain Spark SQL expressions", ratio_target=RATIO, note=note,
        )
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--no-peer", action="store_true")
    args = parser.parse_args()
    began = time.monotonic()
    print(table(main(events=args.events, runs=args.runs, peer=not args.no_peer)))
    print(f"{time.monotonic() - began:.0f} s in all", file=sys.stderr)
