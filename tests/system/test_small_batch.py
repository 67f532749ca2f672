"""A batch so small that it is read before Spark has begun to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.site import flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_what_a_short_run_committed_is_registered_before_it_ends(tmp_path: Path) -> None:
    site = flights(tmp_path, 50, hive=True)
    run = site.start("--no-web")

    assert run.wait(300) == 0, run.text()[-3000:]

    stores = {one["name"]: (one["state"], one["waiting"]) for one in run.status()["stores"]}
    assert stores == {"files": ("up", 0), "hive": ("up", 0)}, run.text()[-3000:]
