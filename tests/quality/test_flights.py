"""The ten flights of docs/quality.md are judged as the page says, with the configuration that is shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.tiers import MEASURES, Tier
from quality import compile_judge
from tests.quality.test_paths_agree import exactly, one

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/quality.md").read_text().split("## Ten flights")[1]
BASE: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ")
][2:]
ENTRY = yaml.safe_load((ROOT / "config/data_sources.yml").read_text())["datasets"]["flights"]
judge = compile_judge((ROOT / "schemas/flights.json").read_bytes(), ENTRY)


def test_there_are_ten() -> None:
    """One row each."""
    assert len({row[0] for row in ROWS}) == len(ROWS) == 10


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_flight_is_judged_as_the_page_says(row: list[str]) -> None:
    """Tier, score, measures and reasons; by both paths."""
    _, change, tier, score, *measures, reasons = row
    record = {
        name: value for name, value in (BASE | json.loads(change.strip("`"))).items() if value != "left out"
    }
    line = json.dumps(record).encode()
    found, careful = one(judge, line), exactly(judge, line)

    assert {key: found[key] for key in careful} == careful
    assert (Tier(found["tier"]).word, f"{found['score']:.4f}") == (tier, score)
    assert [f"{found[name]:.4g}" for name in MEASURES] == measures
    assert ", ".join(why["rule"] for why in found["reasons"] or []) == reasons.replace("–", "")
