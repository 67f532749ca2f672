"""One window, one commit: where rows land, what the manifest says, and what can be repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.batch import Reason
from core.errors import StoreUnavailable
from core.ledger import Counts
from core.ranges import Ranges
from core.tiers import Tier
from schemas.columns import columns
from store.commit import Committer
from store.layout import Layout
from store.log import CommitLog
from tests.store.frames import DAY_US, NOON, Row, Sender, rows
from tests.store.stores import SCHEMA, a_committer, stored_rows, tables


def test_two_days_and_four_tiers_make_their_files(tmp_path: Path):
    """Rejected rows lie by arrival day, the others by the day of the event."""
    mixed = [Row(10 * at, tier=Tier(at % 4), event_time=NOON - (at // 4 % 2) * DAY_US) for at in range(16)]

    manifest = a_committer(tmp_path).commit([Sender().frame(mixed)]).manifest

    assert manifest is not None
    found = {path.rpartition("/")[0]: table.num_rows for path, table in tables(tmp_path).items()}
    day = "year=2024/month=10/day="
    assert found == {
        f"{tier}_orders/{day}{n}": 2 for tier in ("gold", "silver", "bronze") for n in (3, 4)
    } | {f"rejected_orders/{day}4": 4}
    assert manifest.counts == {"orders": Counts(read=16, gold=4, silver=4, bronze=4, rejected=4)}
    assert sum(entry.rows for entry in manifest.files) == 16


def test_a_further_version_of_a_table_has_a_directory_of_its_own_where_columns_are_typed(tmp_path: Path):
    columns_of_v2 = [replace(one, table=2) for one in columns(SCHEMA)]
    committer = Committer(Layout.of(tmp_path), lambda dataset, ref: columns_of_v2)
    committer.recover()

    committer.commit([Sender(schema="orders:2").frame([Row(10 * at, tier=Tier(at)) for at in range(4)])])

    assert {path.partition("/")[0] for path in tables(tmp_path)} == {
        "gold_orders.v2", "silver_orders.v2", "bronze_orders", "rejected_orders",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event_time", "expected"),
    [
        pytest.param(None, NOON, id="missing"),
        pytest.param(-1, NOON, id="before-1970"),
        pytest.param(0, 0, id="1970"),
        pytest.param(NOON + DAY_US, NOON + DAY_US, id="a-day-ahead"),
        pytest.param(NOON + DAY_US + 1, NOON, id="beyond-a-day"),
    ],
)
def test_an_event_time_that_cannot_be_true_is_the_arrival(tmp_path: Path, event_time, expected):
    a_committer(tmp_path).commit([Sender().frame([Row(0, event_time=event_time)])])

    (row,) = stored_rows(tmp_path)
    assert int(row["assay_event_time"].timestamp() * 1e6) == expected


def test_a_row_has_every_column(tmp_path: Path):
    reason = Reason("/id", "minimum", "major", "≥ 0", "-1", "too small")
    row = Row(
        7,
        raw=b' {"id": -1,"x":1}',
        tier=Tier.SILVER,
        document=b'{"id":1}',
        extra=b'{"x":1}',
        reasons=[reason],
    )

    a_committer(tmp_path).commit([Sender().frame([row])])

    (found,) = stored_rows(tmp_path)
    for time in ("assay_event_time", "assay_arrived_at"):
        assert found.pop(time).isoformat() == "2024-10-04T12:00:00+00:00"
    assert found == {
        "assay_id": "orders.p0.7", "assay_ordinal": 7, "assay_source": "orders",
        "assay_position": '{"file":"p0.jsonl","offset":7}', "assay_schema": "orders:1", "assay_rules": "abcdef123456",
        "assay_score": 1.0, "assay_completeness": 1.0, "assay_accuracy": 1.0, "assay_timeliness": None,
        "assay_compliance": 1.0, "assay_consistency": None, "assay_reasons": [reason.as_dict()], "assay_batch": 1,
        "assay_replay": None, "assay_rewrite": None, "assay_extra": '{"x":1}', "assay_raw": b' {"id": -1,"x":1}',
        "assay_content_type": "application/json", "id": 1,
    }  # fmt: skip


def test_rows_are_sorted_by_source_partition_and_ordinal(tmp_path: Path):
    late, early = Sender("zeta"), Sender("alpha")
    frames = [
        late.frame(rows(3, start=100)), late.frame(rows(3)),
        early.frame([*rows(2, partition="p9"), *rows(2, partition="p1")]),
    ]  # fmt: skip

    manifest = a_committer(tmp_path).commit(frames).manifest

    (table,) = tables(tmp_path).values()
    ids = table["assay_id"].to_pylist()
    assert ids == [
        "alpha.p1.0", "alpha.p1.10", "alpha.p9.0", "alpha.p9.10",
        "zeta.p0.0", "zeta.p0.10", "zeta.p0.20", "zeta.p0.100", "zeta.p0.110", "zeta.p0.120",
    ]  # fmt: skip
    assert manifest is not None
    assert [(s.source, s.partition, s.start, s.end, s.rows) for s in manifest.files[0].spans] == [
        ("alpha", "p1", 0, 20, 2), ("alpha", "p9", 0, 20, 2), ("zeta", "p0", 0, 130, 6),
    ]  # fmt: skip
    assert manifest.counts["zeta"].gold == 6


def test_the_same_frames_again_are_duplicates(tmp_path: Path):
    committer = a_committer(tmp_path)
    frame = Sender().frame(rows(5))
    committer.commit([frame])

    committer.commit([frame])

    assert len(stored_rows(tmp_path)) == 5
    assert committer.state.counts["orders"] == Counts(read=10, gold=5, duplicate=5)


def test_a_window_with_nothing_new_makes_no_commit(tmp_path: Path):
    committer = a_committer(tmp_path)
    sender = Sender()
    committer.commit([sender.frame(rows(1), marks={"p0": {"at": 10}})])

    done = committer.commit([sender.frame(marks={"p0": {"at": 10}}, last=True)])

    assert done.manifest is None
    assert committer.log.last() == 1


def test_resuming_reads_the_complement(tmp_path: Path):
    sender = Sender()
    a_committer(tmp_path).commit([sender.frame(rows(3)), sender.frame(rows(3, start=100))])

    state = a_committer(tmp_path).state
    resume = CommitLog(tmp_path).resume("orders", state)

    assert list(resume.coverage["p0"].complement(0, 200)) == [(30, 100), (130, 200)]
    assert resume.coverage["p0"] == Ranges([(0, 30), (100, 130)])


def test_a_commit_that_failed_may_be_repeated(tmp_path: Path):
    committer = a_committer(tmp_path)
    (tmp_path / "commits").write_text("no directory")
    frames = [Sender().frame(rows(4))]
    with pytest.raises(StoreUnavailable, match="E703"):
        committer.commit(frames)
    (tmp_path / "commits").unlink()

    done = committer.commit(frames)

    assert done.rows == 4
    assert committer.state.counts["orders"] == Counts(read=4, gold=4)
    assert len(stored_rows(tmp_path)) == 4


def test_two_schema_versions_in_one_window_make_files_apart(tmp_path: Path):
    old, new = Sender("one", schema="orders:1"), Sender("two", schema="orders:2")

    manifest = a_committer(tmp_path).commit([old.frame(rows(1)), new.frame(rows(1))]).manifest

    assert manifest is not None
    assert sorted(entry.schema for entry in manifest.files) == ["orders:1", "orders:2"]


def test_a_table_that_refuses_uses_the_fallback_and_comes_home_once(tmp_path: Path):
    """Also when the move home was cut off between the rename and forgetting the copy."""
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir()
    (warehouse / "gold_orders").write_text("no directory")
    committer = a_committer(tmp_path)

    committer.commit([Sender().frame([Row(0), Row(10, tier=Tier.BRONZE)])])

    assert list(committer.places.refusals) == ["gold_orders"]
    assert [path.partition("/")[0] for path in tables(tmp_path)] == ["bronze_orders"]
    (copy,) = (tmp_path / "fallback").rglob("*.parquet")
    again = a_committer(tmp_path)
    assert len(again.places.waiting) == 1
    (warehouse / "gold_orders").unlink()
    kept = copy.read_bytes()
    assert again.move_home() == 1
    assert not copy.exists()
    copy.write_bytes(kept)
    a_committer(tmp_path)

    assert [row["assay_id"] for row in stored_rows(tmp_path)] == ["orders.p0.0", "orders.p0.10"]
    assert not copy.exists()


def test_a_move_home_that_was_cut_off_begins_again(tmp_path: Path):
    """Half a copy in the warehouse's staging is nobody's file."""
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir()
    (warehouse / "gold_orders").write_text("no directory")
    a_committer(tmp_path).commit([Sender().frame(rows(3))])
    (copy,) = (tmp_path / "fallback").rglob("*.parquet")
    (warehouse / "gold_orders").unlink()
    half = warehouse / "gold_orders" / "_staging" / copy.name
    half.parent.mkdir(parents=True)
    half.write_bytes(copy.read_bytes()[:100])

    recovered = a_committer(tmp_path)

    assert not recovered.places.waiting
    assert len(stored_rows(tmp_path)) == 3
    assert not half.exists()
    assert not copy.exists()
