"""How long a commit takes: n benchmark events, all columns, four tiers, three days; staged, synced, manifested, renamed.

    python -m bench.commit [--rows 10000 100000] [--runs 7] [--bulk 1000000] [--json]

All commits of a measurement go into one data directory, one after the other, as a writer makes them. ``--bulk`` rows are
committed in windows of the largest ``--rows`` (the writer cuts a window at 48 MiB of frames), for rows a second.

The peer in the same run, in turn with ours: pyarrow writing the same events, parsed by its own JSON reader, as partitioned
parquet without ids, scores, reasons, raw bytes, fsync or a manifest (what a script would do).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from bench.events import BAD, SCHEMA, event, spoil
from core.frame import FRAME_SCHEMA, REASON, TIMESTAMP, Frame, Header, tier_counts
from core.tiers import Tier
from schemas.columns import columns
from store.commit import Committer
from store.documents import Documents
from store.layout import Layout

FRAME_ROWS = 4096
START = datetime(2026, 11, 20, tzinfo=UTC)
DAY_US = 86_400_000_000


def frames(rows: int, seed: int = 1) -> list[Frame]:
    """Judged frames of ``rows`` events over three days: 8 % Rejected, the rest Gold, Silver and Bronze."""
    rng = random.Random(seed)
    made: list[Frame] = []
    offset = 0
    for first in range(0, rows, FRAME_ROWS):
        count = min(FRAME_ROWS, rows - first)
        bad = [rng.random() < BAD for _ in range(count)]
        times = [
            START + timedelta(days=rng.randrange(3), seconds=rng.randrange(80_000)) for _ in range(count)
        ]
        good = [
            event(rng, first + at, START) | {"event_time": time.isoformat()} for at, time in enumerate(times)
        ]
        raw = [
            spoil(rng, one) if wrong else json.dumps(one).encode()
            for one, wrong in zip(good, bad, strict=True)
        ]
        tiers = [0 if wrong else rng.choice((1, 2, 2, 3, 3, 3, 3, 3)) for wrong in bad]
        made.append(_frame(raw, tiers, times, offset, len(made) + 1))
        offset += sum(map(len, raw)) + count
    return made


def _frame(raw: list[bytes], tiers: list[int], times: list[datetime], offset: int, seq: int) -> Frame:
    count = len(raw)
    lengths = np.array([len(line) + 1 for line in raw])
    ends = offset + np.cumsum(lengths)
    reason = {
        "path": "/quantity", "rule": "minimum", "severity": "major", "expected": "≥ 1", "got": "0", "message": "too small",
    }  # fmt: skip
    scores = pa.array(np.linspace(0.5, 1.0, count))
    tier = pa.array(tiers, pa.uint8())
    starts = ends - lengths
    values = {
        "partition": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array(["4n2k6q7r3s5tu"])),
        "ordinal": pa.array(starts), "end": pa.array(ends),
        "position": pa.array([f'{{"file":"sales.jsonl","offset":{at},"line":{at // 355}}}' for at in starts]),
        "raw": pa.array(raw, pa.large_binary()), "valid": pa.array([number > Tier.BRONZE for number in tiers]),
        "tier": tier, "score": scores, "completeness": scores, "accuracy": scores, "timeliness": scores,
        "compliance": scores, "consistency": scores,
        "event_time": pa.array([None if number == 0 else time for number, time in zip(tiers, times, strict=True)], TIMESTAMP),
        "reasons": pa.array([None if number == Tier.GOLD else [reason] for number in tiers], pa.list_(REASON)),
        "document": pa.nulls(count, pa.large_binary()), "extra": pa.nulls(count, pa.large_binary()),
    }  # fmt: skip
    header = Header(
        source="sales", dataset="sales", epoch=1, seq=seq, arrived_us=int(START.timestamp() * 1e6) + 3 * DAY_US,
        schema="sale:1", rules="0123456789ab", tiers=tier_counts(tier),
        covers=[("4n2k6q7r3s5tu", int(starts[0]), int(ends[-1]))],
    )  # fmt: skip
    batch = pa.RecordBatch.from_arrays([values[name] for name in FRAME_SCHEMA.names], schema=FRAME_SCHEMA)
    return Frame.unpack([bytes(part) for part in Frame(header, batch).pack()])


def later(sent: list[Frame], run: int) -> list[Frame]:
    """The same events again as if read further on: ordinals and covers are moved by ``run`` lengths of all of them."""
    shift = run * sent[-1].header.covers[0][2]
    moved = []
    for frame in sent:
        batch = frame.records
        for name in ("ordinal", "end"):
            values = pa.compute.add(batch.column(name), shift)
            batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), values)
        covers = [(partition, start + shift, end + shift) for partition, start, end in frame.header.covers]
        header = msgspec.structs.replace(frame.header, covers=covers)
        moved.append(Frame.unpack([bytes(part) for part in Frame(header, batch).pack()]))
    return moved


class Ours:
    """Commits as the writer makes them, into one data directory."""

    def __init__(self, sent: list[Frame], where: Path | None) -> None:
        self._sent, self._runs = sent, 0
        self._root = Path(tempfile.mkdtemp(prefix="assay-commit-", dir=where))
        plan = columns(SCHEMA)
        self._committer = Committer(Layout.of(self._root), lambda _dataset, _ref: plan)

    def once(self) -> tuple[float, float]:
        """Wall and CPU milliseconds of one commit; its frames are decoded in it."""
        frames = later(self._sent, self._runs)
        self._runs += 1
        wall, cpu = timed(lambda: self._committer.commit(frames))
        return wall, cpu

    def close(self) -> None:
        """Remove all."""
        self._committer.close()
        shutil.rmtree(self._root)


class Peer:
    """A script's way: parse with Arrow's JSON reader, write by day."""

    def __init__(self, sent: list[Frame], where: Path | None) -> None:
        self._write, self._runs = peer(sent), 0
        self._root = Path(tempfile.mkdtemp(prefix="assay-peer-", dir=where))

    def once(self) -> tuple[float, float]:
        """Wall and CPU milliseconds of one window."""
        self._runs += 1
        return timed(lambda: self._write(self._root / str(self._runs)))

    def close(self) -> None:
        """Remove all."""
        shutil.rmtree(self._root)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU milliseconds."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - began) * 1e3, (time.process_time() - used) * 1e3


def measured(rows: int, runs: int, where: Path | None) -> dict[str, Any]:
    """Ours and the peer in turn; the first run of each does not count."""
    sent = frames(rows)
    ours, other = Ours(sent, where), Peer(sent, where)
    try:
        found = [(ours.once(), other.once()) for _ in range(runs + 1)][1:]
    finally:
        ours.close()
        other.close()
    wall, cpu = [mine[0] for mine, _ in found], [mine[1] for mine, _ in found]
    p50, p50_peer = statistics.median(wall), statistics.median(his[0] for _, his in found)
    return {
        "bench": "commit", "rows": rows, "p50_ms": round(p50, 1), "min_ms": round(min(wall), 1),
        "max_ms": round(max(wall), 1), "cpu_us_a_row": round(statistics.median(cpu) * 1e3 / rows, 2),
        "peer_p50_ms": round(p50_peer, 1), "ratio": round(p50 / p50_peer, 2), "runs": runs,
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def bulk(rows: int, window: int, where: Path | None) -> dict[str, Any]:
    """Rows a second over many windows."""
    sent = frames(window)
    ours, other = Ours(sent, where), Peer(sent, where)
    try:
        ours.once(), other.once()
        found = [(ours.once(), other.once()) for _ in range(max(1, rows // window))]
    finally:
        ours.close()
        other.close()
    took, took_peer = sum(mine[0] for mine, _ in found), sum(his[0] for _, his in found)
    done = window * len(found)
    return {
        "bench": "commit", "rows": done, "commits": len(found), "rows_per_s": round(done / took * 1e3),
        "cpu_us_a_row": round(sum(mine[1] for mine, _ in found) * 1e3 / done, 2),
        "peer_rows_per_s": round(done / took_peer * 1e3), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def peer(sent: list[Frame]) -> Callable[[Path], None]:
    """A script's way: parse with Arrow's JSON reader, write by day."""
    good = [line for frame in sent for line, tier in zip(
        frame.records["raw"].to_pylist(), frame.records["tier"].to_pylist(), strict=True) if tier]  # fmt: skip
    data = b"\n".join(good)
    plan = Documents(columns(SCHEMA)).schema
    text = pa.schema([(field.name, pa.string() if field.type == TIMESTAMP else field.type) for field in plan])

    def work(root: Path) -> None:
        table = pyarrow.json.read_json(
            pa.BufferReader(data), parse_options=pyarrow.json.ParseOptions(explicit_schema=text)
        )
        day = pa.compute.utf8_slice_codeunits(table["event_time"], 0, 10)
        pq.write_to_dataset(table.append_column("day", day), root, partition_cols=["day"])

    return work


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--bulk", type=int, default=1_000_000, help="rows for the rate; 0: leave it out")
    parser.add_argument("--where", type=Path, default=None, help="directory to write in; the disk counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = [measured(rows, args.runs, args.where) for rows in args.rows]
    if args.bulk:
        found.append(bulk(args.bulk, max(args.rows), args.where))
    for one in found:
        print(json.dumps(one) if args.json else "  ".join(f"{key} {value}" for key, value in one.items()))


if __name__ == "__main__":
    main()
