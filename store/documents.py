"""JSON documents -> typed Arrow columns, exactly or not at all.

The quick way is Arrow's own JSON reader with the table's types: it refuses what a column cannot hold exactly, but
for one thing, numbers beyond 2^53 in a DOUBLE. Whenever it refuses, or cannot be asked, the exact way decodes value by value:
what a column cannot hold exactly is null there (and exact in ``assay_raw``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from core.frame import TIMESTAMP
from schemas.columns import Column

EXACT_IN_DOUBLE = 2**53
CHUNK_ROWS = 16_384
_NEWLINE = pa.scalar(b"\n", pa.large_binary())
_NOTHING = pa.scalar(b"", pa.large_binary())


def arrow_type(column: Column) -> pa.DataType:
    """What the parquet files have for a column."""
    if column.holds == "decimal":
        return pa.decimal128(column.precision, column.scale)
    if column.holds == "struct":
        return pa.struct([(child.name, arrow_type(child)) for child in column.children])
    if column.holds == "array":
        return pa.list_(pa.field("element", arrow_type(column.children[0])))
    return _SIMPLE[column.holds]


_SIMPLE: dict[str, pa.DataType] = {
    "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.string(),
    "date": pa.date32(), "timestamp": TIMESTAMP, "json": pa.string(),
}  # fmt: skip


class Documents:
    """Decodes one dataset's documents by its columns. Compiled once a schema version; safe in threads."""

    def __init__(self, plan: Sequence[Column]) -> None:
        self.plan = tuple(plan)
        self.version = max((column.table for column in self.plan), default=1)
        """Of the table that takes the rows."""
        self.schema = pa.schema([(column.name, arrow_type(column)) for column in self.plan])
        self._quick = [column for column in self.plan if not _has_json(column)]
        self._read_as = pa.schema([(column.key, _read_type(column)) for column in self._quick])
        self._exact = _exact_decoder(self.plan)
        self._late = [column for column in self.plan if _has_json(column)]
        self._exact_late = _exact_decoder(self._late)

    def table(self, documents: pa.Array) -> list[pa.ChunkedArray]:
        """Typed columns of n documents.

        Args:
            documents: large_binary[n], valid JSON objects.

        Returns:
            k columns of n values, as ``schema``. Never raises on what the documents hold: an unreadable one is
            null in every column. One that needs the exact way takes its neighbours with it, ``CHUNK_ROWS`` at most.
        """
        chunks = [self._chunk(documents.slice(at, CHUNK_ROWS)) for at in range(0, len(documents), CHUNK_ROWS)]
        return [
            pa.chunked_array([chunk[at] for chunk in chunks], field.type)
            for at, field in enumerate(self.schema)
        ]

    def _chunk(self, documents: pa.Array) -> list[pa.Array]:
        found = self._quickly(documents)
        if found is None:
            return self._exactly(documents, self.plan, self._exact)
        by_name = dict(zip((column.name for column in self._quick), found, strict=True))
        if self._late:
            late = self._exactly(documents, self._late, self._exact_late)
            by_name.update(zip((column.name for column in self._late), late, strict=True))
        return [by_name[column.name] for column in self.plan]

    def _quickly(self, documents: pa.Array) -> list[pa.Array] | None:
        if not self._quick:
            return []
        lines = pc.binary_join_element_wise(documents, _NOTHING, _NEWLINE)
        try:
            read = pa.json.read_json(
                pa.BufferReader(_data_of(lines)),
                read_options=pa.json.ReadOptions(
                    use_threads=False, block_size=max(1 << 20, lines.nbytes + 1)
                ),
                parse_options=pa.json.ParseOptions(
                    explicit_schema=self._read_as,
                    newlines_in_values=False,
                    unexpected_field_behavior="ignore",
                ),
            )
            if read.num_rows != len(documents):
                return None
            return [_settle(_one(read.column(column.key)), column) for column in self._quick]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, _InexactDouble):
            return None

    def _exactly(
        self, documents: pa.Array, plan: Sequence[Column], decode: Callable[[Any], Any]
    ) -> list[pa.Array]:
        rows = [decode(document) for document in documents.to_pylist()]
        return [
            pa.array([_value(getattr(row, f"f{at}"), column) for row in rows], arrow_type(column))
            for at, column in enumerate(plan)
        ]


class _InexactDouble(Exception):
    """A double beyond 2^53 may have been rounded."""


def _has_json(column: Column) -> bool:
    return column.holds == "json" or any(_has_json(child) for child in column.children)


def _read_type(column: Column) -> pa.DataType:
    """The type that Arrow's reader is asked for: as the table's, but text for times, and documents' own keys."""
    if column.holds in {"date", "timestamp"}:
        return pa.string()
    if column.holds == "struct":
        return pa.struct([(child.key, _read_type(child)) for child in column.children])
    if column.holds == "array":
        return pa.list_(_read_type(column.children[0]))
    return arrow_type(column)


