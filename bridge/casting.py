"""A value of a column's older type in its newer one, as Spark SQL: for views over several versions of a table. Pure."""

from __future__ import annotations

from schemas.columns import Column

NUMBERS = frozenset({"integer", "number", "decimal"})
SCALARS = NUMBERS | {"boolean", "string", "date", "timestamp", "json"}
_FITS = {
    "string": SCALARS, "json": SCALARS, "integer": NUMBERS | {"boolean", "string", "json"},
    "number": NUMBERS | {"string", "json", "boolean"}, "decimal": NUMBERS | {"string", "json", "boolean"},
    "boolean": SCALARS - {"date", "timestamp"}, "date": frozenset({"date", "timestamp", "string", "json"}),
    "timestamp": frozenset({"date", "timestamp", "string", "json"}),
}  # fmt: skip
"""What a scalar can become; where a single value cannot, ``TRY_CAST`` says NULL."""


def cast_of(text: str, old: Column, new: Column) -> str:
    """``text``, an expression of the older type, in the newer type; NULL where there is no way."""
    if _same(old, new):
        return text
    if new.holds in {"string", "json"} and old.holds in {"struct", "array"}:
        return f"to_json({text})"
    if new.holds == "struct" and old.holds == "struct":
        return _struct(text, old, new)
    if new.holds == "array" and old.holds == "array":
        inner = cast_of("x", old.children[0], new.children[0])
        return f"transform({text}, x -> {inner})" if "transform(" not in inner else null_of(new)
    if new.holds in _FITS.get(old.holds, ()):
        return f"TRY_CAST({text} AS {new.type})"
    return null_of(new)


def _struct(text: str, old: Column, new: Column) -> str:
    """Field by field: those that the older one lacks are NULL."""
    there = {child.name: child for child in old.children}
    parts = []
    for child in new.children:
        own = there.get(child.name)
        value = null_of(child) if own is None else cast_of(f"{text}.`{child.name}`", own, child)
        parts.append(f"'{child.name}', {value}")
    return f"IF({text} IS NULL, {null_of(new)}, named_struct({', '.join(parts)}))"


def null_of(column: Column) -> str:
    """NULL in the type of a column."""
    return f"CAST(NULL AS {column.type})"


def _same(old: Column, new: Column) -> bool:
    return old.type == new.type
