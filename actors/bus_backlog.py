"""A lossless subscriber's backlog on disk. It lives as long as its subscriber and this life of the bus."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from actors.bus_items import Item, Place
from actors.bus_segments import SEGMENT_BYTES, Segment, note_of, parts_of, record_of


class Backlog:
    """Segments under one directory, made when first needed and removed as they are read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: dict[int, Segment] = {}
        self._next = 1
        self._closed = False

    async def write(self, items: list[Item]) -> list[Place]:
        """Append; returns where each one lies. Not synced: it need not outlive the bus."""
        return await asyncio.to_thread(self._write, items)

    async def read(self, places: list[Place]) -> list[list[bytes]]:
        """The parts of each, in order."""
        return await asyncio.to_thread(
            lambda: [parts_of(self._segments[place.segment].read(place)) for place in places]
        )

    def release(self, before: int) -> None:
        """Items with numbers below ``before`` are not needed again."""
        for segment in [
            one for one in self._segments.values() if one.last < before and one.size >= SEGMENT_BYTES
        ]:
            self._drop(segment)

    def close(self) -> None:
        """Remove everything."""
        self._closed = True
        for segment in list(self._segments.values()):
            self._drop(segment)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _write(self, items: list[Item]) -> list[Place]:
        places: list[Place] = []
        for item in items:
            segment = self._open_segment()
            places += segment.append([record_of(note_of(item), list(item.parts or ()))])
            segment.last = item.number
        return places

    def _open_segment(self) -> Segment:
        segment = self._segments.get(self._next - 1)
        if segment is None or segment.size >= SEGMENT_BYTES:
            self._directory.mkdir(parents=True, exist_ok=True)
            segment = Segment(self._directory / f"{self._next:08d}.seg", self._next)
            self._segments[self._next] = segment
            self._next += 1
        return segment

    def _drop(self, segment: Segment) -> None:
        del self._segments[segment.number]
        segment.close()
        segment.path.unlink(missing_ok=True)
