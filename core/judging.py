"""From a batch as read to frames as sent: judge, keep what the back-fill asks for, cut to size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.batch import Batch
from core.frame import FRAME_SCHEMA, MAX_FRAME_BYTES, tier_counts
from core.ports import Judge
from core.ranges import Ranges
from core.span import Span

Covers = list[tuple[str, int, int]]


def judge_batch(judge: Judge, batch: Batch, now_us: int) -> pa.RecordBatch:
    """The batch's records as ``FRAME_SCHEMA`` columns, judged at ``now_us``."""
    documents = batch.raw if batch.documents is None else batch.documents
    judged = judge.judge(*_buffers(documents), now_us=now_us, refused=batch.refused or None)
    n = len(batch)
    partition = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(n, np.int8)), pa.array([batch.partition], pa.string())
    )
    columns = {name: judged.column(name) for name in judged.schema.names}
    if batch.documents is not None:
        changed = columns["document"]
        columns["document"] = documents if changed.null_count == n else pc.coalesce(changed, documents)
    arrays = [partition, batch.ordinals, batch.ends, batch.positions, batch.raw]
    arrays += [columns[name] for name in FRAME_SCHEMA.names[5:]]
    return pa.RecordBatch.from_arrays(arrays, schema=FRAME_SCHEMA)


def kept_of(records: pa.RecordBatch, batch: Batch) -> list[int]:
    """Which of the batch's records are in ``records``, by index."""
    kept = set(records.column("ordinal").to_pylist())
    return [index for index, ordinal in enumerate(batch.ordinals.to_pylist()) if ordinal in kept]


def within(
    records: pa.RecordBatch, covers: tuple[tuple[int, int], ...], span: Span | None
) -> tuple[pa.RecordBatch, Ranges]:
    """What a back-fill takes of a batch: its rows inside ``span``, and the ranges these alone cover.

    Rows outside, and rows whose event time cannot be read, stay unread for a later run.
    """
    if span is None:
        return records, Ranges(covers)
    times = records.column("event_time").cast(pa.int64())
    keep = pc.is_valid(times)
    if span.since_us is not None:
        keep = pc.and_kleene(keep, pc.greater_equal(times, span.since_us))
    if span.until_us is not None:
        keep = pc.and_kleene(keep, pc.less(times, span.until_us))
    kept = records.filter(pc.fill_null(keep, False))
    ends = zip(kept.column("ordinal").to_pylist(), kept.column("end").to_pylist(), strict=True)
    return kept, Ranges(ends)


def pieces(
    records: pa.RecordBatch, covers: Ranges, partition: str, *, whole: bool
) -> Iterator[tuple[pa.RecordBatch, Covers]]:
    """Cut records to frames of at most ``MAX_FRAME_BYTES``, each with the ranges it settles.

    Args:
        whole: never cut, because the batch's mark holds only with all of its records (SQL cursors).
    """
    n = records.num_rows
    small = records.get_total_buffer_size() <= MAX_FRAME_BYTES  # at once; `nbytes` takes 50 µs
    parts = 1 if whole or n < 2 or small else min(n, -(-records.nbytes // MAX_FRAME_BYTES))
    rows = max(1, -(-n // parts))
    starts = list(range(0, n, rows)) or [0]
    ordinals = records.column("ordinal")
    low = 0
    for start in starts:
        last = start == starts[-1]
        high = 1 << 62 if last else ordinals[start + rows].as_py()
        mine = [(partition, max(a, low), min(b, high)) for a, b in covers if a < high and b > low]
        yield records.slice(start, rows), mine
        low = high


def counts_by_tier(records: pa.RecordBatch) -> tuple[int, int, int, int]:
    """Rows by tier number."""
    return tier_counts(records.column("tier"))


def _buffers(documents: pa.Array) -> tuple[pa.Buffer, pa.Buffer]:
    """Data and int64[n+1] offsets of a large_binary array, wherever it was sliced from."""
    _, offsets, data = documents.buffers()
    first = documents.offset * 8
    return data if data is not None else pa.py_buffer(b""), offsets.slice(first, (len(documents) + 1) * 8)
