"""The benches of single parts (kernel, transport, commit) as figures with their targets."""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics

from bench import commit as commit_bench
from bench import kernel as kernel_bench
from bench import transport as transport_bench
from bench.figure import Figure, quantile
from bench.program import OUT


def kernel(quick: bool = False) -> list[Figure]:
    """CPU µs an event of the whole judge, beside orjson + jsonschema-rs that only validate."""
    with contextlib.redirect_stdout(io.StringIO()):
        found = kernel_bench.main()
    peer = found["peer.orjson+jsonschema-rs"]
    return [
        Figure(
            f"judge, batches of {size}", found[f"kernel.batch-{size}"], "µs CPU/event", 10 if size >= 256 else None,
            peer=peer, peer_name="orjson + jsonschema-rs", ratio_target=2.5 if size >= 256 else None,
        )
        for size in kernel_bench.SIZES
    ]  # fmt: skip


def commit(quick: bool = False) -> list[Figure]:
    """A commit of 100,000 rows, all columns, three days; the peer writes bare partitioned parquet."""
    rows, runs = (10_000, 2) if quick else (100_000, 7)
    OUT.mkdir(parents=True, exist_ok=True)
    sent = commit_bench.frames(rows)
    ours, cpu = commit_bench.measured(commit_bench.commit(sent), runs, OUT)
    theirs, _ = commit_bench.measured(commit_bench.peer(sent), runs, OUT)
    return [
        Figure(
            f"commit of {rows:,} rows, 3 days", statistics.median(ours), "ms", 250, peer=statistics.median(theirs),
            peer_name="pyarrow's JSON reader + write_to_dataset",
            note=f"CPU {statistics.median(cpu) * 1e3 / rows:.1f} µs/row, max {max(ours):.0f} ms of {runs}",
        )
    ]  # fmt: skip


def transport(quick: bool = False) -> list[Figure]:
    """The bus alone: frames to two lossless subscribers, beside a bare ZeroMQ pair."""
    seconds = 0.5 if quick else 3.0
    args = argparse.Namespace(queue="memory", uvloop=True)
    figures = []
    for rows, guess in ((64, 100_000), (512, 200_000), (4096, 250_000)):
        rate, _ = transport_bench.measure(rows, int(guess * seconds) // rows * rows, 0, args)
        figures.append(Figure(
            f"bus to two subscribers, frames of {rows}", rate, "events/s", at_most=False,
            peer=transport_bench.bare(rows, seconds / 4), peer_name="bare ZeroMQ pair",
        ))  # fmt: skip
    rows = int(transport_bench.RATE * transport_bench.LINGER_S)
    events = int(transport_bench.RATE * seconds) // rows * rows
    _, delays = transport_bench.measure(rows, events, transport_bench.RATE, args)
    figures.append(Figure("bus, send to subscriber, p99 at 20,000 events/s", quantile(delays, 0.99), "ms"))
    return figures
