"""Waiting for a condition instead of for time to pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def eventually(
    condition: Callable[[], Any], timeout_s: float = 30.0, every_s: float = 0.02, what: str = ""
) -> Any:
    """The first true value of ``condition`` (a plain or async callable); AssertionError after ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, (
            f"not within {timeout_s} s: {what or inspect.getsource(condition).strip()}"
        )
        await asyncio.sleep(every_s)


def until(
    condition: Callable[[], Any], timeout_s: float = 60.0, every_s: float = 0.05, what: str = ""
) -> Any:
    """The same without a loop, for tests that watch another process."""
    import threading

    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < end, (
            f"not within {timeout_s} s: {what or inspect.getsource(condition).strip()}"
        )
        pause.wait(every_s)
    return value
