"""fsck finds what is not as the log says, and repairs what can be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from store.check import check, repair
from store.index import Index
from store.layout import Layout
from store.log import CommitLog
from tests.store.frames import Sender, rows
from tests.store.stores import a_committer, stored_rows


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    committer, sender = a_committer(tmp_path), Sender()
    committer.commit([sender.frame(rows(5))])
    committer.commit([sender.frame(rows(5, start=50))])
    Index(Layout.of(tmp_path)).catch_up()
    return tmp_path


def kinds(root: Path) -> list[str]:
    return [finding.kind for finding in check(Layout.of(root))]


def files(root: Path) -> list[Path]:
    return sorted((root / "warehouse").rglob("*.parquet"))


def test_a_whole_store_has_no_finding(stored: Path):
    assert kinds(stored) == []


def test_each_fault_is_found(stored: Path):
    first, second = files(stored)
    pq.write_table(pq.ParquetFile(first).read().slice(2), first)
    second.rename(second.with_name("stranger.parquet"))
    (stored / "commits" / "000000000002.json").write_bytes(b"{")

    assert sorted(kinds(stored)) == ["manifest", "rows", "unknown"]


def test_a_missing_file_and_a_missing_manifest_are_found(stored: Path):
    files(stored)[1].unlink()
    CommitLog(stored).path(1).unlink()

    assert sorted(kinds(stored)) == ["manifest", "missing", "unknown"]


def test_repair_rolls_forward_sweeps_and_makes_the_index_anew(stored: Path):
    placed = files(stored)[0]
    staging = stored / "warehouse" / "gold_orders" / "_staging"
    placed.rename(staging / placed.name)
    shutil.copy(staging / placed.name, staging / "c000000000009-0.parquet")
    (stored / "state" / "index.sqlite").write_bytes(b"")
    assert sorted(kinds(stored)) == ["index", "staging", "waiting"]

    repair(Layout.of(stored))

    assert kinds(stored) == []
    assert len(stored_rows(stored)) == 10
