"""Frames and buses for the tests of this folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.bus import Bus
from core.frame import FRAME_SCHEMA, Frame, Header
from core.line import Line, Subscription
from core.tiers import Tier


def a_frame(
    seq: int = 1,
    *,
    source: str = "flights",
    dataset: str = "",
    epoch: int = 1,
    tiers=(Tier.GOLD,),
    size: int = 10,
) -> Frame:
    """One row a tier, ``size`` raw bytes each."""
    n = len(tiers)
    columns: dict[str, Any] = {
        name: pa.nulls(n, FRAME_SCHEMA.field(name).type) for name in FRAME_SCHEMA.names
    }
    columns["ordinal"] = pa.array([seq * 1000 + row for row in range(n)], pa.int64())
    columns["tier"] = pa.array([int(tier) for tier in tiers], pa.uint8())
    columns["raw"] = pa.array([b"x" * size] * n, pa.large_binary())
    batch = pa.RecordBatch.from_arrays([columns[name] for name in FRAME_SCHEMA.names], schema=FRAME_SCHEMA)
    counts = [0, 0, 0, 0]
    for tier in tiers:
        counts[tier] += 1
    header = Header(
        source=source, dataset=dataset or source, epoch=epoch, seq=seq, arrived_us=1, tiers=tuple(counts)
    )
    return Frame(header, batch)


@contextlib.asynccontextmanager
async def a_bus(path: Path, **settings: Any) -> AsyncIterator[Bus]:
    """A running bus at ``path/bus.sock``."""
    bus = Bus(settings.pop("address", f"ipc://{path}/bus.sock"), directory=path / "bus", **settings)
    await bus.start()
    running = asyncio.create_task(bus.run())
    try:
        yield bus
    finally:
        await bus.close()
        await running


@contextlib.asynccontextmanager
async def a_line(bus: Bus, name: str = "line") -> AsyncIterator[Line]:
    """An open line."""
    assert bus.endpoint is not None
    line = Line(bus.endpoint, name)
    try:
        await line.open()
        yield line
    finally:
        await line.close()


async def take(subscription: Subscription, n: int) -> list[Any]:
    """The next ``n`` items."""
    async with asyncio.timeout(20):
        return [await anext(subscription) for _ in range(n)]


def seqs(items: list[Any]) -> list[int]:
    """The frames' own sequence numbers."""
    return [item.frame.header.seq for item in items]
