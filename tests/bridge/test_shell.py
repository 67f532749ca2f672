"""Queries from a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def shell(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.shell", "--data-dir", str(root), *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_wrong_statement_is_one_line(tmp_path: Path):
    said = shell(tmp_path, "SELECT 1 AS one", "SELECT nothing FROM nowhere")

    assert (said.returncode, said.stdout) == (1, "one\n1\n")
    assert said.stderr.startswith("E725 ") and len(said.stderr.splitlines()) == 1


def test_a_directory_that_is_not_there_is_named(tmp_path: Path):
    said = shell(tmp_path / "none", "SELECT 1")

    assert said.returncode == 2
    assert said.stderr == f"there is no data directory `{tmp_path / 'none'}`: name one with --data-dir\n"
