"""Aggregates of a running system: right while records come, and after every death of the station that keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.aggregates import definition_of
from config.aggregate import Aggregate
from core.crash import CRASHPOINTS
from schemas.columns import columns
from store.definition import Definition
from tests.store.windows import expected, stored
from tests.system.site import CHECKOUT, SAMPLES, Run, flights
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

AGGREGATES: list[dict[str, Any]] = [
    {"window": "1 day", "keys": ["carrier"],
     "measures": {"flights": "count", "mean_delay": "avg(dep_delay)", "latest": "max(dep_delay)", "last": "max(tailnum)"}},
    {"window": "1 hour", "measures": {"flights": "count", "miles": "sum(distance)", "quality": "avg(assay_score)"}},
]  # fmt: skip
POINTS = [point for point in CRASHPOINTS if point.startswith("aggregates.")]


def definitions() -> list[Definition]:
    """What the configuration means."""
    schema = json.loads((CHECKOUT / "schemas" / "flights.json").read_bytes())
    return [definition_of("flights", Aggregate(**one), columns(schema)) for one in AGGREGATES]


def right(data: Path, found: Iterable[Definition]) -> bool:
    """Whether each aggregate is what plain Python makes of the Gold rows on disk."""
    files = sorted((data / "warehouse" / "gold_flights").glob("year=*/*/*/*.parquet"))
    rows = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
    return all(stored(data, one) == expected(one, rows) != {} for one in found)


def settled(run: Run, rows: int) -> None:
    """Wait until so many records are committed, and aggregates have no commit left."""
    run.until(lambda books: books["read"] == rows and not books["in_flight"], what=f"{rows} committed")
    until(
        lambda: ("up", 0) in [(one["state"], one["waiting"]) for one in run.status()["stores"] if one["name"] == "aggregates"],
        120, what="aggregates have caught up",
    )  # fmt: skip


def test_aggregates_are_right_after_every_death_of_the_station_that_keeps_them(tmp_path: Path) -> None:
    site, died = flights(tmp_path, 6_000, rate_limit=1_500, aggregates=AGGREGATES), tmp_path / "died"
    site.config["sources"]["flights"] |= {"poll_interval_s": 0.2, "settle_s": 0.5}
    wanted = definitions()
    run = site.start(
        "--no-web", "--streaming", "--event-mode", ASSAY_CRASH=",".join(POINTS), ASSAY_CRASH_ONCE=str(died)
    )
    settled(run, 6_000)
    until(
        lambda: sorted(mark.name for mark in died.iterdir()) == sorted(POINTS), 120, what="all named deaths"
    )
    until(lambda: right(site.data, wanted), 120, 0.5, what="aggregates are right after them")

    lines = (SAMPLES / "samples" / "flights" / "flights.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "more").write_bytes(lines[0] + b"".join(lines[8_000:11_000]))
    os.replace(tmp_path / "more", tmp_path / "in" / "more.csv")
    settled(run, 9_000)

    assert run.stop(120) == 0, run.text()[-3000:]
    assert right(site.data, wanted)
    assert site.audit().ok
    assert site.command("fsck").returncode == 0
