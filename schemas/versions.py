"""Which version of a table holds the rows of which schema version. Pure.

A table takes new columns, and columns that a later schema has no more stay; but no column changes its type. A schema
version that gives a column another type begins a new version of the table, with files and a directory of its own,
so that no reader ever meets a file that does not fit. The view over all of them is what people query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.columns import Column


def table_versions(documents: Iterable[Sequence[Column]]) -> list[int]:
    """Version of the table, from 1, for each schema version in order.

    Args:
        documents: the columns of every schema version, the oldest first.
    """
    found: list[int] = []
    types: dict[str, str] = {}
    for columns in documents:
        own = {column.name: _shape(column) for column in columns}
        clash = any(types.get(name, kind) != kind for name, kind in own.items())
        found.append((found[-1] if found else 1) + clash)
        types = own if clash else {**types, **own}
    return found


def _shape(column: Column) -> str:
    """The type, with the fields of a STRUCT in one order: readers go by their names."""
    if column.holds == "struct":
        return f"STRUCT<{','.join(sorted(f'{child.name}:{_shape(child)}' for child in column.children))}>"
    if column.holds == "array":
        return f"ARRAY<{_shape(column.children[0])}>"
    return column.type


def fold(documents: Iterable[Sequence[Column]]) -> list[Column]:
    """The columns of one version of a table: all that its schema versions have, in order, described as last said."""
    found: dict[str, Column] = {}
    for columns in documents:
        for column in columns:
            first = found.get(column.name, column)  # its STRUCT fields keep their order
            found[column.name] = replace(first, comment=column.comment)
    return list(found.values())
