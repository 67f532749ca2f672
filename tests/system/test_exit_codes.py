"""What the program gives its shell, and the line it says with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.site import flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_glob_without_a_match_is_4_and_the_other_source_is_read(tmp_path: Path) -> None:
    site = flights(tmp_path, 500)
    site.config["sources"]["nothing"] = site.config["sources"]["flights"] | {
        "path": str(tmp_path / "none" / "*.csv")
    }
    run = site.start("--no-web")
    assert run.wait(240) == 4, run.text()[-3000:]
    assert str(tmp_path / "none" / "*.csv") in run.text()
    states = {one["name"]: (one["state"], one["read"]) for one in run.status()["sources"]}
    assert states == {"flights": ("drained", 500), "nothing": ("failed", 0)}
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()


def test_a_fault_in_the_configuration_is_2_at_its_place(tmp_path: Path) -> None:
    site = flights(tmp_path, 10)
    site.config["sources"]["flights"]["poll_intervall_s"] = 1
    run = site.start("--no-web")
    assert run.wait(60) == 2
    assert "poll_interval_s" in run.text()
    assert f"{site.file}:" in run.text()
    assert "Traceback" not in run.text()
    assert not (site.data / "commits").exists()


def test_too_many_rejects_is_3_and_all_is_stored(tmp_path: Path) -> None:
    site = flights(tmp_path, 3_000)
    run = site.start("--no-web", "--max-reject-rate", "0.0001")
    assert run.wait(240) == 3, run.text()[-3000:]
    assert site.rows() == 3_000


def test_a_sink_that_refuses_everywhere_is_5_and_the_data_stay_at_the_source(tmp_path: Path) -> None:
    site = flights(tmp_path, 500)
    file = tmp_path / "a-file"
    file.touch()
    site.config["storage"] = {"warehouse": str(file / "warehouse"), "fallback": str(file / "fallback")}
    run = site.start("--no-web")
    assert run.wait(240) == 5, run.text()[-3000:]
    assert str(file) in run.text()
    assert "Traceback" not in run.text()
    del site.config["storage"]
    again = site.start("--no-web")
    assert again.wait(240) == 0, again.text()[-3000:]
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()


def test_without_java_files_are_written_and_one_line_says_so(tmp_path: Path) -> None:
    site = flights(tmp_path, 500, hive="auto")
    folders = [one for one in os.environ["PATH"].split(os.pathsep) if not (Path(one) / "java").exists()]
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("sh", "bash", "env", "uname", "ps"):  # from the folders that had java
        found = next(
            (Path(one) / name for one in os.environ["PATH"].split(os.pathsep) if (Path(one) / name).exists()),
            None,
        )
        if found:
            (bare / name).symlink_to(found)
    path = os.pathsep.join([str(bare), *folders])
    run = site.start("--no-web", PATH=path, JAVA_HOME="")
    assert run.wait(240) == 0, run.text()[-3000:]
    lines = [
        line for line in run.text().splitlines() if "Java" in line and "hive" in line and "INFO" not in line
    ]
    assert len(lines) == 1, run.text()
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()
    assert not any(one["name"] == "bridge.jvm" for one in run.status()["stations"])
