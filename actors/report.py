"""How a station says its numbers: on topic ``stats``, at most five times a second, and only what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from core.ports import Bus

EVERY_S = 0.2
REPEAT_S = 1.0
"""Unchanged numbers are said again this often, so that whoever joins late hears them."""


async def report(line: Bus, statistics: Callable[[], dict[str, Any]]) -> None:
    """For ever: post ``statistics()`` when it changed."""
    said, since = b"", 0.0
    while True:
        numbers = msgspec.json.encode(statistics())
        since += EVERY_S
        if numbers != said or since >= REPEAT_S:
            said, since = numbers, 0.0
            await line.post("stats", numbers)
        await asyncio.sleep(EVERY_S)
