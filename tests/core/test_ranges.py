"""Ranges against a plain set of integers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.ranges import Ranges

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def model(spans: list[tuple[int, int]]) -> set[int]:
    return {number for start, end in spans for number in range(start, end)}


@given(SPANS)
def test_it_holds_what_was_added(spans):
    ranges = Ranges(spans)

    assert model(list(ranges)) == model(spans)
    assert ranges.total == len(model(spans))
    assert ranges.end == max(model(spans), default=-1) + 1


@given(SPANS)
def test_its_ranges_are_sorted_and_do_not_touch(spans):
    found = list(Ranges(spans))

    assert all(start < end for start, end in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))


@given(SPANS, st.integers(0, 60), st.integers(0, 60))
def test_questions_are_answered_as_a_set_would(spans, start, end):
    ranges, wanted = Ranges(spans), set(range(start, end))

    assert ranges.overlaps(start, end) == bool(model(spans) & wanted)
    assert ranges.covers(start, end) == (wanted <= model(spans))
    assert model(list(ranges.complement(start, end))) == wanted - model(spans)


@given(SPANS, SPANS)
def test_a_copy_is_independent(spans, more):
    ranges = Ranges(spans)
    copy = ranges.copy()

    copy.update(more)

    assert ranges == Ranges(spans)
    assert model(list(copy)) == model(spans) | model(more)


@given(SPANS)
def test_it_survives_json(spans):
    assert Ranges(Ranges(spans).as_list()) == Ranges(spans)
