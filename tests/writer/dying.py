"""A writer that sends six frames of twenty rows through; run as a program, with ``ASSAY_CRASH`` naming where it dies.

With a second word ``staged`` each pair of frames goes as a staged commit, while another source's window is committed
beside it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from actors.writer import Writer
from core.ports import Attachment
from core.ranges import Ranges
from core.tiers import Tier
from tests.store.frames import DAY_US, NOON, Row, Sender
from tests.store.staged import a_commit, a_part
from tests.writer.desk import a_writer

FRAMES, ROWS = 6, 20
LENGTH = ROWS * 10


async def main(root: Path, way: str) -> None:
    """Go on from the coverage until all is stored."""
    async with a_writer(root, mode="batch", window_rows=2 * ROWS) as writer:
        if way == "staged":
            await _beside(writer)
            await _staged(root, writer, await writer.attach("orders"))
        else:
            await _frames(writer, await writer.attach("orders"))
        await writer.drain()


def _left(attachment: Attachment, step: int) -> list[int]:
    """Where each piece begins that is not stored."""
    left = attachment.resume.coverage.get("p0", Ranges()).complement(0, FRAMES * LENGTH)
    return [at for start, end in left for at in range(start, end, step)]


async def _frames(writer: Writer, attachment: Attachment) -> None:
    sender = Sender(epoch=attachment.epoch)
    for at in _left(attachment, LENGTH):
        await writer.take(sender.frame(_rows(at)))


async def _beside(writer: Writer) -> None:
    """Frames of another source, whose window is committed while a number is open."""
    attachment = await writer.attach("beside")
    sender = Sender("beside", epoch=attachment.epoch)
    for at in _left(attachment, LENGTH):
        await writer.take(sender.frame(_rows(at)))


async def _staged(root: Path, writer: Writer, attachment: Attachment) -> None:
    """Two parts a commit; the coverage is what this life was told."""
    sender, epoch = Sender(epoch=attachment.epoch), attachment.epoch
    for at in _left(attachment, 2 * LENGTH):
        number = await writer.reserve("orders", epoch)
        parts = [
            await asyncio.to_thread(
                a_part, root, number, [sender.frame(_rows(start))], attachment.resume.coverage
            )
            for start in (at, at + LENGTH)
        ]
        await writer.commit_staged(number, "orders", epoch, a_commit(*parts, job=f"query/{at}"))


def _rows(start: int) -> list[Row]:
    """Two days and all four tiers."""
    return [
        Row(start + 10 * at, tier=Tier(at % 4), event_time=NOON - (at // 4 % 2) * DAY_US)
        for at in range(ROWS)
    ]


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *(sys.argv[2:] or ["frames"])))
