"""What overlaps stored ranges is left out, whatever the order it comes in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.ranges import Ranges
from store.coverage import Delta
from store.log import State
from tests.store.frames import Row, Sender

SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda s: (s[0], s[0] + s[1])), max_size=8
)


@given(known=SPANS, frames=st.lists(SPANS, max_size=4))
def test_a_row_is_kept_if_nothing_before_it_overlaps(known, frames):
    """Against a set of integers, row by row."""
    state = State()
    state.coverage = {"orders": {"p0": Ranges(known)}}
    delta, sender = Delta(state), Sender()
    seen = {number for start, end in known for number in range(start, end)}

    for spans in frames:
        kept = []
        for start, end in spans:
            if not seen & set(range(start, end)):
                kept.append(start)
                seen |= set(range(start, end))
        fresh = delta.take(sender.frame([Row(start, end=end) for start, end in spans], covers=[]))
        assert fresh.records.column("ordinal").to_pylist() == kept
        assert fresh.duplicates == len(spans) - len(kept)

    covered = {
        number for _, ranges in _all(state, delta) for start, end in ranges for number in range(start, end)
    }
    assert covered == seen


def _all(state: State, delta: Delta):
    yield from state.coverage["orders"].items()
    yield from delta.covers.get("orders", {}).items()


def test_partitions_and_sources_are_apart():
    delta = Delta(State())

    first = delta.take(Sender("one").frame([Row(0), Row(0, partition="p1")]))
    second = delta.take(Sender("two").frame([Row(0)]))

    assert (first.duplicates, second.duplicates) == (0, 0)


def test_covers_without_rows_count():
    """A header line or blank lines are done with, too."""
    delta = Delta(State())

    delta.take(Sender().frame(covers=[("p0", 0, 7)]))

    assert delta.new() == {"orders": {"p0": [(0, 7)]}}
    assert not delta.adds_nothing()
