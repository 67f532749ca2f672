"""What the page says while nothing is wrong."""

from __future__ import annotations

import pytest

from tests.web.conftest import a_document
from web.feed import LiveFeed
from web.view import verdict


@pytest.mark.parametrize(
    ("in_flight", "said"),
    [
        (0, "All quiet; waiting for something new"),
        (1, "1 record on its way to a commit"),
        (195_844, "195,844 records on their way to a commit"),
    ],
)
def test_quiet_means_nothing_in_flight(in_flight: int, said: str):
    feed = LiveFeed()
    feed.status(a_document(read=6_227 + in_flight, gold=6_227, in_flight=in_flight))

    assert verdict(feed.snapshot()) == {"level": "ok", "text": said}


def test_what_is_read_flows_whatever_is_in_flight(feed: LiveFeed, clock: list[float]):
    for read in (100, 200):
        clock[0] += 1
        feed.status(a_document(read=read, gold=read, in_flight=0))

    assert verdict(feed.snapshot())["text"] == "All sources flow, nothing is lost"
