"""A writer that sends six frames of twenty rows through; run as a program, with ``ASSAY_CRASH`` naming where it dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from core.ranges import Ranges
from core.tiers import Tier
from tests.store.frames import DAY_US, NOON, Row, Sender
from tests.writer.desk import a_writer

FRAMES, ROWS = 6, 20


async def main(root: Path) -> None:
    """Go on from the coverage until all is stored."""
    async with a_writer(root, mode="batch", window_rows=2 * ROWS) as writer:
        attachment = await writer.attach("orders")
        sender = Sender(epoch=attachment.epoch)
        left = attachment.resume.coverage.get("p0", Ranges()).complement(0, FRAMES * ROWS * 10)
        for start, end in left:
            for at in range(start, end, ROWS * 10):
                await writer.take(sender.frame(_rows(at)))
        await writer.drain()


def _rows(start: int) -> list[Row]:
    """Two days and all four tiers."""
    return [
        Row(start + 10 * at, tier=Tier(at % 4), event_time=NOON - (at // 4 % 2) * DAY_US)
        for at in range(ROWS)
    ]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
