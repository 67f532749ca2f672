"""Whatever moment the writer dies at, the next one ends with each row once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.crash import CRASHPOINTS
from store.log import CommitLog
from store.placing import staged_files
from tests.writer.desk import stored_ids
from tests.writer.dying import FRAMES, ROWS

HERE = Path(__file__).parents[2]
EXPECTED = sorted(f"orders.p0.{10 * at}" for at in range(FRAMES * ROWS))


def run(root: Path, **environment: str) -> int:
    """Exit code of a writer's life."""
    command = [sys.executable, "-m", "tests.writer.dying", str(root)]
    return subprocess.run(
        command, cwd=HERE, env={**os.environ, **environment}, check=False, timeout=120
    ).returncode


@pytest.mark.parametrize("point", [name for name in CRASHPOINTS if name.startswith("writer.")])
def test_each_row_is_stored_once_after_a_death(tmp_path: Path, point: str):
    assert run(tmp_path, ASSAY_CRASH=f"{point}:2") == -signal.SIGKILL
    before = CommitLog(tmp_path).last()

    assert run(tmp_path) == 0

    assert stored_ids(tmp_path) == EXPECTED
    assert CommitLog(tmp_path).last() > before or before == 3
    assert not list(staged_files(tmp_path / "warehouse"))
    counts = CommitLog(tmp_path).state().counts["orders"]
    assert (counts.read, counts.settled, counts.duplicate) == (FRAMES * ROWS, FRAMES * ROWS, 0)


def test_a_broken_order_of_commit_and_store_loses_rows(tmp_path: Path):
    """The harness can go red: a window committed before it is stored is gone."""
    assert run(tmp_path, ASSAY_FAULT="ack-before-commit") == -signal.SIGKILL
    assert run(tmp_path, ASSAY_FAULT="ack-before-commit") == 0

    assert len(stored_ids(tmp_path)) == (FRAMES - 2) * ROWS


def test_a_dropped_row_is_in_the_books(tmp_path: Path):
    assert run(tmp_path, ASSAY_FAULT="drop-one-row") == 0

    counts = CommitLog(tmp_path).state().counts["orders"]
    assert counts.read - counts.settled == 1
    assert len(stored_ids(tmp_path)) == FRAMES * ROWS - 1
