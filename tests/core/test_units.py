"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest

from core.units import BadUnit, seconds, size_bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10 seconds", 10), ("1 second", 1), ("500 ms", 0.5), ("5 min", 300), ("1.5 hours", 5400), ("1 day", 86_400),
        ("2 weeks", 1_209_600), ("3s", 3), (" 1  Day ", 86_400),
    ],
)  # fmt: skip
def test_durations(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("10 GB", 10**10), ("1 GiB", 2**30), ("64kb", 64_000), ("7 bytes", 7), ("0.5 MiB", 2**19)],
)
def test_sizes(text, value):
    assert size_bytes(text) == value


@pytest.mark.parametrize(
    "text", ["10 parsecs", "10", "", "seconds", "-1 s", "0 s", "1e3 s", "١ s", "nan s", "1 m"]
)
def test_what_is_no_duration_lists_the_units(text):
    with pytest.raises(BadUnit, match="10 seconds"):
        seconds(text)


@pytest.mark.parametrize("text", ["10 parsecs", "10", "0 B", "GB"])
def test_what_is_no_size_lists_the_units(text):
    with pytest.raises(BadUnit, match="10 GB"):
        size_bytes(text)
