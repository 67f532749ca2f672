"""What every system test has: an end for what it started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.site import end_all


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No process of a test outlives it, whatever became of the test."""
    yield
    end_all()
