"""The command itself: one line a finding, exit code, and no repair while a run is at work."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from cli import fsck
from cli.lock import RunLock
from core.errors import Locked
from tests.store.frames import Sender, rows
from tests.store.stores import a_committer


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    schema = tmp_path / "orders.json"
    schema.write_text('{"type": "object", "properties": {"id": {"type": "integer"}}}')
    config = tmp_path / "sources.yml"
    config.write_text(
        f"logging: null\nsources:\n  orders: {{type: file, path: '{tmp_path}/*.jsonl', dataset: orders}}\n"
        f"datasets:\n  orders: {{schema: '{schema}'}}\n"
    )
    return ["--config", str(config), "--data-dir", str(tmp_path / "data")]


def run(*flags: str) -> int:
    parser = argparse.ArgumentParser()
    fsck.arguments(parser)
    return fsck.run(parser.parse_args(flags))


def test_findings_and_repair(tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]):
    a_committer(tmp_path / "data").commit([Sender().frame(rows(3))])

    assert run(*flags) == 1
    assert "index: " in capsys.readouterr().out
    assert run(*flags, "--repair") == 0
    assert run(*flags) == 0


def test_no_repair_while_a_run_is_at_work(tmp_path: Path, flags: list[str]):
    with RunLock(tmp_path / "data"), pytest.raises(Locked):
        run(*flags, "--repair")
