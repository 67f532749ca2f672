"""When a schema change begins a new version of the tables."""

from __future__ import annotations

import pytest

from schemas.columns import columns
from schemas.versions import fold, table_versions

INTEGER, TEXT, NUMBER = {"type": "integer"}, {"type": "string"}, {"type": "number"}


def documents(*versions):
    return [columns({"properties": properties}) for properties in versions]


@pytest.mark.parametrize(
    ("versions", "wanted"),
    [
        pytest.param([{"a": INTEGER}, {"a": INTEGER, "b": TEXT}, {"b": TEXT}], [1, 1, 1], id="fields come and go"),
        pytest.param([{"a": INTEGER}, {"a": TEXT}, {"a": TEXT}], [1, 2, 2], id="another type"),
        pytest.param([{"a": INTEGER}, {"a": TEXT}, {"a": INTEGER}], [1, 2, 3], id="and back"),
        pytest.param([{"a": INTEGER}, {"b": TEXT}, {"a": NUMBER}], [1, 1, 2], id="a type that old files still have"),
        pytest.param(
            [{"a": {"type": "object", "properties": {"x": INTEGER, "y": TEXT}}},
             {"a": {"type": "object", "properties": {"y": TEXT, "x": INTEGER}}}], [1, 1], id="order inside a struct"),
        pytest.param(
            [{"a": {"type": "object", "properties": {"x": INTEGER}}},
             {"a": {"type": "object", "properties": {"x": INTEGER, "y": TEXT}}}], [1, 2], id="a field inside a struct"),
        pytest.param([{"a": INTEGER}, {"a": {**INTEGER, "minimum": 0, "description": "x"}}], [1, 1], id="words only"),
    ],
)  # fmt: skip
def test_a_table_version_begins_where_a_column_changes_its_type(versions, wanted):
    assert table_versions(documents(*versions)) == wanted


def test_a_version_has_the_columns_of_all_its_schemas_described_as_last_said():
    found = fold(
        documents({"a": INTEGER, "b": TEXT}, {"a": {**INTEGER, "description": "now known"}, "c": NUMBER})
    )

    assert [(one.name, one.type, one.comment) for one in found] == [
        ("a", "BIGINT", "now known"), ("b", "STRING", ""), ("c", "DOUBLE", ""),
    ]  # fmt: skip
