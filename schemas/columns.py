"""JSON Schema -> the typed columns of the Silver and Gold tables (docs/contracts.md §3). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

Holds = Literal[
    "integer", "number", "decimal", "boolean", "string", "date", "timestamp", "struct", "array", "json"
]

PARTITION_COLUMNS = frozenset({"year", "month", "day"})
MAX_DECIMAL_DIGITS = 38

COMMON: tuple[tuple[str, str, str], ...] = (
    ("assay_id", "STRING", "<source>.<partition>.<ordinal>: where it was read"),
    ("assay_ordinal", "BIGINT", "the last part of the id; files are sorted by it"),
    ("assay_source", "STRING", "source name"),
    ("assay_position", "STRING", "where it was read, in words, JSON"),
    ("assay_event_time", "TIMESTAMP", "when it happened; arrival where that is missing or cannot be true"),
    ("assay_arrived_at", "TIMESTAMP", "when it was first read"),
    ("assay_schema", "STRING", "subject:version it was judged by"),
    ("assay_rules", "STRING", "first 12 hex digits of the rules' content hash"),
    ("assay_score", "DOUBLE", "0 to 1"),
    ("assay_completeness", "DOUBLE", "0 to 1; null: does not apply"),
    ("assay_accuracy", "DOUBLE", "0 to 1; null: does not apply"),
    ("assay_timeliness", "DOUBLE", "0 to 1; null: does not apply"),
    ("assay_compliance", "DOUBLE", "0 to 1; null: does not apply"),
    ("assay_consistency", "DOUBLE", "0 to 1; null: does not apply"),
    (
        "assay_reasons",
        "ARRAY<STRUCT<`path`:STRING,`rule`:STRING,`severity`:STRING,`expected`:STRING,`got`:STRING,`message`:STRING>>",
        "why it is not perfect; empty for a perfect record",
    ),
    ("assay_batch", "BIGINT", "number of the commit it came with"),
    ("assay_replay", "STRING", "the replay run that moved it here; null otherwise"),
    ("assay_rewrite", "BIGINT", "the compaction that rewrote it; null otherwise"),
    ("assay_extra", "STRING", "JSON of fields that the schema does not know; null if none"),
    ("assay_raw", "BINARY", "the bytes as received"),
    ("assay_content_type", "STRING", "of assay_raw"),
)
"""(name, HiveQL type, comment) of the columns that every table has, in order; typed ones stand after them."""

_DDL: dict[str, str] = {
    "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "string": "STRING",
    "date": "DATE", "timestamp": "TIMESTAMP", "json": "STRING",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, or one field inside a STRUCT, or the item of an ARRAY."""

    name: str
    """As the table has it."""
    path: str
    """JSON pointer of the value in a document; ``/-`` stands for every item of an array."""
    key: str
    """The last part of the path, as documents spell it."""
    holds: Holds
    type: str
    """As HiveQL writes it: ``BIGINT``, ``DECIMAL(12,2)``, ``STRUCT<`a`:BIGINT>``."""
    comment: str = ""
    precision: int = 0
    scale: int = 0
    children: tuple[Column, ...] = ()
    """The fields of a struct; the one item of an array."""
    table: int = 1
    """Version of the table that holds it (``schemas.versions``)."""


def columns(
    schema: Mapping[str, Any],
    *,
    derived: Mapping[str, Mapping[str, Any]] | None = None,
    names: Mapping[str, str] | None = None,
) -> list[Column]:
    """The typed columns of a dataset, in the schema's order, derived ones last.

    Args:
        schema: a JSON Schema document; only ``properties`` at its top level make columns.
        derived: further fields that documents hold -> their schema (``{}`` where nothing is known: a JSON string).
        names: path -> column name, as fixed before (``name_map``); other fields get names beside those.

    Returns:
        One column a property. Never raises on what a valid schema document holds: what has no one type is a
        STRING holding JSON.
    """
    properties = {**_properties(schema), **(derived or {})}
    return list(_Reading(schema, names or {}).fields(properties, "", ()))


def name_map(found: list[Column]) -> dict[str, str]:
    """path -> column name, for every level: what ``columns`` takes back as ``names``."""
    names: dict[str, str] = {}
    for column in found:
        if column.path.rpartition("/")[2] != "-":
            names[column.path] = column.name
        names.update(name_map(list(column.children)))
    return names


