"""What one commit tells about lineage: per source and table rows, bytes, columns and breaches, from files alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from store.layout import Layout
from store.manifest import FileEntry, Manifest

RULE = "assay_reasons.list.element.rule"
NUMBERS = ("INT32", "INT64", "FLOAT", "DOUBLE")


@dataclass(slots=True)
class ColumnNumbers:
    """A column over some files; bounds only of plain numbers, never of text."""

    nulls: int = 0
    values: int = 0
    least: float | None = None
    greatest: float | None = None

    def add(self, other: ColumnNumbers) -> None:
        """Take in the same column of another file."""
        self.nulls += other.nulls
        self.values += other.values
        self.least = min((one for one in (self.least, other.least) if one is not None), default=None)
        self.greatest = max((one for one in (self.greatest, other.greatest) if one is not None), default=None)


@dataclass(slots=True)
class TableNumbers:
    """What a commit added to one table."""

    rows: int = 0
    size: int = 0
    files: int = 0
    types: dict[str, str] = field(default_factory=dict)
    columns: dict[str, ColumnNumbers] = field(default_factory=dict)


@dataclass(slots=True)
class SourceNumbers:
    """What a commit holds of one source."""

    read: int = 0
    rejected: int = 0
    tables: dict[str, TableNumbers] = field(default_factory=dict)
    breaches: dict[str, int] | None = field(default_factory=dict)
    """Rule -> how often it is given as a reason; None when a file is not there any more."""


def numbers_of(manifest: Manifest, layout: Layout) -> dict[str, SourceNumbers]:
    """Source -> its numbers in this commit; sources without records are left out.

    Cost: the footers of the commit's files, and the names of the rules in their reasons.
    """
    found = {
        name: SourceNumbers(read=counts.read, rejected=counts.rejected)
        for name, counts in manifest.counts.items()
        if counts.read
    }
    for entry in manifest.files:
        sources = {span.source for span in entry.spans}
        path = _place_of(entry, layout)
        types, columns = _footer(path)
        breaches = _breaches(path, sources)
        for name in sources & found.keys():
            mine = found[name]
            table = mine.tables.setdefault(entry.table, TableNumbers())
            rows = sum(span.rows for span in entry.spans if span.source == name)
            table.rows += rows
            table.files += 1
            table.size += entry.bytes * rows // max(1, entry.rows)
            table.types |= types
            if len(sources) == 1:  # columns of a file that two sources share belong to neither alone
                for column, numbers in columns.items():
                    table.columns.setdefault(column, ColumnNumbers()).add(numbers)
            _count(mine, None if breaches is None else breaches.get(name, {}))
    return found


def _count(mine: SourceNumbers, breaches: dict[str, int] | None) -> None:
    if breaches is None or mine.breaches is None:
        mine.breaches = None
        return
    for rule, count in breaches.items():
        mine.breaches[rule] = mine.breaches.get(rule, 0) + count


def _place_of(entry: FileEntry, layout: Layout) -> Path | None:
    """Where the file lies now: at home, or still where it was staged."""
    base = layout.warehouse if entry.place == "warehouse" else layout.fallback
    return next(
        (path for path in (layout.warehouse / entry.path, base / entry.staged) if path.exists()), None
    )


def _footer(path: Path | None) -> tuple[dict[str, str], dict[str, ColumnNumbers]]:
    """Column -> its Arrow type, and flat columns' numbers; nothing where the file is gone."""
    if path is None:
        return {}, {}
    try:
        with pq.ParquetFile(path) as file:
            types = {one.name: str(one.type) for one in file.schema_arrow}
            return types, _column_numbers(file.metadata, types)
    except (OSError, pa.ArrowInvalid):
        return {}, {}


def _column_numbers(metadata: pq.FileMetaData, types: Iterable[str]) -> dict[str, ColumnNumbers]:
    flat = set(types)
    found: dict[str, ColumnNumbers] = {}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            statistics = chunk.statistics
            if chunk.path_in_schema not in flat or statistics is None or statistics.null_count is None:
                continue
            plain = chunk.physical_type in NUMBERS and statistics.logical_type.type in {"NONE", "INT"}
            bounds = (statistics.min, statistics.max) if plain and statistics.has_min_max else (None, None)
            numbers = ColumnNumbers(
                statistics.null_count, row_group.num_rows - statistics.null_count, *bounds
            )
            found.setdefault(chunk.path_in_schema, ColumnNumbers()).add(numbers)
    return found


def _breaches(path: Path | None, sources: set[str]) -> dict[str, dict[str, int]] | None:
    """Source -> rule -> how often it is a reason in this file; None when it cannot be read."""
    if path is None:
        return None
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=["assay_source", RULE])
    except (OSError, pa.ArrowInvalid):
        return None
    found: dict[str, dict[str, int]] = {}
    for source in sources:
        mine = table if len(sources) == 1 else table.filter(pc.equal(table["assay_source"], source))
        rules = pc.struct_field(pc.list_flatten(mine["assay_reasons"]), "rule")
        found[source] = {item["values"]: item["counts"] for item in pc.value_counts(rules).to_pylist()}
    return found
