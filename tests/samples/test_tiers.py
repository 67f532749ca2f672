"""The sample data get the tiers that docs/samples.md says, for the reasons it gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.models import Config
from tests.samples.documents import CHECKOUT, Judged, a_config, judged

TIERS = ("gold", "silver", "bronze", "rejected")
SOURCES = ("weather", "planes", "airports", "airlines", "customers", "invoices")


def documented() -> dict[str, list[int]]:
    """dataset -> rows, gold, silver, bronze, rejected of the documentation's table."""
    text = (CHECKOUT / "docs" / "samples.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) ((?:\| [\d,]+ ){5})\|$", text, re.MULTILINE)
    return {
        name: [int(number.replace(",", "")) for number in cells.strip("| ").split("|")]
        for name, cells in rows
    }


def numbers(found: Judged) -> list[int]:
    return [found.rows, *(found.tiers[tier] for tier in TIERS)]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return a_config(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def early_flights(config: Config) -> Judged:
    """The first month, nearly."""
    return judged(config, "flights", at_most=30_000)


def test_the_documentation_names_every_dataset(config: Config):
    assert set(documented()) == set(config.datasets)


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_gets_the_tier_that_the_documentation_counts(config: Config, source: str):
    found = judged(config, source)

    assert numbers(found) == documented()[config.sources[source].dataset]
    assert sorted(found.keys) == list(range(1, found.rows + 1))


def test_the_first_flights_have_all_four_tiers(early_flights: Judged):
    assert numbers(early_flights) == [30_000, 26_554, 2_916, 374, 156]


def test_tiers_of_flights_have_the_reasons_a_reader_expects(early_flights: Judged):
    rules = early_flights.rules

    assert set(rules["gold"]) == {"-"}
    assert rules["rejected"]["has-an-aircraft"] == early_flights.tiers["rejected"]
    assert rules["bronze"]["departed"] + rules["bronze"]["pattern"] == early_flights.tiers["bronze"]
    assert {"known-airport", "arrival-is-known", "registered-tail-number"} <= set(rules["silver"])
    assert "departed" not in rules["silver"]


def test_timeliness_of_flights_and_weather_tells_old_from_new(config: Config, early_flights: Judged):
    weather = judged(config, "weather", at_most=1_000)

    assert len(early_flights.timeliness) >= 3
    assert len(weather.timeliness) >= 3
    assert all(0 < (value or 0) <= 1 for value in early_flights.timeliness | weather.timeliness)


@pytest.mark.slow
def test_every_flight_gets_the_tier_that_the_documentation_counts(config: Config):
    found = judged(config, "flights")

    assert numbers(found) == documented()["flights"]
    assert found.keys == list(range(1, found.rows + 1))


def test_the_documentation_names_the_licences():
    text = Path(CHECKOUT / "docs" / "samples.md").read_text("utf-8")

    assert "CC0" in text
    assert "Freely Distributable" in text
