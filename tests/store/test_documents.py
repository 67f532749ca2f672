"""Typed columns: exact, or null."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import columns
from store.documents import Documents


def typed(schema: dict[str, Any], *values: str) -> list[Any]:
    """What the column ``a`` of this schema holds for the JSON texts."""
    texts = [f'{{"a":{value}}}'.encode() for value in values]
    (column,) = Documents(columns({"properties": {"a": schema}})).table(pa.array(texts, pa.large_binary()))
    return column.to_pylist()


INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": ["string", "null"]}
DECIMAL = {"type": "number", "x-decimal": [10, 2]}
DATE, TIME = {"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}
CASES = [
    (INTEGER, "9223372036854775807", 2**63 - 1),
    (INTEGER, "-9223372036854775808", -(2**63)),
    (INTEGER, "9223372036854775808", None),
    (INTEGER, "1.0", 1),
    (INTEGER, "1e3", 1000),
    (INTEGER, "12345678901234567890123456789012345678901", None),
    (INTEGER, "1e999999999", None),
    (INTEGER, "null", None),
    (NUMBER, "9007199254740993", None),
    (NUMBER, "9007199254740992", 2.0**53),
    (NUMBER, "0.1", 0.1),
    (NUMBER, "1e308", 1e308),
    (NUMBER, "1e309", None),
    (NUMBER, "5.255038172208401e+16", 5.255038172208401e16),
    (NUMBER, "-0.0", -0.0),
    (DECIMAL, "1.5", Decimal("1.50")),
    (DECIMAL, "99999999.99", Decimal("99999999.99")),
    (DECIMAL, "100000000.00", None),
    (DECIMAL, "0.001", None),
    (DECIMAL, "1.500", Decimal("1.50")),
    (DECIMAL, "0", Decimal("0.00")),
    ({"type": "integer", "x-decimal": [38, 0]}, "12345678901234567890123456789012345678", Decimal("12345678901234567890123456789012345678")),
    ({"type": "number", "multipleOf": 0.01}, "12.34", Decimal("12.34")),
    ({"type": "string", "x-decimal": [6, 3]}, '"1.25"', Decimal("1.250")),
    ({"type": "boolean"}, "true", True),
    (TEXT, '"x\\ud83d\\ude00\\n"', "x😀\n"),
    (TEXT, "null", None),
    (DATE, '"2024-02-29"', date(2024, 2, 29)),
    (DATE, '"2023-02-29"', None),
    (TIME, '"2014-01-01T01:00:00+01:00"', datetime(2014, 1, 1, tzinfo=UTC)),
    (TIME, '"2014-01-01t00:00:00.123456z"', datetime(2014, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
    (TIME, '"2014-01-01T00:00:00.1234560-00:30"', datetime(2014, 1, 1, 0, 30, 0, 123456, tzinfo=UTC)),
    (TIME, '"2014-01-01T00:00:00.1234567Z"', None),
    (TIME, '"2016-12-31T23:59:60Z"', None),
    (TIME, '"2014-01-01T00:00:00"', None),
    ({}, ' {"b": [1, 2]}', '{"b": [1, 2]}'),
    ({"type": ["string", "integer"]}, '"x"', '"x"'),
    ({"type": "object"}, '{"k":1}', '{"k":1}'),
    ({"type": "object", "properties": {"B c": TIME, "n": INTEGER}}, '{"B c":"2014-01-01T00:00:00Z","z":1}',
     {"b_c": datetime(2014, 1, 1, tzinfo=UTC), "n": None}),
    ({"type": "array", "items": INTEGER}, "[1,null,3]", [1, None, 3]),
    ({"type": "array", "items": {"type": "array", "items": DATE}}, '[["2024-01-01"],[]]', [[date(2024, 1, 1)], []]),
    ({"type": "array", "items": {"type": "object", "properties": {"x": {}}}}, '[{"x":[1]},{}]', [{"x": "[1]"}, {"x": None}]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "text", "expected"), CASES)
def test_a_value_is_exact_or_null(schema, text, expected):
    assert typed(schema, text) == [expected]


@pytest.mark.parametrize(("schema", "text", "expected"), CASES)
def test_the_exact_way_says_the_same(schema, text, expected):
    """A neighbour that Arrow refuses takes the chunk the exact way; the others keep their values."""
    both = {"properties": {"a": schema, "poison": INTEGER}}
    texts = [b'{"poison":1.0}', f'{{"a":{text},"poison":2}}'.encode()]

    found, poison = Documents(columns(both)).table(pa.array(texts, pa.large_binary()))

    assert found.to_pylist() == [None, expected]
    assert poison.to_pylist() == [1, 2]


def test_unknown_keys_and_missing_ones_do_not_matter():
    documents = pa.array([b'{"zz":{"a":5},"a":1}', b"{}", b'{"a":\n2}'], pa.large_binary())

    (column,) = Documents(columns({"properties": {"a": INTEGER}})).table(documents)

    assert column.to_pylist() == [1, None, 2]


def test_a_document_that_is_no_object_is_null():
    documents = pa.array([b"[1]", b'{"a":1}', b"", b"\xff"], pa.large_binary())

    (column,) = Documents(columns({"properties": {"a": INTEGER}})).table(documents)

    assert column.to_pylist() == [None, 1, None, None]


TEXTS = st.text(alphabet='aZ é😀\u0000\n"\\', max_size=5)


@given(st.lists(st.fixed_dictionaries({}, optional={
    "i": st.none() | st.integers(-(2**63), 2**63 - 1), "n": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "s": st.none() | TEXTS, "b": st.none() | st.booleans(), "l": st.none() | st.lists(st.none() | TEXTS, max_size=3),
}), min_size=1, max_size=5))  # fmt: skip
def test_what_fits_comes_back_as_it_was(records):
    kinds = {
        "i": INTEGER,
        "n": NUMBER,
        "s": TEXT,
        "b": {"type": "boolean"},
        "l": {"type": "array", "items": TEXT},
    }
    documents = pa.array([msgspec.json.encode(record) for record in records], pa.large_binary())

    table = Documents(columns({"properties": kinds})).table(documents)

    rows = [
        dict(zip(kinds, row, strict=True))
        for row in zip(*(column.to_pylist() for column in table), strict=True)
    ]
    assert rows == [{kind: record.get(kind) for kind in kinds} for record in records]
