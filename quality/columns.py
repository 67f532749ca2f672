"""Verdicts as one Arrow record batch, cheap where rows are alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import pyarrow as pa

from core.frame import JUDGED_SCHEMA, REASON, TIMESTAMP
from quality.reasons import Why

_TEXT, _INT32, _INT64, _BINARY = pa.string(), pa.int32(), pa.int64(), pa.large_binary()
_REASONS = JUDGED_SCHEMA.field("reasons").type
_REASON_FIELDS = list(REASON)


@lru_cache(maxsize=256)
def same_value(value: Any, kind: pa.DataType, n: int) -> pa.Array:
    """``n`` times the same value; kept, for small batches are many."""
    return pa.nulls(n, kind) if value is None else pa.repeat(pa.scalar(value, kind), n)


def reasons_column(n: int, rows: Sequence[tuple[int, list[Why]]]) -> pa.Array:
    """The reasons of ``rows`` (index, reasons; ascending) among ``n`` records; null elsewhere."""
    if not rows:
        return same_value(None, _REASONS, n)
    counts = [0] * n
    without = [True] * n
    for index, why in rows:
        counts[index] = len(why)
        without[index] = False
    flat = [part for _, why in rows for part in why]
    fields = [pa.array(column, _TEXT) for column in zip(*flat, strict=True)]
    values = pa.StructArray.from_arrays(fields, fields=_REASON_FIELDS)
    offsets = pa.array(list(accumulate(counts, initial=0)), _INT32)
    return pa.ListArray.from_arrays(offsets, values, type=_REASONS, mask=pa.array(without))


def sparse_binary(n: int, rows: Sequence[tuple[int, bytes]]) -> pa.Array:
    """Bytes at the given rows among ``n``, null elsewhere."""
    if not rows:
        return same_value(None, _BINARY, n)
    values: list[bytes | None] = [None] * n
    for index, value in rows:
        values[index] = value
    return pa.array(values, _BINARY)


def times_column(values: list[int | None]) -> pa.Array:
    """µs since 1970 as timestamps."""
    return pa.array(values, _INT64).view(TIMESTAMP)
