"""The program dies once at each named place, by itself, and ends well all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.crash import CRASHPOINTS
from tests.system.site import flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("point", CRASHPOINTS)
def test_a_death_there_costs_no_record(tmp_path: Path, point: str) -> None:
    site = flights(tmp_path, 3_000, hive=point.startswith("bridge."))
    mark = tmp_path / "died"
    run = site.start("--no-web", ASSAY_CRASH=point, ASSAY_CRASH_ONCE=str(mark))
    code = run.wait(240)
    assert mark.exists(), "it never came there"
    assert code == 0, run.text()[-3000:]
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()
    assert run.books()["read"] == 3_000
