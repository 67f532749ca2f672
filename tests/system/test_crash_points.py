"""The program dies once at each named place, by itself, and ends well all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.crash import CRASHPOINTS
from tests.system.site import flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def points(station: str) -> list[str]:
    """The named places of a station."""
    return [point for point in CRASHPOINTS if point.startswith(f"{station}.")]


@pytest.mark.parametrize(
    "stations", [("connector", "bus", "registry"), ("writer",), ("bridge",)], ids="+".join
)
def test_a_death_there_costs_no_record(tmp_path: Path, stations: tuple[str, ...]) -> None:
    site = flights(tmp_path, 9_000, rate_limit=1_500, hive="bridge" in stations)
    places, died = [point for station in stations for point in points(station)], tmp_path / "died"
    run = site.start("--no-web", ASSAY_CRASH=",".join(places), ASSAY_CRASH_ONCE=str(died))
    code = run.wait(240)
    assert sorted(mark.name for mark in died.iterdir()) == sorted(places), "it came to all of them"
    assert code == 0, run.text()[-3000:]
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()
    assert run.books()["read"] == 9_000
