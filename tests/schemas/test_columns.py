"""JSON Schema -> columns: types, names, and names that stay."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.columns import columns, name_map


def types(properties: dict[str, Any], **more: Any) -> dict[str, str]:
    return {column.name: column.type for column in columns({"properties": properties, **more})}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, "BIGINT"),
        ({"type": ["null", "integer"]}, "BIGINT"),
        ({"type": "number"}, "DOUBLE"),
        ({"type": ["integer", "number"]}, "DOUBLE"),
        ({"type": "number", "x-decimal": [12, 2]}, "DECIMAL(12,2)"),
        ({"type": "number", "x-decimal": [99, 2]}, "DOUBLE"),
        ({"type": "number", "multipleOf": 0.01}, "DECIMAL(38,2)"),
        ({"type": "number", "multipleOf": 5}, "DOUBLE"),
        ({"type": "boolean"}, "BOOLEAN"),
        ({"type": "string"}, "STRING"),
        ({"type": "string", "format": "date"}, "DATE"),
        ({"type": ["string", "null"], "format": "date-time"}, "TIMESTAMP"),
        ({"enum": ["a", "b", None]}, "STRING"),
        ({"const": 5}, "BIGINT"),
        ({"type": ["string", "integer"]}, "STRING"),
        ({}, "STRING"),
        (True, "STRING"),
        ({"type": "object"}, "STRING"),
        ({"type": "object", "properties": {"A b": {"type": "integer"}}}, "STRUCT<`a_b`:BIGINT>"),
        ({"type": "array", "items": {"type": "number"}}, "ARRAY<DOUBLE>"),
        ({"type": "array", "items": {"type": ["string", "number"]}}, "STRING"),
        ({"type": "array"}, "STRING"),
        ({"$ref": "#/$defs/t"}, "TIMESTAMP"),
        ({"$ref": "#/$defs/loop"}, "STRUCT<`next`:STRING>"),
        ({"$ref": "https://elsewhere.test/x"}, "STRING"),
    ],
)
def test_a_type_follows_the_schema(schema, expected):
    defs = {
        "t": {"type": "string", "format": "date-time"},
        "loop": {"type": "object", "properties": {"next": {"$ref": "#/$defs/loop"}}},
    }

    assert types({"a": schema}, **{"$defs": defs}) == {"a": expected}


def test_names_are_lowered_freed_and_kept_apart():
    keys = ["Qty", "qty", "QTY", "a b", "year", "assay_x", "Größe", "1st", "_hidden"]

    assert list(types({key: {} for key in keys})) == [
        "qty", "qty_2", "qty_3", "a_b", "year_", "assay_x_", "gr__e", "f_1st", "f_hidden",
    ]  # fmt: skip


def test_saved_names_stay_when_fields_come_before_them():
    before = columns({"properties": {"qty": {}, "in": {"type": "object", "properties": {"X": {}, "x": {}}}}})

    after = columns(
        {"properties": {"QTY": {}, "qty": {}, "in": {"type": "object", "properties": {"x": {}, "X": {}}}}},
        names=name_map(before),
    )

    assert [(column.key, column.name) for column in after] == [("QTY", "qty_2"), ("qty", "qty"), ("in", "in")]
    assert {child.key: child.name for child in after[2].children} == {"X": "x", "x": "x_2"}


def test_derived_fields_stand_last():
    found = columns({"properties": {"a": {"description": "an a"}}}, derived={"speed": {"type": "number"}})

    assert [(column.name, column.type, column.comment) for column in found] == [
        ("a", "STRING", "an a"),
        ("speed", "DOUBLE", ""),
    ]