@dataclass(frozen=True, slots=True)
class _Reading:
    """One schema document being read, and the names fixed before."""

    root: Mapping[str, Any]
    names: Mapping[str, str]

    def fields(self, properties: Mapping[str, Any], above: str, seen: tuple[str, ...]) -> Iterator[Column]:
        """One column a property; ``seen``: the references followed on the way here."""
        paths = {key: f"{above}/{key.replace('~', '~0').replace('/', '~1')}" for key in properties}
        taken = {self.names[path] for path in paths.values() if path in self.names}
        for key, path in paths.items():
            name = self.names.get(path) or _free(_clean(key, reserved=not above), taken)
            taken.add(name)
            yield self.column(Column(name, path, key, "json", "STRING"), properties[key], seen)

    def column(self, at: Column, schema: Any, seen: tuple[str, ...]) -> Column:
        """``at`` with what its schema says: what it holds, type and comment."""
        schema, seen = _resolve(schema, self.root, seen)
        holds = _holds(schema)
        at = replace(at, holds=holds, comment=str(schema.get("description") or schema.get("title") or ""))
        if holds == "struct":
            children = tuple(self.fields(_properties(schema), at.path, seen))
            inside = ",".join(f"`{child.name}`:{child.type}" for child in children)
            return replace(at, type=f"STRUCT<{inside}>", children=children)
        if holds == "array":
            item = self.column(
                Column("element", f"{at.path}/-", "-", "json", "STRING"), schema["items"], seen
            )
            return replace(at, type=f"ARRAY<{item.type}>", children=(item,))
        if holds == "decimal":
            precision, scale = _digits(schema) or (MAX_DECIMAL_DIGITS, 0)
            return replace(at, type=f"DECIMAL({precision},{scale})", precision=precision, scale=scale)
        return replace(at, type=_DDL[holds])


def _holds(schema: Mapping[str, Any]) -> Holds:
    types = _types(schema)
    if types == {"integer"}:
        return "decimal" if "x-decimal" in schema and _digits(schema) else "integer"
    if types in ({"number"}, {"integer", "number"}):
        return "decimal" if _digits(schema) else "number"
    if types == {"boolean"}:
        return "boolean"
    if types == {"string"}:
        if "x-decimal" in schema and _digits(schema):
            return "decimal"
        return {"date": "date", "date-time": "timestamp"}.get(str(schema.get("format")), "string")  # type: ignore[return-value]
    if types == {"object"} and _properties(schema):
        return "struct"
    if types == {"array"} and _is_one_type(schema.get("items")) and "prefixItems" not in schema:
        return "array"
    return "json"


def _types(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types a value may have, null left out; empty: not said."""
    said = schema.get("type")
    if isinstance(said, str):
        return {said} - {"null"}
    if isinstance(said, list):
        return set(said) - {"null"}
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    types = {_type_of(value) for value in values} - {"null"}
    return types or ({"object"} if isinstance(schema.get("properties"), dict) else set())


def _type_of(value: Any) -> str:
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object"), (list, "array"),
    )  # fmt: skip
    return next((word for kind, word in kinds if isinstance(value, kind)), "null")


def _is_one_type(items: Any) -> bool:
    return isinstance(items, Mapping) and ("$ref" in items or len(_types(items)) == 1)


def _digits(schema: Mapping[str, Any]) -> tuple[int, int] | None:
    """(precision, scale) of ``x-decimal`` or of a ``multipleOf`` with decimals; None: no decimal."""
    said = schema.get("x-decimal")
    if isinstance(said, list) and len(said) == 2 and all(type(part) is int for part in said):
        precision, scale = said
        return (precision, scale) if 0 < precision <= MAX_DECIMAL_DIGITS and 0 <= scale <= precision else None
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and not isinstance(step, bool):
        exponent = Decimal(repr(step)).normalize().as_tuple().exponent
        if isinstance(exponent, int) and -MAX_DECIMAL_DIGITS < exponent < 0:
            return MAX_DECIMAL_DIGITS, -exponent
    return None


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _resolve(
    schema: Any, root: Mapping[str, Any], seen: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Follow local references; ``{}`` (a JSON string) for a loop, a foreign one or a boolean schema."""
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        ref = schema["$ref"]
        if ref in seen or not ref.startswith("#"):
            return {}, seen
        seen = (*seen, ref)
        schema = _at(root, ref[1:])
    return (schema, seen) if isinstance(schema, Mapping) else ({}, seen)


def _at(root: Any, pointer: str) -> Any:
    found = root
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            return {}
        found = found[key]
    return found


def _clean(key: str, *, reserved: bool) -> str:
    name = re.sub(r"[^0-9a-z_]", "_", key.lower()) or "_"
    if not name[0].isalpha() and reserved:
        name = f"f{name}" if name[0] == "_" else f"f_{name}"
    if reserved and (name in PARTITION_COLUMNS or name.startswith("assay_")):
        name += "_"
    return name


def _free(name: str, taken: set[str]) -> str:
    """``name``, or ``name_2``, ``name_3`` … where that is taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
