"""Cutting judged records to frames: nothing twice, nothing left out, every covered byte in one frame."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import judging
from core.batch import Batch, Reason, large_binary
from core.frame import FRAME_SCHEMA
from core.judging import judge_batch, kept_of, pieces, within
from core.ranges import Ranges
from core.span import Span
from quality import compile_judge

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "at": {"type": "string", "format": "date"}},
}


def a_batch(raw: list[bytes], **more: object) -> Batch:
    """One partition, each record ten bytes after the last; a header of seven before the first."""
    starts = [7 + 10 * index for index in range(len(raw))]
    return Batch(
        partition="p", ordinals=pa.array(starts, pa.int64()), ends=pa.array([one + 10 for one in starts], pa.int64()),
        raw=large_binary(raw), positions=pa.array(["{}"] * len(raw)),
        covers=((0, 7 + 10 * len(raw)),), mark={}, content_type="application/json", **more,
    )  # fmt: skip


def judged(documents: list[bytes], **more: object) -> tuple[Batch, pa.RecordBatch]:
    batch = a_batch(documents, **more)
    judge = compile_judge(SCHEMA, {"event_time": "at", "clock": "2020-01-02T00:00:00Z"})
    return batch, judge_batch(judge, batch, 0)


@given(rows=st.integers(0, 40), limit=st.integers(200, 4000))
def test_pieces_hold_every_row_once_and_every_covered_byte_once(rows: int, limit: int):
    batch, records = judged([b'{"n": %d}' % n for n in range(rows)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "MAX_FRAME_BYTES", limit)

        cut = list(pieces(records, Ranges(batch.covers), "p", whole=False))

    assert [n for piece, _ in cut for n in piece.column("ordinal").to_pylist()] == batch.ordinals.to_pylist()
    covered = [(start, end) for _, covers in cut for _, start, end in covers]
    assert sum(end - start for start, end in covered) == 7 + 10 * rows
    assert list(Ranges(covered)) == [(0, 7 + 10 * rows)]
    for piece, covers in cut:
        mine = Ranges((start, end) for _, start, end in covers)
        assert all(mine.covers(n, n + 10) for n in piece.column("ordinal").to_pylist())


def test_a_batch_whose_mark_needs_all_its_records_is_never_cut():
    batch, records = judged([b'{"n": 1}'] * 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "MAX_FRAME_BYTES", 100)

        cut = list(pieces(records, Ranges(batch.covers), "p", whole=True))

    assert [piece.num_rows for piece, _ in cut] == [50]


def test_a_back_fill_covers_only_the_rows_it_takes():
    """Rows outside the span, and rows whose time cannot be read, stay unread for a later run."""
    batch, records = judged(
        [b'{"at": "2020-01-01"}', b'{"at": "2021-01-01"}', b'{"n": 1}', b'{"at": "2020-06-01"}']
    )

    kept, covers = within(records, batch.covers, Span(since_us=None, until_us=1_609_459_200_000_000))

    assert kept.column("ordinal").to_pylist() == [7, 37]
    assert list(covers) == [(7, 17), (37, 47)]
    assert kept_of(kept, batch) == [0, 3]


def test_records_without_a_document_are_rejected_for_the_sources_reason():
    ragged = Reason("", "ragged-row", "critical", "2 fields", "3", "line 3 has 3 fields, its header 2")
    batch = a_batch([b"1,2", b"1,2,3"], documents=large_binary([b'{"n": 1}', None]), refused={1: ragged})

    records = judge_batch(compile_judge(SCHEMA, {}), batch, 0)

    assert records.schema.equals(FRAME_SCHEMA)
    assert records.column("tier").to_pylist()[1] == 0
    assert records.column("reasons").to_pylist()[1][0] == ragged.as_dict()
    assert records.column("raw").to_pylist() == [b"1,2", b"1,2,3"]
    assert records.column("document").to_pylist() == [b'{"n": 1}', None]


def test_a_sliced_array_is_judged_by_its_own_rows():
    whole = large_binary([b'{"n": 0}', b'{"n": "x"}', b'{"n": 2}'])
    batch = a_batch([b"a", b"b"], documents=whole.slice(1))

    assert judge_batch(compile_judge(SCHEMA, {}), batch, 0).column("valid").to_pylist() == [False, True]
