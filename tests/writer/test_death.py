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


def run(root: Path, way: str = "frames", **environment: str) -> int:
    """Exit code of a writer's life."""
    command = [sys.executable, "-m", "tests.writer.dying", str(root), way]
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


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize(
    "point",
    [name for name in CRASHPOINTS if name.startswith("staged.")]
    + ["writer.manifest", "writer.half-renamed", "writer.renamed"],
)
def test_each_staged_row_is_stored_once_after_a_death(tmp_path: Path, point: str, nth: int):
    """Two sources at once: one stages for reserved numbers, the other's windows are committed beside it."""
    assert run(tmp_path, "staged", ASSAY_CRASH=f"{point}:{nth}") == -signal.SIGKILL

    assert run(tmp_path, "staged") == 0

    assert stored_ids(tmp_path) == sorted(EXPECTED + [one.replace("orders", "beside") for one in EXPECTED])
    assert not list(staged_files(tmp_path / "warehouse"))
    log = CommitLog(tmp_path)
    assert log.whole() == log.last() == len(log.numbers())
    for counts in log.state().counts.values():
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
