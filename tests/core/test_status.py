"""What the stations say becomes the status of a run."""

from __future__ import annotations

import pytest

from core.status import SourceFacts, StatusBoard


def board() -> StatusBoard:
    return StatusBoard(
        mode="event", sources=[SourceFacts("flights", "file", "flights")], stored={}, started_at=0.0
    )


@pytest.mark.parametrize(
    ("said", "store", "run"),
    [
        pytest.param("running", "up", "running", id="writes"),
        pytest.param("degraded", "degraded", "degraded", id="waits-in-the-fallback"),
        pytest.param("refused", "down", "degraded", id="refused-by-both"),
    ],
)
def test_a_writer_that_cannot_write_is_a_store_that_is_ill(said: str, store: str, run: str):
    status = board()

    status.take({"station": "writer", "kind": "writer", "state": said, "waiting": 7})

    document = status.document()
    assert document["stores"] == [{"name": "files", "state": store, "waiting": 7}]
    assert document["state"] == run
