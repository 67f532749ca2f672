"""The queue on disk: what the bus has confirmed outlives it.

The log is a row of segments (``bus_segments``) holding frames and states. A state says who subscribes and how far
each one is done, what was taken from each source, and the topics' counts; every segment begins with one, and another
follows whenever something but frames has changed. So the newest state and the frames behind it are the whole truth,
and a segment whose frames everybody is done with can be deleted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.bus_items import Item, Place
from actors.bus_segments import (
    SEGMENT_BYTES,
    Damage,
    Note,
    Record,
    Segment,
    note_of,
    parts_of,
    record_of,
    scan,
)
from core.bus_messages import Subscribe
from core.errors import StoreUnavailable
from core.header import decode_header

log = logging.getLogger(__name__)

EPOCHS_KEPT = 16


class Known(msgspec.Struct, array_like=True):
    """A lossless subscriber, and the number up to which it is done."""

    asked: Subscribe
    done: int


class State(msgspec.Struct):
    """What is true besides the frames themselves."""

    lineage: str = ""
    number: int = 0
    """Of the newest frame in the log."""
    topics: dict[str, int] = {}
    sources: dict[str, dict[int, int]] = {}
    """source -> epoch -> the last frame's own sequence number."""
    subscribers: list[Known] = []

    def add(self, note: Note) -> None:
        """A frame is in the log."""
        self.number = max(self.number, note.number)
        self.topics[note.topic] = max(self.topics.get(note.topic, 0), note.seq)
        epochs = self.sources.setdefault(note.source, {})
        epochs[note.epoch] = max(epochs.get(note.epoch, 0), note.frame_seq)
        while len(epochs) > EPOCHS_KEPT:
            del epochs[min(epochs)]


class DiskQueue:
    """The log under one directory. One process writes it; files are touched in threads."""

    def __init__(self, directory: Path) -> None:
        self.state = State()
        self.quarantined: list[str] = []
        """Damaged places found at the start, as ``file:offset``; not empty: ``state.lineage`` is a new one."""
        self._directory = directory
        self._segments: dict[int, Segment] = {}
        self._current: Segment | None = None
        self._written = b""

    @property
    def size_bytes(self) -> int:
        """What the log takes on disk."""
        return sum(segment.size for segment in self._segments.values())

    def open(self) -> list[Item]:
        """Read the log; returns its frames, in order, with headers and without parts. Blocks: done before serving.

        Raises:
            StoreUnavailable: the directory cannot be read or written.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            paths = sorted(self._directory.glob("*.seg"))
            items: list[Item] = []
            for path in paths:
                items += self._load(path, newest=path is paths[-1])
            if self.quarantined or not self.state.lineage:
                self.state.lineage = uuid.uuid4().hex
            self._roll(1 + max(self._segments, default=0), msgspec.msgpack.encode(self.state))
        except OSError as failed:
            raise StoreUnavailable(
                f"the bus's log in `{self._directory}` cannot be used: {failed}", "E720"
            ) from failed
        return items

    async def append(self, items: Sequence[Item], subscribers: list[Known]) -> None:
        """Write frames, and a state where it has changed; synced when this returns, and each item has its place.

        Raises:
            OSError: nothing was written (disk full); try again.
            StoreUnavailable: the disk lost what it was given; the bus must not go on.
        """
        assert self._current is not None
        before = msgspec.msgpack.encode(self.state)
        notes = [note_of(item) for item in items]
        after = msgspec.msgpack.decode(before, type=State)
        after.subscribers = subscribers
        for note in notes:
            after.add(note)
        known = msgspec.msgpack.encode(subscribers)
        records = [record_of(note, list(item.parts or ())) for note, item in zip(notes, items, strict=True)]
        if known != self._written:
            records.append(_state_record(after.number, msgspec.msgpack.encode(after)))
        if not records:
            return
        places = await asyncio.to_thread(self._append, records, before)
        for item, place in zip(items, places[: len(items)], strict=True):
            item.place = place
        if items:
            self._current.last = items[-1].number
        self.state, self._written = after, known

    async def write(self, items: list[Item]) -> list[Place]:
        """Items of a subscriber lie in the log already."""
        raise NotImplementedError

    async def read(self, places: list[Place]) -> list[list[bytes]]:
        """The parts of each, in order; ValueError for one damaged since it was written."""
        return await asyncio.to_thread(
            lambda: [parts_of(self._segments[place.segment].read(place)) for place in places]
        )

    def release(self, before: int) -> None:
        """Everybody is done with numbers below ``before``: delete segments that hold no others."""
        for segment in list(self._segments.values()):
            if segment is not self._current and segment.last < before:
                del self._segments[segment.number]
                segment.close()
                segment.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files. Safe twice."""
        for segment in self._segments.values():
            segment.close()

    # ---- within
    def _append(self, records: list[list[bytes | memoryview]], state_before: bytes) -> list[Place]:
        assert self._current is not None
        if self._current.size >= SEGMENT_BYTES:
            self._roll(self._current.number + 1, state_before)
        places = self._current.append(records)
        try:
            self._current.sync()
        except OSError as failed:
            raise StoreUnavailable(
                f"`{self._current.path}` could not be synced: {failed}", "E720"
            ) from failed
        return places

    def _roll(self, number: int, state: bytes) -> None:
        segment = Segment(self._directory / f"{number:010d}.seg", number)
        try:
            segment.append([_state_record(self.state.number, state)])
            segment.sync()
            _sync_directory(self._directory)
        except OSError:
            segment.close()
            segment.path.unlink(missing_ok=True)
            raise
        self._segments[number] = self._current = segment

    def _load(self, path: Path, *, newest: bool) -> list[Item]:
        number = int(path.stem)
        data = path.read_bytes()
        items: list[Item] = []
        end = len(data)
        for found in scan(memoryview(data)):
            if isinstance(found, Record):
                item = self._loaded(found, number)
                if item is not None:
                    items.append(item)
            elif found.torn and newest:
                end = found.start
            else:
                self._quarantine(path, data, found)
        if end < len(data):
            log.warning("torn tail cut", extra={"file": str(path), "offset": end, "bytes": len(data) - end})
            os.truncate(path, end)
        segment = Segment(path, number, end)
        segment.last = items[-1].number if items else 0
        self._segments[number] = segment
        return items

    def _loaded(self, record: Record, segment: int) -> Item | None:
        note = record.note
        if note.kind == "state":
            self.state = msgspec.msgpack.decode(record.header, type=State)
            return None
        self.state.add(note)
        item = Item("frame", note.topic, note.number, note.seq, record.length, None)
        item.place = Place(segment, record.start, record.length)
        item.header = decode_header(record.header)
        return item

    def _quarantine(self, path: Path, data: bytes, damage: Damage) -> None:
        """Keep the bytes for a look; their sources read the records again in new epochs."""
        aside = self._directory / "quarantine"
        aside.mkdir(exist_ok=True)
        (aside / f"{path.stem}-{damage.start}.bin").write_bytes(data[damage.start : damage.end])
        self.quarantined.append(f"{path}:{damage.start}")
        log.warning(
            "damaged record set aside; all sources take new epochs",
            extra={"file": str(path), "offset": damage.start, "bytes": damage.end - damage.start},
        )


def _state_record(number: int, state: bytes) -> list[bytes | memoryview]:
    return record_of(Note("state", number, header_bytes=len(state)), [state])


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
