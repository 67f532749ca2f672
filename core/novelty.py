"""Fields that arrive and that no schema knows, found in judged records."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

SAMPLED_ROWS = 50


def unknown_fields(records: pa.RecordBatch, told: Collection[str]) -> dict[str, str]:
    """Unknown fields and the JSON type each came with, in the first rows of ``records`` that hold something unknown.

    Args:
        records: columns ``core.frame.FRAME_SCHEMA``.
        told: names to leave out.
    """
    extra = records.column("extra")
    if extra.null_count == len(extra):
        return {}
    found: dict[str, str] = {}
    for document in pc.drop_null(extra).slice(0, SAMPLED_ROWS).to_pylist():
        for name, value in msgspec.json.decode(document).items():
            if name not in told:
                found.setdefault(name, json_type(value))
    return found


def json_type(value: Any) -> str:
    """The JSON Schema word for a decoded value.

    >>> [json_type(v) for v in (None, True, 1, 1.5, "a", [], {})]
    ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object']
    """
    for kinds, word in (
        (type(None), "null"), (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"),
    ):  # fmt: skip
        if isinstance(value, kinds):
            return word
    return "object"
