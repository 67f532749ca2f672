"""A store in a directory of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import Column, columns
from store.commit import Committer
from store.layout import Layout

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"id": {"type": "integer"}}}


def a_committer(root: Path, schema: Mapping[str, Any] = SCHEMA, **settings: Any) -> Committer:
    """Recovered and ready."""

    def plan(dataset: str, ref: str) -> Sequence[Column]:
        return columns(schema)

    committer = Committer(Layout.of(root), plan, **settings)
    committer.recover()
    return committer


def tables(root: Path) -> dict[str, pa.Table]:
    """Path below the warehouse -> table, read with pyarrow alone."""
    warehouse = root / "warehouse"
    visible = (path for path in sorted(warehouse.rglob("*.parquet")) if "_staging" not in path.parts)
    return {str(path.relative_to(warehouse)): pq.ParquetFile(path).read() for path in visible}


def stored_rows(root: Path) -> list[dict[str, Any]]:
    """All rows of all tables, by ordinal."""
    found = [row for table in tables(root).values() for row in table.to_pylist()]
    return sorted(found, key=lambda row: (row["assay_source"], row["assay_ordinal"]))