def _settle(values: pa.Array, column: Column) -> pa.Array:
    """From what the reader gave to what the table has.

    Raises:
        pa.ArrowInvalid: a time that Arrow does not read.
        _InexactDouble: a double that may stand for another number.
    """
    if column.holds == "number":
        _refuse_inexact(values)
    elif column.holds in {"date", "timestamp"}:
        return values.cast(arrow_type(column))
    elif column.holds == "struct":
        children = [_settle(values.field(at), child) for at, child in enumerate(column.children)]
        fields = list(arrow_type(column))
        return pa.StructArray.from_arrays(children, fields=fields, mask=values.is_null())
    elif column.holds == "array":
        items = _settle(values.values, column.children[0])
        return pa.ListArray.from_arrays(values.offsets, items, type=arrow_type(column), mask=values.is_null())
    return values


def _refuse_inexact(values: pa.Array) -> None:
    span = pc.min_max(values).as_py()
    for bound in (span["min"], span["max"]):
        if bound is not None and abs(bound) >= EXACT_IN_DOUBLE:
            raise _InexactDouble


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _data_of(lines: pa.Array) -> pa.Buffer:
    """The bytes of a freshly made, contiguous large_binary array."""
    lines = lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
    offsets = pa.Array.from_buffers(
        pa.int64(), len(lines) + 1, [None, lines.buffers()[1]], offset=lines.offset
    )
    first, last = offsets[0].as_py(), offsets[-1].as_py()
    return lines.buffers()[2].slice(first, last - first)


_parse = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _exact_decoder(plan: Sequence[Column]) -> Callable[[Any], Any]:
    """Document -> a struct with the JSON text of each column's value in ``f0``, ``f1`` …, empty where missing."""
    fields = [(f"f{at}", msgspec.Raw, msgspec.Raw(b"")) for at in range(len(plan))]
    rename = {f"f{at}": column.key for at, column in enumerate(plan)}
    row = msgspec.defstruct("Row", fields, rename=rename, gc=False)
    decoder = msgspec.json.Decoder(row)
    nothing = row()

    def decode(document: Any) -> Any:
        try:
            return decoder.decode(document)
        except (msgspec.DecodeError, TypeError, RecursionError):
            return nothing

    return decode


def _value(text: Any, column: Column) -> Any:
    """The Python value of a JSON text for a column, or None where the column cannot hold it exactly."""
    raw = bytes(text)
    if not raw or raw == b"null":
        return None
    try:
        return _EXACT[column.holds](raw, column)
    except (msgspec.DecodeError, ValueError, OverflowError, InvalidOperation, RecursionError):
        return None


def _integer(raw: bytes, column: Column) -> int | None:
    value = _number_text(raw)
    whole = int(value)
    return whole if whole == value and -(2**63) <= whole < 2**63 else None


def _number(raw: bytes, column: Column) -> float | None:
    exact = _number_text(raw)
    value = float(exact)
    if abs(value) >= EXACT_IN_DOUBLE and exact != Decimal(repr(value)):
        return None  # an integer, or more digits than a double has
    return value if value not in (float("inf"), float("-inf")) else None


def _decimal(raw: bytes, column: Column) -> Decimal | None:
    value = Decimal(_text(raw, column)) if raw[:1] == b'"' else _number_text(raw)
    if not value.is_finite() or (value != 0 and value.adjusted() >= column.precision - column.scale):
        return None
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    drop = -exponent - column.scale
    if drop > 0 and any(digits[-drop:]):
        return None
    return value.quantize(Decimal(1).scaleb(-column.scale), context=_WIDE)


def _boolean(raw: bytes, column: Column) -> bool:
    return msgspec.json.decode(raw, type=bool)


def _text(raw: bytes, column: Column) -> str:
    return msgspec.json.decode(raw, type=str)


def _date(raw: bytes, column: Column) -> date:
    return date.fromisoformat(_text(raw, column))


def _timestamp(raw: bytes, column: Column) -> datetime | None:
    text = _text(raw, column).upper()
    head, _, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    if digits[6:].strip("0"):
        return None  # finer than the column's microseconds
    value = datetime.fromisoformat(f"{head}.{digits[:6]}{rest[len(digits) :]}" if digits else text)
    return value.astimezone(UTC) if value.tzinfo is not None else None


def _json(raw: bytes, column: Column) -> str:
    return raw.decode().strip()


def _struct(raw: bytes, column: Column) -> dict[str, Any]:
    found = _parse(raw)
    return {child.name: _value(found.get(child.key, b""), child) for child in column.children}


def _array(raw: bytes, column: Column) -> list[Any]:
    return [_value(item, column.children[0]) for item in msgspec.json.decode(raw, type=list[msgspec.Raw])]


def _number_text(raw: bytes) -> Decimal:
    text = raw.decode().strip()
    if text[:1] not in "-0123456789":
        raise ValueError(text[:20])
    value = Decimal(text)
    if value.adjusted() > 400:
        raise OverflowError(text[:20])
    return value


_WIDE = Context(prec=80)
_EXACT: dict[str, Callable[[bytes, Column], Any]] = {
    "integer": _integer, "number": _number, "decimal": _decimal, "boolean": _boolean, "string": _text,
    "date": _date, "timestamp": _timestamp, "json": _json, "struct": _struct, "array": _array,
}  # fmt: skip
