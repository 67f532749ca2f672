"""Commits made by hand: parquet files in the documented layout and the manifests that name them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from bridge.ddl import TYPED, TablePlan
from config.models import Config, Spark, Storage
from schemas.columns import columns
from store.documents import arrow_type
from store.layout import STAGING, file_name, partition_path, table_directory
from store.log import CommitLog
from store.manifest import FileEntry, Manifest
from store.table import COMMON_SCHEMA, write

SCHEMA: dict[str, Any] = {
    "title": "orders",
    "properties": {
        "qty": {"type": "integer", "description": "How many; it's a count"},
        "price": {"type": "number"},
        "total": {"type": "number", "x-decimal": [12, 2]},
        "paid": {"type": "boolean"},
        "day": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "buyer": {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {},
    },
}
VALUES: dict[str, Any] = {
    "qty": 2**60, "price": 0.1, "total": Decimal("1234567890.12"), "paid": True, "day_": date(2013, 2, 28),
    "at": datetime(2013, 1, 1, 5, 17, 0, 123456, tzinfo=UTC), "buyer": {"name": "Zoë", "age": 7}, "tags": ["a", "b"],
    "more": '{"x":1}',
}  # fmt: skip
REASON = {
    "path": "/qty",
    "rule": "minimum",
    "severity": "minor",
    "expected": "≥ 0",
    "got": "-3",
    "message": "m",
}
FIRST_DAY = date(2013, 1, 1)


def a_config(root: Path, **spark: Any) -> Config:
    """A configuration for one data directory."""
    return Config(
        sources={}, storage=Storage(root=root), spark=Spark(master="local[1]", driver_memory="512m", **spark)
    )


LINEAGE = [{"source": "orders", "type": "file", "input": "it's/*.csv"}]


def a_plan(
    schema: dict[str, Any] = SCHEMA,
    version: int = 1,
    dataset: str = "orders",
    older: Iterable[dict[str, Any]] = (),
) -> TablePlan:
    """The plan of a dataset; ``older``: the schemas of earlier versions of its tables."""
    before = tuple(tuple(columns(one)) for one in older)
    found = tuple(replace(one, table=len(before) + 1) for one in columns(schema))
    facts = {"assay.sources": "orders", "assay.lineage": json.dumps(LINEAGE)}
    return TablePlan(
        dataset, f"{dataset}:{version}", "0123456789ab", found, "Orders, it's a test", before, facts
    )


def days(n: int) -> list[date]:
    """n days from the first."""
    return [FIRST_DAY + timedelta(days=at) for at in range(n)]


class Commits:
    """Writes commits below ``root`` as a writer would: stage, manifest, rename."""

    def __init__(self, root: Path, plan: TablePlan, values: Mapping[str, Any] = VALUES) -> None:
        self.root = root
        self.values = values
        self.plan = plan
        self.log = CommitLog(root)

    @property
    def warehouse(self) -> Path:
        """Where the tables lie."""
        return self.root / "warehouse"

    def add(
        self, on: Iterable[date], *, tiers: Iterable[str] = ("gold",), rows: int = 1, move: bool = True,
        fallback: Path | None = None,
    ) -> Manifest:  # fmt: skip
        """One commit with ``rows`` rows in every (tier, day). ``move=False``: its files stay in staging.

        ``fallback``: where those of Gold lie, because its directory refuses.
        """
        commit = self.log.last() + 1
        wanted = [(tier, day) for tier in tiers for day in on]
        files = [self._stage(commit, at, tier, day, rows) for at, (tier, day) in enumerate(wanted)]
        if fallback is not None:
            files = [self._refused(file, fallback) if file.tier == "gold" else file for file in files]
        manifest = Manifest(commit=commit, at_us=0, files=files)
        self.log.append(manifest)
        if move:
            for file in files:
                if file.place == "warehouse":
                    self.move(file)
        return manifest

    def _refused(self, file: FileEntry, fallback: Path) -> FileEntry:
        """The same file, in the fallback."""
        (fallback / file.staged).parent.mkdir(parents=True, exist_ok=True)
        (self.warehouse / file.staged).replace(fallback / file.staged)
        return msgspec.structs.replace(file, place="fallback")

    def _stage(self, commit: int, number: int, tier: str, day: date, rows: int) -> FileEntry:
        name, table = file_name(commit, number), f"{tier}_{self.plan.dataset}"
        staged = f"{table}/{STAGING}/{name}"
        path = self.warehouse / staged
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, rows_of(self.plan, tier, commit, day, rows, self.values))
        directory = table_directory(tier, self.plan.dataset, self.plan.version if tier in TYPED else 1)
        return FileEntry(
            staged=staged, path=f"{directory}/{partition_path(day.year, day.month, day.day)}/{name}", tier=tier,
            dataset=self.plan.dataset, schema=self.plan.schema, year=day.year, month=day.month, day=day.day,
            rows=rows, bytes=path.stat().st_size, spans=[],
        )  # fmt: skip

    def move(self, file: FileEntry) -> None:
        """Rename one file into its place."""
        target = self.warehouse / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.warehouse / file.staged).replace(target)


def rows_of(
    plan: TablePlan, tier: str, commit: int, day: date, n: int, own: Mapping[str, Any] = VALUES
) -> pa.Table:
    """n rows of one table's file."""
    at = datetime(day.year, day.month, day.day, 12, 0, 0, 1, tzinfo=UTC)
    values: dict[str, Any] = {
        "assay_id": "orders.0.1", "assay_ordinal": 1, "assay_source": "orders", "assay_event_time": at,
        "assay_arrived_at": at, "assay_score": 0.5, "assay_reasons": [REASON], "assay_batch": commit,
        "assay_raw": b"{}",
    }  # fmt: skip
    schema = COMMON_SCHEMA
    if tier in {"gold", "silver"}:
        schema = pa.schema([*COMMON_SCHEMA, *[(one.name, arrow_type(one)) for one in plan.columns]])
        values |= own
    return pa.table([pa.array([values.get(f.name)] * n, f.type) for f in schema], schema=schema)
