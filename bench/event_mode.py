"""Event mode, end to end: JSON lines -> judged, scored, committed parquet; beside Spark Structured Streaming.

    python -m bench.event_mode [--events 1200000] [--runs 3] [--no-peer] [--profile]

``main.py --streaming --event-mode --no-web`` reads one file. The rate is rows in the tables' parquet footers over the
time from the source's start (just before its first read) to the last commit (files in place, manifest synced).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import spark_peer
from bench.events import write_jsonl
from bench.figure import Figure, table
from bench.program import OUT, Program, cpu_s, machine_s, running, stored_rows, waited_s, write_config

EVENTS, RUNS = 1_200_000, 3
QUICK = 60_000
STATIONS = ["connector:sales", "bus", "writer"]
TARGET, RATIO, PEER_FLOOR = 80_000, 1.3, 40_000
ALIKE = 0.3
"""Cores: when others take more than this more from one side than from the other, the ratio says nothing."""


def events_file(count: int) -> Path:
    """``count`` benchmark events; made once, all different."""
    path = OUT / "input" / f"sales-{count}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        write_jsonl(beside, count)
        beside.rename(path)
    return path


async def measure(source: Path, count: int, profile: Path | None = None) -> dict[str, float]:
    """Run the program over ``source``: events a second, and CPU µs an event of each station.

    Raises:
        RuntimeError: not every event arrived in the tables.
    """
    folder = OUT / "event_mode"
    shutil.rmtree(folder, ignore_errors=True)
    config, root = write_config(folder, str(source)), folder / "data"
    async with running(config, root, "--streaming", "--event-mode", "--no-web") as program:
        await program.until(lambda: bool(program.times("assay.source.started")), 120)
        await program.until(lambda: all(name in program.stats for name in STATIONS), 30)
        spies = _spies(program, profile) if profile else []
        pids = program.pids(STATIONS)
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        waited, machine = waited_s(pids[STATIONS[0]]), machine_s()
        await program.until(lambda: _committed(program) >= count, 30 + count / 5000)
        used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        waited, machine = waited_s(pids[STATIONS[0]]) - waited, machine_s() - machine
        took = program.times("assay.batch.committed")[-1] - program.times("assay.source.started")[0]
        for spy in spies:
            spy.wait()
    stored = stored_rows(root)
    if sum(stored.values()) != count:
        raise RuntimeError(f"{count} events were written, {stored} are in the tables")
    shutil.rmtree(root)
    return {
        "rate": count / took,
        "seconds": took,
        "waited": waited,
        "elsewhere": (machine - sum(used.values())) / took,
        **{name: used[name] / count * 1e6 for name in used},
    }


def _committed(program: Program) -> int:
    return int(program.stats.get("connector:sales", {}).get("source", {}).get("committed", 0))


def _spies(program: Program, folder: Path) -> list[subprocess.Popen[bytes]]:
    """py-spy on connector and writer, while they work."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        subprocess.Popen([
            "py-spy", "record", "-r", "200", "-d", "6", "-t", "-f", "raw", "-o", str(folder / f"{name.partition(':')[0]}.txt"),
            "-p", str(pid),
        ])
        for name, pid in program.pids(["connector:sales", "writer"]).items()
    ]  # fmt: skip


def main(
    quick: bool = False, *, events: int = 0, runs: int = 0, peer: bool = True, profile: Path | None = None
) -> list[Figure]:
    """Measure us and the peer in turn, several times; medians."""
    count, runs = events or (QUICK if quick else EVENTS), runs or (1 if quick else RUNS)
    source = events_file(count)
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(asyncio.run(measure(source, count, profile)))
        if peer:
            theirs.append(spark_peer.measure(source, count))
    cpu = ", ".join(f"{name.partition(':')[0]} {_middle(ours, name):.1f}" for name in STATIONS)
    note = f"{runs} x {count:,} events in {_range(ours, 'seconds')} s; CPU µs/event: {cpu}; "
    note += f"waiting for a core {_middle(ours, 'waited'):.1f} s; rest of the machine {_middle(ours, 'elsewhere'):.1f} cores"
    alike = peer and abs(_middle(theirs, "elsewhere") - _middle(ours, "elsewhere")) <= ALIKE
    if peer:
        note += f"; peer {_range(theirs, 'rate')} events/s, CPU {_middle(theirs, 'cpu_us'):.1f} µs,"
        note += f" rest {_middle(theirs, 'elsewhere'):.1f} cores" + ("" if alike else ": ratio not judged")
    return [
        Figure(
            "event mode, JSON lines to committed parquet", _middle(ours, "rate"), "events/s", TARGET, at_most=False,
            peer=_middle(theirs, "rate") if peer else None, peer_name="Spark Structured Streaming",
            ratio_target=RATIO if alike else None, peer_floor=PEER_FLOOR, note=note,
        )
    ]  # fmt: skip


def _middle(found: Sequence[Mapping[str, Any]], key: str) -> float:
    return median(float(one[key]) for one in found)


def _range(found: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [float(one[key]) for one in found]
    return (
        f"{min(values):,.4g}–{max(values):,.4g}"
        if max(values) < 1000
        else f"{min(values):,.0f}–{max(values):,.0f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument(
        "--profile", type=Path, help="folder for py-spy's samples (py-spy must be on the PATH)"
    )
    args = parser.parse_args()
    began = time.monotonic()
    print(table(main(events=args.events, runs=args.runs, peer=not args.no_peer, profile=args.profile)))
    print(f"{time.monotonic() - began:.0f} s in all", file=sys.stderr)
