"""Verdicts as one Arrow record batch, cheap where rows are alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from core.frame import JUDGED_SCHEMA, REASON
from quality.reasons import Why

_TEXT, _INT32, _BINARY = pa.string(), pa.int32(), pa.large_binary()
_REASONS = JUDGED_SCHEMA.field("reasons").type
_REASON_FIELDS = list(REASON)


@lru_cache(maxsize=256)
def same_value(value: Any, kind: pa.DataType, n: int) -> pa.Array:
    """``n`` times the same value; kept, for small batches are many."""
    return pa.nulls(n, kind) if value is None else pa.repeat(pa.scalar(value, kind), n)


def column(values: list[Any], usual: Any, kind: pa.DataType, n: int) -> pa.Array:
    """A column most of whose values are ``usual``; where all of them are, it costs nothing."""
    return same_value(usual, kind, n) if values.count(usual) == n else pa.array(values, kind)


def reasons_column(n: int, rows: Sequence[tuple[int, list[Why]]]) -> pa.Array:
    """The reasons of ``rows`` (index, reasons; ascending) among ``n`` records; null elsewhere."""
    if not rows:
        return same_value(None, _REASONS, n)
    offsets: list[int | None] = [None] * n
    at = 0
    flat: list[Why] = []
    for index, why in rows:
        offsets[index] = at
        flat += why
        at += len(why)
    m = len(flat)
    texts = pa.array([text for part in zip(*flat, strict=True) for text in part], _TEXT)
    values = pa.StructArray.from_arrays(
        [texts.slice(start, m) for start in range(0, 6 * m, m)], fields=_REASON_FIELDS
    )
    return pa.ListArray.from_arrays(pa.array([*offsets, m], _INT32), values, type=_REASONS)


def sparse_binary(n: int, rows: Sequence[tuple[int, bytes]]) -> pa.Array:
    """Bytes at the given rows among ``n``, null elsewhere."""
    if not rows:
        return same_value(None, _BINARY, n)
    values: list[bytes | None] = [None] * n
    for index, value in rows:
        values[index] = value
    return pa.array(values, _BINARY)
