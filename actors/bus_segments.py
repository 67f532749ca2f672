"""Records in files: the one format of the bus's log and of subscribers' backlogs.

A segment begins with ``SEGMENT_HEAD``. A record is ``MAGIC``, its body's length, the length's CRC, the body's CRC
(three little-endian u32), and the body: length of the note (u32), the note (MessagePack), the item's header, the
item's payload. The length has its own CRC so that a torn tail and a flipped bit can be told apart, and ``MAGIC`` lets
reading go on behind a damaged record.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from actors.bus_items import Item, Place

SEGMENT_HEAD = b"assay-bus-1\n"
SEGMENT_BYTES = 64 << 20
MAGIC = b"\xa5\xf0bR"
_FRONT = struct.Struct("<4sIII")
_U32 = struct.Struct("<I")
MAX_BODY = 1 << 30


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What a record says about its item; enough to route and to number it without opening the item."""

    kind: str
    number: int
    topic: str = ""
    seq: int = 0
    source: str = ""
    epoch: int = 0
    frame_seq: int = 0
    header_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A good record: its note, and where its body lies."""

    note: Note
    start: int
    """Of the record's first byte."""
    length: int
    """Of the whole record."""
    header: bytes
    rest: memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record; ``torn`` when they are the file's end and could be a write cut short."""

    start: int
    end: int
    torn: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Note).decode


def record_of(note: Note, parts: list[Any]) -> list[bytes | memoryview]:
    """A record as buffers to be written one after the other."""
    said = _encode(note)
    head = _U32.pack(len(said)) + said
    buffers = [memoryview(part) for part in parts]
    length, crc = len(head), zlib.crc32(head)
    for buffer in buffers:
        length += buffer.nbytes
        crc = zlib.crc32(buffer, crc)
    front = _FRONT.pack(MAGIC, length, zlib.crc32(_U32.pack(length)), crc)
    return [front + head, *buffers]


def note_of(item: Item) -> Note:
    """What a record says about an item."""
    header = item.header
    size = len(item.parts[0]) if item.parts else 0
    if header is None:
        return Note(item.kind, item.number, item.topic, item.seq, header_bytes=size)
    return Note(item.kind, item.number, item.topic, item.seq, header.source, header.epoch, header.seq, size)


def scan(data: memoryview) -> Iterator[Record | Damage]:
    """All records of a segment, and what is none, in order. ``data`` is the whole file."""
    at = len(SEGMENT_HEAD)
    if bytes(data[:at]) != SEGMENT_HEAD:
        at = 0
    while at < len(data):
        found = _record_at(data, at)
        if isinstance(found, Record):
            yield found
            at += found.length
            continue
        behind = _next_record(data, at + 1)
        yield Damage(at, behind, torn=found and behind == len(data))
        at = behind


def parts_of(data: bytes) -> list[bytes]:
    """The item's parts from a whole record.

    Raises:
        ValueError: the record is damaged.
    """
    found = _record_at(memoryview(data), 0)
    if not isinstance(found, Record):
        raise ValueError("a record on disk is damaged")
    return [found.header, bytes(found.rest)] if found.note.kind == "frame" else [found.header]


def _record_at(data: memoryview, at: int) -> Record | bool:
    """The record that begins here; else whether it could be one that was cut short."""
    front = bytes(data[at : at + _FRONT.size])
    if len(front) < _FRONT.size:
        return front[:4] == MAGIC[: len(front[:4])]
    magic, length, length_crc, crc = _FRONT.unpack(front)
    if magic != MAGIC or zlib.crc32(_U32.pack(length)) != length_crc or not 4 <= length <= MAX_BODY:
        return False
    body = data[at + _FRONT.size : at + _FRONT.size + length]
    if len(body) < length:
        return True
    if zlib.crc32(body) != crc:
        return False
    (said,) = _U32.unpack(body[:4])
    note = _decode(body[4 : 4 + said])
    cut = 4 + said + note.header_bytes
    return Record(note, at, _FRONT.size + length, bytes(body[4 + said : cut]), body[cut:])


def _next_record(data: memoryview, at: int) -> int:
    whole: Any = data.obj  # bytes or mmap: both can find
    find = whole.find
    while (at := find(MAGIC, at)) != -1:
        if isinstance(_record_at(data, at), Record):
            return int(at)
        at += 1
    return len(data)


class Segment:
    """One file that is appended to and read from. Its methods block: call them in a thread."""

    def __init__(self, path: Path, number: int, size: int = 0) -> None:
        self.path = path
        self.number = number
        self.last = 0
        """The highest item number in it."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self.size = size
        if size == 0:
            os.ftruncate(self._file, 0)
            self.size = os.write(self._file, SEGMENT_HEAD)

    def append(self, records: list[list[bytes | memoryview]]) -> list[Place]:
        """Write records; on OSError nothing of them is left."""
        places, at = [], self.size
        for record in records:
            length = sum(memoryview(buffer).nbytes for buffer in record)
            places.append(Place(self.number, at, length))
            at += length
        try:
            _write_all(self._file, [buffer for record in records for buffer in record])
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size = at
        return places

    def sync(self) -> None:
        """fsync; an error here is final, for what was lost is not known."""
        os.fdatasync(self._file)

    def read(self, place: Place) -> bytes:
        """A record's bytes as they are."""
        return os.pread(self._file, place.length, place.start)

    def close(self) -> None:
        """Safe twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _write_all(file: int, buffers: list[bytes | memoryview]) -> None:
    """As one write where the buffers are small, else one after the other."""
    small: list[bytes | memoryview] = []
    size = 0
    for buffer in buffers:
        small.append(buffer)
        size += memoryview(buffer).nbytes
        if size > 1 << 20 or len(small) >= 512:
            _writev(file, small, size)
            small, size = [], 0
    if small:
        _writev(file, small, size)


def _writev(file: int, buffers: list[bytes | memoryview], size: int) -> None:
    written = os.writev(file, buffers)
    if written < size:
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            rest = rest[os.write(file, rest) :]
