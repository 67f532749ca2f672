"""Orders in a store, aggregates over them, and what they must be: plain Python over the rows of the parquet files."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from schemas.columns import columns
from store.aggregating import Aggregates, Step
from store.commit import Committer
from store.definition import Definition, define
from store.layout import Layout
from tests.store.frames import Row, Sender
from tests.store.stores import a_committer

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "shop": {"type": ["string", "null"], "description": "Where it was sold"},
        "qty": {"type": ["integer", "null"]},
        "price": {"type": ["number", "null"], "description": "Euro"},
        "total": {"type": ["number", "null"], "x-decimal": [20, 2]},
        "paid": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}
HOUR = 3_600_000_000
DAY = 24 * HOUR
START = datetime(2024, 3, 4, tzinfo=UTC)
"""A Monday."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MEASURES = {
    "orders": "count", "items": "sum(qty)", "mean_qty": "avg(qty)", "most": "max(qty)", "cheapest": "min(price)",
    "euro": "sum(price)", "mean_price": "avg(price)", "turnover": "sum(total)", "priced": "count(price)",
}  # fmt: skip


def us(when: datetime) -> int:
    """µs since 1970."""
    return (when - EPOCH) // timedelta(microseconds=1)


def an_aggregate(
    *, window_s: int = 3600, keys: Iterable[str] = ("shop",), measures: dict[str, str] | None = None,
    watermark_s: float | None = None, name: str = "hour",
) -> Definition:  # fmt: skip
    """An aggregate over orders."""
    return define(
        "orders", name=name, window_s=window_s, keys=keys, measures=measures or MEASURES, watermark_s=watermark_s,
        columns=columns(SCHEMA),
    )  # fmt: skip


@dataclass
class Shop:
    """Commits orders as the writer does."""

    root: Path
    seed: int = 1
    ordinal: int = 0
    senders: dict[str, Sender] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.committer: Committer = a_committer(self.root, SCHEMA)

    def sell(self, *times: datetime, source: str = "orders", **facts: Any) -> int:
        """One commit with an order at each of ``times``; its number."""
        sender = self.senders.setdefault(source, Sender(source=source, arrived_us=us(START) + 400 * DAY))
        frame = sender.frame([self._row(us(time), **facts) for time in times])
        committed = self.committer.commit([frame])
        assert committed.manifest is not None
        return committed.manifest.commit

    def sell_some(self, count: int, days: int = 3, **facts: Any) -> int:
        """One commit with orders at random times of the first days."""
        return self.sell(
            *(START + timedelta(microseconds=self.chance.randrange(days * DAY)) for _ in range(count)),
            **facts,
        )

    def _row(self, time_us: int, **facts: Any) -> Row:
        chance = self.chance
        order = {
            "shop": chance.choice(["Aachen", "Zürich", "", None]), "qty": chance.choice([None, chance.randrange(-5, 2**62)]),
            "price": chance.choice([None, round(chance.uniform(0, 1e6), 2), 0.1]),
            "total": chance.choice([None, chance.randrange(10**12) / 100]), "paid": chance.random() < 0.5, **facts,
        }  # fmt: skip
        self.ordinal += 10
        return Row(self.ordinal, raw=msgspec.json.encode(order), event_time=time_us)


def aggregates(root: Path, *definitions: Definition) -> Aggregates:
    """Opened."""
    found = Aggregates(Layout.of(root), definitions)
    found.open()
    return found


def caught_up(found: Aggregates) -> list[Step]:
    """Step until there is nothing new."""
    steps = [found.step()]
    while (step := found.step()).commit != steps[-1].commit or step.days:
        steps.append(step)
    return steps


def gold(root: Path) -> list[dict[str, Any]]:
    """Every visible row of Gold."""
    files = sorted((root / "warehouse" / "gold_orders").glob("year=*/*/*/*.parquet"))
    return [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]


def expected(definition: Definition, rows: Iterable[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """(window start, keys) -> measures."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    length, offset = (
        definition.window.length_us,
        (4 * DAY if definition.window.length_us % (7 * DAY) == 0 else 0),
    )
    for row in rows:
        begin = (us(row["assay_event_time"]) - offset) // length * length + offset
        groups.setdefault((begin, *(row[key.name] for key in definition.keys)), []).append(row)
    return {
        key: {one.name: measured(one.function, one.of and one.of.name, found) for one in definition.measures}
        for key, found in groups.items()
    }


def punctual(definition: Definition, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that came before their window was closed, told row by row in order of commits."""
    if definition.watermark_us is None:
        return list(rows)
    length, kept, latest = definition.window.length_us, [], {}
    ordered = sorted(rows, key=lambda row: row["assay_batch"])
    for _, commit in groupby(ordered, lambda row: row["assay_batch"]):
        before, found = dict(latest), list(commit)
        for row in found:
            source, time = row["assay_source"], us(row["assay_event_time"])
            if time // length * length + length > before.get(source, 0) - definition.watermark_us:
                kept.append(row)
            latest[source] = max(time, latest.get(source, 0))
    return kept


def measured(function: str, column: str | None, rows: list[dict[str, Any]]) -> Any:
    """One measure of some rows, as SQL has it."""
    if column is None:
        return len(rows)
    values = [row[column] for row in rows if row[column] is not None]
    if function == "count":
        return len(values)
    if not values:
        return None
    if function in {"min", "max"}:
        return {"min": min, "max": max}[function](values)
    total = math.fsum(values) if isinstance(values[0], float) else sum(values)
    if function == "avg":
        return float(sum(map(Fraction, values)) / len(values))
    return None if isinstance(total, int) and not -(2**63) <= total < 2**63 else total


def stored(root: Path, definition: Definition) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The same, as the aggregate's files say; a row in a wrong partition or of a wrong length is no row."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    folder = root / "warehouse" / definition.table
    for path in sorted(folder.glob("year=*/*/*/*.parquet")):
        day = [int(part.partition("=")[2]) for part in path.relative_to(folder).parts[:3]]
        for row in pq.ParquetFile(path).read().to_pylist():
            begin = row["window_start"]
            assert [begin.year, begin.month, begin.day] == day
            assert us(row["window_end"]) - us(begin) == definition.window.length_us
            key = (us(begin), *(row[one.name] for one in definition.keys))
            assert key not in found, f"{key} stands twice"
            found[key] = {one.name: row[one.name] for one in definition.measures}
    return found
