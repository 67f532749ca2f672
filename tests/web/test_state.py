"""The fold: pure, so tested without a socket or a clock."""

from __future__ import annotations

import pytest

from core.signals import signal
from tests.web.conftest import a_document
from web.feed import LiveFeed, StoredFeed
from web.state import POINTS, RING, WINDOW_S, Said, State, Stats, Status, Tick, fold, live
from web.view import flow, verdict


def folded(*messages: object) -> State:
    state = State()
    for message in messages:
        state = fold(state, message)  # type: ignore[arg-type]
    return state


def counted(at: float, read: int, gold: int) -> Status:
    return Status(a_document(read=read, gold=gold, in_flight=read - gold), at)


def test_rate_is_the_rise_of_a_count_over_passed_time():
    state = folded(counted(0.0, 0, 0), counted(1.0, 100, 50), counted(2.0, 200, 100))

    assert live(state, 2.0)["rates"]["read"] == pytest.approx(100)
    assert live(state, 2.0)["rates"]["gold"] == pytest.approx(50)


def test_rate_of_what_rises_in_steps_does_not_swing_between_them():
    """A commit every 0.6 s of 60 rows is 100 a second at whatever moment one looks."""
    state = State()
    seen = []
    for i in range(60):
        state = fold(state, counted(i * 0.2, i * 20, i // 3 * 60))
        seen.append(live(state, i * 0.2)["rates"]["gold"])

    assert seen[-20:] == pytest.approx([100.0] * 20)


def test_rate_is_zero_when_nothing_was_heard_for_a_window():
    state = folded(counted(0.0, 0, 0), counted(1.0, 100, 100))

    assert live(state, 1.0 + WINDOW_S + 0.1)["rates"]["read"] == 0


def test_count_that_falls_back_is_no_negative_rate():
    """A restarted connector begins at what is committed."""
    state = folded(counted(0.0, 900, 0), counted(0.2, 500, 500), counted(0.4, 520, 500))

    assert live(state, 0.4)["rates"]["read"] == pytest.approx(100)


def test_fold_changes_nothing_it_was_given():
    before = folded(counted(0.0, 1, 1))

    fold(before, Said(signal("assay.source.started", "flights", "go", source="/sources/flights"), 1.0))

    assert before.events == () and before.heard == 0


def test_ring_keeps_the_newest_events_and_their_numbers():
    said = signal("assay.batch.committed", "flights", "12 rows", source="/stations/writer")
    state = folded(*[Said(said, 0.0)] * (RING + 7))

    assert len(state.events) == RING
    assert (state.events[0]["n"], state.events[-1]["n"]) == (8, RING + 7)


def test_series_keep_five_minutes():
    state = folded(counted(0.0, 0, 0), *[Tick(float(i), 1e9 + i) for i in range(POINTS + 5)])

    assert len(state.points) == POINTS
    assert state.points[-1]["at"] == int(1e9) + POINTS + 4


def test_stats_add_delays_measures_and_fill():
    said = {
        "station": "connector:flights", "delay_ms": {"p50": 1.0, "p95": 9.0}, "measures": {"accuracy": 0.5},
        "credit": {"used_bytes": 3, "capacity_bytes": 4},
    }  # fmt: skip
    seen = live(folded(counted(0.0, 4, 4), Stats(said, 0.0)), 0.0)

    assert seen["delay_ms"] == {"p50": 1.0, "p95": 9.0}
    assert seen["measures"]["accuracy"] == 0.5 and seen["measures"]["timeliness"] is None
    assert seen["sources"]["flights"]["fill"] == 0.75


def test_delays_that_are_not_known_yet_are_left_out():
    said = {"station": "connector:flights", "delay_ms": {"p50": None, "p95": None}}

    assert live(folded(counted(0.0, 4, 4), Stats(said, 0.0)), 0.0)["delay_ms"] is None


async def test_feed_wakes_who_waits_and_survives_broken_stats():
    feed = LiveFeed()
    seen = feed.version()
    feed.take("stats", b"{not json")
    assert feed.unreadable == 1 and feed.version() == seen

    feed.status(a_document())

    assert await feed.on_change(seen) > seen


def test_verdict_names_loss_before_anything_else():
    feed = LiveFeed()
    feed.status(a_document(state="failed", read=100, gold=90, in_flight=9))

    assert verdict(feed.snapshot()) == {"level": "error", "text": "1 record is missing in flights"}


def test_verdict_names_the_culprit():
    feed = LiveFeed()
    feed.status(a_document(state="waiting"))

    assert verdict(feed.snapshot()) == {"level": "warn", "text": "flights waiting"}


def test_flow_says_saved_so_that_the_line_adds_up():
    feed = LiveFeed()
    feed.status(a_document(read=100, gold=90, in_flight=9))
    ledger = flow(feed.snapshot(), 0)["ledger"]

    assert (ledger["read"], ledger["saved"], ledger["in_flight"], ledger["imbalance"]) == (100, 90, 9, 1)


def test_stored_state_is_told_as_such():
    feed = StoredFeed(a_document(state="stopped"))

    assert flow(feed.snapshot(), 0)["stored"] is True
    assert verdict(feed.snapshot())["text"] == "Nothing runs; this is what is stored"
