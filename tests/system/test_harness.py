"""The harness itself: with a promise broken on purpose it goes red."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.system.site import flights
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_acknowledging_before_the_commit_is_found_as_loss(tmp_path: Path) -> None:
    site = flights(tmp_path, 3_000)
    run = site.start("--no-web", ASSAY_FAULT="ack-before-commit")
    run.wait(240)
    verdict = site.audit()
    assert verdict.counts["missing", "flights"] == 3_000, verdict.as_dict()


def test_a_row_left_out_shows_in_the_books_and_to_the_auditor(tmp_path: Path) -> None:
    site = flights(tmp_path, 3_000)
    run = site.start("--no-web", ASSAY_FAULT="drop-one-row")
    assert run.wait(240) == 1, run.text()[-3000:]
    assert run.books()["imbalance"] == 1
    verdict = site.audit()
    assert verdict.counts["missing", "flights"] == 1, verdict.as_dict()
    assert verdict.kinds == {"missing", "imbalance"}


def test_a_row_removed_behind_the_writers_back_shows_at_once_and_its_return_too(tmp_path: Path) -> None:
    site = flights(tmp_path, 2_000)
    run = site.start("--no-web", "--streaming", "--event-mode")
    run.until(lambda books: books["read"] == 2_000 and not books["in_flight"], what="all is committed")
    victim = next(path for path in site.parquet() if pq.read_metadata(path).num_rows > 1)
    whole, kept = pq.read_table(victim, partitioning=None), tmp_path / "kept.parquet"
    os.link(victim, kept)
    pq.write_table(whole.slice(1), tmp_path / "short.parquet")
    os.replace(tmp_path / "short.parquet", victim)
    run.until(lambda books: books["imbalance"] == 1, 15, what="imbalance 1 in status.json")
    os.replace(kept, victim)
    run.until(lambda books: books["imbalance"] == 0, 15, what="imbalance 0 in status.json")
    victim.unlink()
    run.until(lambda books: books["imbalance"] == whole.num_rows, 15, what="a whole file is missed")
    run.process.send_signal(signal.SIGTERM)
    assert run.wait(120) == 1, "a run whose books do not balance has failed"
    assert {kind for kind, _ in site.audit().counts} >= {"missing"}
    until(lambda: "behind the writer's back" in run.text(), 5, what="the log says so")
