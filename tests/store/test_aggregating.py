"""Aggregates follow the commit log: right, once, whatever ends in between, and equal to one computed by hand."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from core.crash import CRASHPOINTS
from core.errors import StoreUnavailable
from store.aggregate import Groups
from store.aggregating import Aggregates
from store.check import check
from store.layout import Layout
from tests.store.follow import killed_there
from tests.store.windows import (
    MEASURES,
    START,
    Shop,
    aggregates,
    an_aggregate,
    caught_up,
    expected,
    gold,
    stored,
)

DAYS = timedelta(days=1)


def agree(root: Path, *definitions) -> None:
    """What is stored is what plain Python makes of Gold."""
    for definition in definitions:
        assert stored(root, definition) == expected(definition, gold(root)), definition.table


@pytest.mark.parametrize(
    ("window_s", "keys"),
    [
        pytest.param(3_600, ("shop",), id="hours"),
        pytest.param(86_400, ("shop", "paid"), id="days, two keys"),
        pytest.param(900, (), id="quarters of an hour, no key"),
        pytest.param(7 * 3_600, ("assay_source",), id="windows that cross midnight"),
        pytest.param(7 * 86_400, ("shop",), id="weeks"),
        pytest.param(36 * 3_600, ("qty",), id="a day and a half"),
    ],
)
def test_commit_by_commit_gives_what_plain_python_makes_of_gold(tmp_path: Path, window_s, keys):
    shop, definition = Shop(tmp_path), an_aggregate(window_s=window_s, keys=keys)
    follower = aggregates(tmp_path, definition)
    for _ in range(4):
        shop.sell_some(60, days=9)
        caught_up(follower)

    agree(tmp_path, definition)


def test_in_one_step_or_in_many_every_value_is_the_same(tmp_path: Path):
    definition = an_aggregate()
    one, many = Shop(tmp_path / "one"), Shop(tmp_path / "many")
    follower = aggregates(many.root, definition)
    for _ in range(5):
        one.sell_some(50)
        many.sell_some(50)
        caught_up(follower)
    caught_up(aggregates(one.root, definition))

    assert stored(one.root, definition) == stored(many.root, definition) != {}


def test_a_step_touches_only_the_days_of_its_commits(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    shop.sell(START, START + DAYS, START + 2 * DAYS)
    follower = aggregates(tmp_path, definition)
    caught_up(follower)
    first = {
        path: path.stat().st_ino for path in (tmp_path / "warehouse" / definition.table).rglob("*.parquet")
    }

    commit = shop.sell(START + DAYS)
    caught_up(follower)

    changed = [path for path, inode in first.items() if path.stat().st_ino != inode]
    assert [path.parent.name for path in changed] == ["day=5"]
    assert set(pq.ParquetFile(changed[0]).read(["assay_commit"]).column(0).to_pylist()) == {commit}
    agree(tmp_path, definition)


def test_late_records_are_in_until_the_watermark_and_counted_after_it(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate(watermark_s=86_400)
    follower = aggregates(tmp_path, definition)
    shop.sell(START + 5 * DAYS)
    in_time = shop.sell(START + 4 * DAYS + timedelta(hours=1))
    caught_up(follower)
    shop.sell(START + 3 * DAYS, START + 4 * DAYS - timedelta(minutes=1), START + 5 * DAYS)
    steps = caught_up(follower)

    closed = START + 4 * DAYS
    punctual = [
        row for row in gold(tmp_path) if row["assay_batch"] <= in_time or row["assay_event_time"] >= closed
    ]
    assert len(punctual) == 3
    assert stored(tmp_path, definition) == expected(definition, punctual)
    assert follower.late == {"gold_orders_by_hour": 2}
    assert sum(step.late["gold_orders_by_hour"] for step in steps) == 2
    assert aggregates(tmp_path, definition).late == follower.late


def test_a_window_that_is_just_over_is_closed_and_one_that_still_runs_is_not(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate(watermark_s=3_600, keys=())
    shop.sell(START + timedelta(hours=5))
    shop.sell(START + timedelta(hours=4) - timedelta(microseconds=1))
    shop.sell(START + timedelta(hours=4))
    caught_up(aggregates(tmp_path, definition))

    hours = sorted(start for start, *_ in stored(tmp_path, definition))
    assert len(hours) == 2
    assert hours[1] - hours[0] == 3_600_000_000


def test_a_source_is_measured_against_itself(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate(watermark_s=60)
    shop.sell(START + 9 * DAYS, source="ahead")
    shop.sell(START, source="behind")
    follower = aggregates(tmp_path, definition)
    caught_up(follower)

    agree(tmp_path, definition)
    assert follower.late == {}


def test_the_watermark_is_told_from_the_log_again_when_memory_and_state_are_gone(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate(watermark_s=3_600)
    follower = aggregates(tmp_path, definition)
    for _ in range(6):
        shop.sell_some(20)
        caught_up(follower)
    known, late, high = stored(tmp_path, definition), follower.late, follower.standing.high
    assert late["gold_orders_by_hour"] > 10

    (tmp_path / "state" / "aggregates.json").unlink()
    shutil.rmtree(tmp_path / "warehouse" / definition.table)
    again = aggregates(tmp_path, definition)
    caught_up(again)

    assert (stored(tmp_path, definition), again.late, again.standing.high) == (known, late, high)


def test_a_lost_state_file_adds_nothing_twice(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    shop.sell_some(50)
    caught_up(aggregates(tmp_path, definition))
    (tmp_path / "state" / "aggregates.json").unlink()
    shop.sell_some(50)
    caught_up(aggregates(tmp_path, definition))

    agree(tmp_path, definition)


def test_a_removed_day_is_made_from_all_of_gold(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate(watermark_s=40 * 86_400)
    follower = aggregates(tmp_path, definition)
    shop.sell_some(50)
    caught_up(follower)
    shutil.rmtree(tmp_path / "warehouse" / definition.table / "year=2024" / "month=3" / "day=5")
    shop.sell(START + DAYS)
    caught_up(follower)

    agree(tmp_path, definition)


def test_a_damaged_day_is_made_from_all_of_gold(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    follower = aggregates(tmp_path, definition)
    shop.sell(START)
    caught_up(follower)
    next((tmp_path / "warehouse" / definition.table).rglob("part-*")).write_bytes(b"PAR1 no more")
    shop.sell(START)
    caught_up(follower)

    agree(tmp_path, definition)


def test_another_definition_makes_every_day_anew(tmp_path: Path):
    shop, old, new = (
        Shop(tmp_path),
        an_aggregate(),
        an_aggregate(keys=("paid",), measures={"items": "avg(qty)"}),
    )
    shop.sell_some(50)
    caught_up(aggregates(tmp_path, old))
    shop.sell_some(50)
    steps = caught_up(aggregates(tmp_path, new))

    assert steps[0].made_anew == ["gold_orders_by_hour"]
    agree(tmp_path, new)


def test_a_new_aggregate_beside_an_old_one_begins_with_all_of_gold(tmp_path: Path):
    shop, old, new = Shop(tmp_path), an_aggregate(), an_aggregate(window_s=86_400, name="day")
    shop.sell_some(50)
    caught_up(aggregates(tmp_path, old))
    shop.sell_some(50)
    both = aggregates(tmp_path, old, new)
    caught_up(both)
    shop.sell_some(50)
    caught_up(both)

    agree(tmp_path, old, new)


def test_one_that_was_away_for_a_while_does_not_miss_what_came_meanwhile(tmp_path: Path):
    shop, one, other = Shop(tmp_path), an_aggregate(), an_aggregate(window_s=86_400, name="day")
    shop.sell_some(20)
    caught_up(aggregates(tmp_path, one, other))
    shop.sell_some(20)
    caught_up(aggregates(tmp_path, other))
    caught_up(aggregates(tmp_path, one, other))

    agree(tmp_path, one, other)


def test_a_day_whose_gold_is_gone_keeps_its_windows(tmp_path: Path):
    """Retention takes Gold away; what was made of it stays, and further records are added."""
    shop, definition = Shop(tmp_path), an_aggregate(keys=(), measures={"orders": "count"})
    shop.sell(START, START, START + DAYS)
    caught_up(aggregates(tmp_path, definition))
    for path in (tmp_path / "warehouse" / "gold_orders").rglob("day=4/*"):
        path.unlink()
    shop.sell(START, START + DAYS)
    caught_up(aggregates(tmp_path, definition))

    assert [one["orders"] for one in stored(tmp_path, definition).values()] == [3, 2]


def test_gold_that_is_gone_before_it_was_added_is_said(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    follower = aggregates(tmp_path, definition)
    follower.step()
    shop.sell(START)
    gone = next((tmp_path / "warehouse" / "gold_orders").rglob("*.parquet"))
    gone.unlink()

    assert follower.step().missing == [gone]
    assert stored(tmp_path, definition) == {}


def test_days_of_an_older_definition_whose_gold_is_gone_leave_the_table_and_are_kept(tmp_path: Path):
    shop, old, new = Shop(tmp_path), an_aggregate(), an_aggregate(keys=())
    shop.sell(START, START + DAYS)
    caught_up(aggregates(tmp_path, old))
    state = shop.committer.state
    state.files[:] = [live for live in state.files if live.entry.day != 4]
    shop.committer.log.checkpoint(state)
    steps = caught_up(aggregates(tmp_path, new))

    assert steps[0].retired == {new.table: 1}
    assert [
        path.name for path in (tmp_path / "warehouse" / new.table / "_retired" / old.version).iterdir()
    ] == ["2024-3-4.parquet"]
    assert len(stored(tmp_path, new)) == 1


def test_gold_that_waits_in_the_fallback_is_in(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    table = tmp_path / "warehouse" / "gold_orders"
    table.parent.mkdir(parents=True)
    table.write_text("in the way")
    shop.sell(START)
    assert shop.committer.places.waiting
    caught_up(aggregates(tmp_path, definition))
    assert sum(one["orders"] for one in stored(tmp_path, definition).values()) == 1

    table.unlink()
    assert shop.committer.move_home() == 1
    shop.sell(START)
    caught_up(aggregates(tmp_path, definition))

    agree(tmp_path, definition)


@pytest.mark.parametrize("known", [pytest.param(True, id="following"), pytest.param(False, id="made anew")])
def test_a_reserved_number_holds_aggregates_back_until_it_is_filled(tmp_path: Path, known: bool):
    shop, definition = Shop(tmp_path), an_aggregate()
    shop.sell(START)
    follower = aggregates(tmp_path, definition)
    if known:
        caught_up(follower)
    hole = shop.committer.reserve("tasks", 1)
    shop.sell(START)
    caught_up(follower)
    assert follower.standing.commit == hole - 1
    assert sum(one["orders"] for one in stored(tmp_path, definition).values()) == 1

    shop.committer.release(hole)
    caught_up(follower)

    assert follower.standing.commit == hole + 1
    agree(tmp_path, definition)


@pytest.mark.slow
def test_killed_at_each_named_place_nothing_is_missing_and_nothing_twice(tmp_path: Path):
    points = [point for point in CRASHPOINTS if point.startswith("aggregates.")]

    assert killed_there(tmp_path, points, 1) == []


def test_a_directory_that_refuses_is_said_and_made_up_for(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    shop.sell_some(20)
    table = tmp_path / "warehouse" / definition.table
    table.write_text("in the way")
    follower = Aggregates(Layout.of(tmp_path), [definition])
    with pytest.raises(StoreUnavailable, match="E709"):
        follower.step()

    table.unlink()
    caught_up(follower)

    agree(tmp_path, definition)


def test_an_aggregate_with_too_many_groups_is_given_up_and_others_go_on(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("store.aggregate.MOST_GROUPS", 30)
    shop, wide, narrow = (
        Shop(tmp_path),
        an_aggregate(keys=("qty", "total")),
        an_aggregate(window_s=86_400, name="day"),
    )
    shop.sell_some(90)
    follower = aggregates(tmp_path, wide, narrow)
    steps = caught_up(follower)

    assert ["E711" in str(error) for step in steps for error in step.refused] == [True]
    agree(tmp_path, narrow)
    assert follower.standing.definitions.keys() == {narrow.table}


def test_the_writer_and_fsck_leave_aggregates_alone(tmp_path: Path):
    shop, definition = Shop(tmp_path), an_aggregate()
    shop.sell(START)
    caught_up(aggregates(tmp_path, definition))
    staged = tmp_path / "warehouse" / definition.table / "_staging" / "2024-3-4.parquet"
    staged.write_bytes(b"half written")

    assert shop.committer.recover().swept == 0
    assert [one for one in check(Layout.of(tmp_path)) if one.kind != "index"] == []
    assert staged.exists()
    aggregates(tmp_path, definition)
    assert not staged.exists()


def test_the_state_of_a_newer_version_is_refused(tmp_path: Path):
    path = tmp_path / "state" / "aggregates.json"
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode({"v": 99, "commit": 7}))

    with pytest.raises(StoreUnavailable, match="E701"):
        aggregates(tmp_path, an_aggregate())


def test_memory_is_bounded_by_groups_not_by_records(tmp_path: Path):
    """What is held of many records of few groups is small, however many were added."""
    shop, definition = Shop(tmp_path), an_aggregate(measures={**MEASURES}, keys=("shop",))
    shop.sell_some(200, days=1)
    path = next((tmp_path / "warehouse" / "gold_orders").rglob("*.parquet"))
    groups = Groups(definition, (START.date() - START.date().replace(1970, 1, 1)).days)
    for _ in range(50):
        groups.add_file(path)

    assert sum(part.num_rows for part in groups._parts) < 50 * 24 * 4 + 1
    assert groups.partial().num_rows <= 24 * 4
