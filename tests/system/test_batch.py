"""Batch mode on all sample sources: the numbers of the program, the auditor and Hive are the same numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.aggregates import definition_of
from config.aggregate import Aggregate
from schemas.columns import columns
from tests.audit.audit import TIERS, sample_inputs
from tests.lineage.specification import faults
from tests.store.windows import expected, stored
from tests.system.site import CHECKOUT, SAMPLES, Run, Site, all_samples, end_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCES = {
    "flights": 336_776, "weather": 26_115, "planes": 3_322, "airports": 1_458, "airlines": 16, "customers": 59,
    "invoices": 412,
}  # fmt: skip
DOCUMENT = {"state", "started_at", "mode", "sources", "ledger", "run", "stations", "stores"}
BOOKS = {"read", *TIERS, "quarantined", "duplicate", "in_flight"}
SOURCE = {"name", "type", "dataset", "state", "committed", "lag", "last_error", "refused", *BOOKS}
ACTORS = {"bus", "registry", "writer", "bridge", "supervisor"}


@dataclass
class Batch:
    """A finished batch run."""

    site: Site
    run: Run
    code: int
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """The first run, with Hive."""
    site = all_samples(tmp_path_factory.mktemp("batch"), hive=True)
    site.config["lineage"] = {"enabled": True}
    yield ran(site)
    end_all()


def ran(site: Site) -> Batch:
    """One batch run to its end."""
    summary = site.folder / "summary.jsonl"
    run = site.start("--no-web", "--summary", str(summary))
    code = run.wait(600)
    return Batch(site, run, code, json.loads(summary.read_text().splitlines()[-1]))


def tiers(document: dict[str, Any]) -> dict[str, list[int]]:
    """Source -> records per tier."""
    return {source["name"]: [source[tier] for tier in TIERS] for source in document["sources"]}


def test_every_source_is_read_and_the_books_balance(batch: Batch) -> None:
    assert batch.code == 0, batch.run.text()[-3000:]
    assert {one["name"]: one["read"] for one in batch.summary["sources"]} == SOURCES
    for one in batch.summary["sources"]:
        assert one["read"] == one["committed"] == sum(one[tier] for tier in TIERS), one
        assert one["in_flight"] == one["quarantined"] == one["duplicate"] == 0, one
    assert batch.summary["ledger"]["imbalance"] == 0


def test_the_run_and_every_commit_are_told_as_lineage(batch: Batch) -> None:
    lines = (batch.site.data / "state" / "lineage.ndjson").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    running = [event for event in events if event["eventType"] == "RUNNING"]
    given = [event["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"] for event in running]
    stored = [
        one["outputFacets"]["outputStatistics"]["rowCount"] for event in running for one in event["outputs"]
    ]

    assert [fault for event in events for fault in faults(event)] == []
    assert [event["eventType"] for event in events[:8] + events[-8:]] == ["START"] * 8 + ["COMPLETE"] * 8
    assert sum(given) == sum(stored) == sum(SOURCES.values())


def test_the_last_object_of_the_summary_is_the_status_document(batch: Batch) -> None:
    document = batch.summary
    assert document.keys() == DOCUMENT
    assert document["ledger"].keys() == document["run"].keys() == BOOKS | {"imbalance"}
    assert (document["state"], document["mode"]) == ("done", "batch")
    assert document["run"] == document["ledger"], "the first run of a data directory is its whole life"
    for one in document["sources"]:
        assert one.keys() == SOURCE
        assert one["lag"].keys() == {"records", "seconds"}
        assert (one["state"], one["last_error"]) == ("drained", None)
    stations = {one["name"]: one for one in document["stations"]}
    assert stations.keys() == ACTORS | {"bridge.jvm"} | {f"connector:{name}" for name in SOURCES}
    assert all({"name", "state", "pid", "restarts"} <= one.keys() for one in stations.values())
    assert {one["name"]: one["waiting"] for one in document["stores"]} == {
        "files": 0, "hive": 0, "aggregates": 0, "lineage": 0,
    }  # fmt: skip


def test_the_closing_table_says_the_same(batch: Batch) -> None:
    printed = {}
    for line in batch.run.text().splitlines():
        if found := re.match(r"^(\w+) +([\d,]+)  +([\d,]+)  +([\d,]+)  +([\d,]+)  +([\d,]+)  ", line):
            printed[found[1]] = [int(one.replace(",", "")) for one in found.groups()[1:]]
    expected = {
        one["name"]: [one["read"], *tiers(batch.summary)[one["name"]]] for one in batch.summary["sources"]
    }
    assert printed == expected | {"all": [sum(column) for column in zip(*expected.values(), strict=True)]}
    assert "the books balance" in batch.run.text()


def test_the_auditor_finds_every_record_once_with_its_own_bytes(batch: Batch) -> None:
    verdict = batch.site.audit(sample_inputs(SAMPLES))
    assert verdict.ok, verdict.as_dict()
    assert verdict.compared_bytes == sum(SOURCES.values())


def test_the_windows_of_flights_are_what_plain_python_makes_of_gold(batch: Batch) -> None:
    settings = batch.site.config["datasets"]["flights"]["aggregates"][0]
    schema = json.loads((CHECKOUT / "schemas" / "flights.json").read_bytes())
    definition = definition_of("flights", Aggregate(**settings), columns(schema))
    wanted = ["assay_event_time", "carrier", "dep_delay", "distance"]
    files = (path for path in batch.site.parquet() if path.parts[-5] == "gold_flights")
    rows = [row for path in files for row in pq.ParquetFile(path).read(wanted).to_pylist()]

    found = stored(batch.site.data, definition)

    assert found == expected(definition, rows)
    assert sum(one["flights"] for one in found.values()) == tiers(batch.summary)["flights"][0]


def test_a_second_run_reads_nothing_and_hive_has_the_numbers_of_the_first(batch: Batch) -> None:
    again = ran(batch.site)
    assert again.code == 0, again.run.text()[-3000:]
    assert set(again.summary["run"].values()) == {0}
    assert tiers(again.summary) == tiers(batch.summary)
    counts, in_windows = hive_counts(batch.site.data, batch.summary)
    assert counts == tiers(batch.summary)
    assert in_windows == tiers(batch.summary)["flights"][0]


def hive_counts(data: Path, document: dict[str, Any]) -> tuple[dict[str, list[int]], int]:
    """What a new process finds in the views, through the metastore; and the flights in the windows of days."""
    one_view = "(SELECT count(*) FROM assay.{tier}_{dataset}) AS {name}__{tier}"
    views = [
        one_view.format(tier=tier, dataset=one["dataset"], name=one["name"])
        for one in document["sources"]
        for tier in TIERS
    ]
    views.append("(SELECT sum(flights) FROM assay.gold_flights_by_day) AS in_windows")
    said = subprocess.run(
        [sys.executable, "-m", "bridge.shell", "--data-dir", str(data), "--json", f"SELECT {', '.join(views)}"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr[-3000:]
    found = json.loads(said.stdout)
    counts = {one["name"]: [found[f"{one['name']}__{tier}"] for tier in TIERS] for one in document["sources"]}
    return counts, found["in_windows"]
