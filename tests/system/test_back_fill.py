"""A bounded back-fill, then a full run: each row once, from files and from a database."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.audit.audit import TIERS, Input
from tests.system.site import CHECKOUT, SAMPLES, Run, flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

DATABASE = SAMPLES / "samples" / "chinook" / "chinook.db"


def counts(run: Run) -> dict[str, dict[str, Any]]:
    """Source -> its object in the status."""
    return {one["name"]: one for one in run.status()["sources"]}


def test_a_back_fill_takes_its_rows_and_a_full_run_the_others(tmp_path: Path) -> None:
    site = flights(tmp_path, 4_000)
    shipped = yaml.safe_load((CHECKOUT / "config" / "data_sources.yml").read_text())
    prepare_database()
    invoices = {key: value for key, value in shipped["sources"]["invoices"].items() if key != "sample"}
    site.config["sources"]["invoices"] = invoices | {"url": f"sqlite:///{DATABASE}"}
    site.config["datasets"]["sales_transactions"] = shipped["datasets"]["sales_transactions"]
    inputs = [
        Input.parse(f"flights={tmp_path}/in/*.csv"),
        Input.parse(f"sales_transactions={DATABASE}#invoices:invoice_id"),
    ]
    since, until = "2010-03-01", "2013-01-03T12:00:00Z"
    with (tmp_path / "in" / "flights.csv").open(newline="") as file:
        times = [row["time_hour"] for row in csv.DictReader(file)]
    with closing(sqlite3.connect(DATABASE)) as database:
        dates = [date for (date,) in database.execute("SELECT invoice_date FROM invoices")]
    expected = {
        "flights": sum(since <= time < until for time in times),
        "invoices": sum(since <= date < until for date in dates),
    }
    assert 0 < expected["flights"] < 4_000, expected
    assert 0 < expected["invoices"] < len(dates), expected

    first = site.start("--no-web", "--since", since, "--until", until)
    assert first.wait(240) == 0, first.text()[-3000:]
    taken = counts(first)
    assert {name: one["read"] for name, one in taken.items()} == expected
    assert {name: sum(one[tier] for tier in TIERS) for name, one in taken.items()} == expected

    second = site.start("--no-web")
    assert second.wait(240) == 0, second.text()[-3000:]
    assert {name: one["read"] for name, one in counts(second).items()} == {
        "flights": 4_000,
        "invoices": len(dates),
    }
    verdict = site.audit(inputs)
    assert verdict.ok, verdict.as_dict()


def prepare_database() -> None:
    """The sample database, written by the program's own code when it is not there."""
    from tests.system.site import samples

    samples()
    assert DATABASE.exists()
