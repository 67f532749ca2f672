"""Fields that arrive and that no schema knows: told to the registry once, not once a record."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

SAMPLED_ROWS = 50


class RegistryDesk(Protocol):
    """What a connector tells the registry."""

    async def noticed(self, subject: str, fields: dict[str, str], source: str) -> None:
        """Unknown fields of ``subject`` and the JSON type each came with."""


class Novelty:
    """Remembers which unknown fields were told already."""

    def __init__(self, subject: str, source: str, registry: RegistryDesk) -> None:
        self._subject = subject
        self._source = source
        self._registry = registry
        self._told: set[str] = set()

    async def look(self, records: pa.RecordBatch) -> None:
        """Look at the first rows of ``records`` that hold something unknown."""
        extra = records.column("extra")
        if extra.null_count == len(extra):
            return
        found: dict[str, str] = {}
        for document in pc.drop_null(extra).slice(0, SAMPLED_ROWS).to_pylist():
            for name, value in msgspec.json.decode(document).items():
                if name not in self._told:
                    found.setdefault(name, json_type(value))
        if found:
            self._told.update(found)
            await self._registry.noticed(self._subject, found, self._source)


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
