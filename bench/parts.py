"""The benches of single parts (kernel, transport, commit) as figures with their targets."""

from __future__ import annotations

import argparse
import contextlib
import io

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
    """Commits of 10,000 and 100,000 rows, all columns, three days, and a million in windows; the peer writes bare parquet."""
    OUT.mkdir(parents=True, exist_ok=True)
    name = "pyarrow's JSON reader + write_to_dataset"
    sizes = [(10_000, 40.0)] if quick else [(10_000, 40.0), (100_000, 200.0)]
    found = []
    for rows, target in sizes:
        one = commit_bench.measured(rows, 2 if quick else 9, OUT)
        found.append(Figure(
            f"commit of {rows:,} rows, 3 days, p50", one["p50_ms"], "ms", target, peer=one["peer_p50_ms"], peer_name=name,
            note=f"CPU {one['cpu_us_a_row']} µs/row, {one['min_ms']:.0f} to {one['max_ms']:.0f} ms of {one['runs']}",
        ))  # fmt: skip
    many = commit_bench.bulk(*((20_000, 10_000) if quick else (1_000_000, 100_000)), OUT)
    found.append(Figure(
        f"{many['rows']:,} rows in {many['commits']} commits", many["rows_per_s"], "rows/s", 300_000, at_most=False,
        peer=many["peer_rows_per_s"], peer_name=name, note=f"CPU {many['cpu_us_a_row']} µs/row",
    ))  # fmt: skip
    return found


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
