"""Splitting blocks of bytes into lines, and the reader of JSON lines.

A block always begins at the start of a record and is read at a position, so nothing is carried from one to the next:
the half line at its end is simply read again. Measured (355-byte lines, chunks of 10,000): see docs/sources.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.sources.chunk import TRUNCATED_TO, Chunk, Int64s, size_reason, text_positions
from core.batch import Reason

SMALLEST_BLOCK = 64 << 10
LARGEST_BLOCK = 4 << 20
BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13
_SPACES = np.array([9, 13, 32], np.uint8)


@dataclass(slots=True)
class Lines:
    """n lines of a block, as offsets into it; content is ``[starts, stops)``, the line ending ends at ``nexts``."""

    block: bytes
    starts: Int64s
    stops: Int64s
    nexts: Int64s
    crlf: bool = False
    """Every line but the last unended one ends in CR LF; ``mixed``: only some do."""
    mixed: bool = False

    def __len__(self) -> int:
        return len(self.starts)


def split(block: bytes, most: int, *, final: bool) -> Lines:
    """At most ``most`` lines of a block; the unended last one only if ``final``. The block is cut where they end."""
    buffer = np.frombuffer(block, np.uint8)
    feeds = np.flatnonzero(buffer == _LF)[:most]
    count = len(feeds)
    whole = int(feeds[-1]) + 1 if count else 0
    tail = final and count < most and whole < len(block)
    starts = np.empty(count + tail, np.int64)
    nexts = np.empty(count + tail, np.int64)
    stops = np.empty(count + tail, np.int64)
    nexts[:count] = feeds + 1
    starts[:1] = 0
    starts[1:] = nexts[: count + tail - 1]
    returns = (buffer[feeds - 1] == _CR) & (feeds > starts[:count]) if count else np.zeros(0, bool)
    stops[:count] = feeds - returns
    if tail:
        nexts[count] = stops[count] = len(block)
    elif whole < len(block):
        block = block[:whole]
    some = bool(returns.any())
    every = some and bool(returns.all())
    return Lines(block, starts, stops, nexts, crlf=every, mixed=some and not every)


def content(
    lines: Lines, keep: npt.NDArray[np.bool_] | None, most_bytes: int
) -> tuple[pa.Array, dict[int, Reason]]:
    """large_binary of the lines' content, and a reason for each that is too large (its first 64 KiB are kept).

    Args:
        keep: which lines are records; None: all.
    """
    starts, stops = (lines.starts, lines.stops) if keep is None else (lines.starts[keep], lines.stops[keep])
    sizes = stops - starts
    large = np.flatnonzero(sizes > most_bytes) if len(sizes) and int(sizes.max()) > most_bytes else ()
    if keep is None and not lines.mixed and not len(large):
        return _uniform(lines), {}
    refused = {int(i): size_reason(int(sizes[i]), most_bytes) for i in large}
    if refused:
        stops = np.where(sizes > most_bytes, starts + min(TRUNCATED_TO, most_bytes), stops)
    block = lines.block
    parts = [block[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
    return pa.array(parts, pa.large_binary()), refused


def _uniform(lines: Lines) -> pa.Array:
    """All lines of a block with one kind of ending: take the endings out at once instead of cutting n times."""
    ending = b"\r\n" if lines.crlf else b"\n"
    data = lines.block.replace(ending, b"")
    offsets = np.empty(len(lines) + 1, np.int64)
    offsets[:-1] = lines.starts - np.arange(len(lines)) * len(ending)
    offsets[-1] = len(data)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(lines), buffers)


def blank(lines: Lines) -> npt.NDArray[np.bool_] | None:
    """Which lines hold nothing but white space; None if none does."""
    empty = lines.starts == lines.stops
    buffer = np.frombuffer(lines.block, np.uint8)
    doubtful = np.flatnonzero(~empty & np.isin(buffer[np.minimum(lines.starts, len(buffer) - 1)], _SPACES))
    for index in doubtful.tolist():
        empty[index] = not lines.block[lines.starts[index] : lines.stops[index]].strip()
    return empty if bool(empty.any()) else None


@dataclass(slots=True)
class LineCount:
    """Knows the number of the line at one offset; counts from there, or from the beginning, to any other."""

    fd: int
    lone_returns: bool = False
    """Whether a CR without LF ends a line too (CSV)."""
    at: int = 0
    line: int = 1
    _seen: dict[int, int] = field(default_factory=dict)

    def to(self, offset: int) -> int:
        """Number of the line that begins at ``offset``."""
        if offset < self.at:
            self.at, self.line = 0, 1
        while self.at < offset:
            data = os.pread(self.fd, min(LARGEST_BLOCK, offset - self.at), self.at)
            if not data:
                break
            if data.endswith(b"\r") and self.at + len(data) < offset and len(data) > 1:
                data = data[:-1]  # never between CR and LF
            self.line += line_endings(data) if self.lone_returns else data.count(b"\n")
            self.at += len(data)
        return self.line

    def stand(self, offset: int, line: int) -> None:
        """Take it as known that ``line`` begins at ``offset``."""
        self.at, self.line = offset, line


def line_endings(data: bytes) -> int:
    """LF, CR LF and lone CR, each counted once."""
    returns = data.count(b"\r")
    return data.count(b"\n") + (returns - data.count(b"\r\n") if returns else 0)


def find_line_end(fd: int, start: int, stop: int) -> int | None:
    """Offset just after the first LF in ``[start, stop)``, without keeping what lies before it; None: there is none."""
    while start < stop:
        data = os.pread(fd, min(LARGEST_BLOCK, stop - start), start)
        if not data:
            return None
        at = data.find(b"\n")
        if at >= 0:
            return start + at + 1
        start += len(data)
    return None


def bad_utf8(raw: pa.Array, offsets: Int64s, encoding: str = "utf-8") -> dict[int, Reason]:
    """Index -> reason for each record that is not text in ``encoding``; names the offending byte's offset."""
    try:
        raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        return {
            i: reason
            for i, data in enumerate(raw)
            if (reason := encoding_fault(data.as_py(), int(offsets[i]), encoding))
        }
    return {}


def encoding_fault(data: bytes, offset: int, encoding: str) -> Reason | None:
    """Why ``data``, found at ``offset``, is not text; None if it is."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        at = offset + error.start
        return Reason(
            "", "encoding", "critical", encoding, f"byte 0x{data[error.start]:02x}",
            f"byte 0x{data[error.start]:02x} at offset {at} is not {encoding}; set `encoding` if the file is written in another",
        )  # fmt: skip
    return None


class JsonLinesReader:
    """One JSON document a line; the bytes pass through untouched, whatever they hold."""

    content_type = "application/json"

    def __init__(
        self, fd: int, file: str, *, chunk_rows: int, max_record_bytes: int, encoding: str = "utf-8"
    ) -> None:
        self._fd = fd
        self._file = file
        self._rows = chunk_rows
        self._most = max_record_bytes
        self._encoding = encoding
        self._block = SMALLEST_BLOCK
        self._searched = (0, 0)
        self.lines = LineCount(fd)

    def limit(self, size_bytes: int) -> int:
        """Bytes."""
        return size_bytes

    def fingerprint_end(self, at: int, size_bytes: int) -> int:
        """What was read stays; what follows may come."""
        return at

    def take(self, start: int, stop: int, *, final: bool) -> Chunk | None:
        """See ``Reader``."""
        begin = start
        if start == 0 and os.pread(self._fd, 3, 0) == BOM:
            begin = 3
        want = self._block
        while True:
            block = os.pread(self._fd, min(want, stop - begin), begin)
            ended = begin + len(block) >= stop
            lines = split(block, self._rows, final=final and ended)
            if len(lines):
                self._adapt(lines)
                return self._chunk(lines, start, begin)
            if ended or len(block) < want:
                return self._chunk(lines, start, begin) if begin > start and ended and final else None
            if len(block) > self._most:
                return self._oversize(start, begin, stop, final=final)
            want *= 4

    def close(self) -> None:
        """Nothing of its own."""

    def _adapt(self, lines: Lines) -> None:
        """Read next time about what fills a chunk."""
        average = int(lines.nexts[-1]) // len(lines) + 1
        self._block = max(SMALLEST_BLOCK, min(LARGEST_BLOCK, int(average * self._rows * 1.05)))

    def _chunk(self, lines: Lines, start: int, begin: int) -> Chunk:
        first_line = self.lines.to(begin)
        numbers = np.arange(first_line, first_line + len(lines), dtype=np.int64)
        empty = blank(lines) if len(lines) else None
        keep = None if empty is None else ~empty
        raw, refused = content(lines, keep, self._most)
        ordinals, ends = lines.starts + begin, lines.nexts + begin
        end = int(ends[-1]) if len(lines) else begin
        after = first_line + len(lines) - (0 if lines.block.endswith(b"\n") or not len(lines) else 1)
        self.lines.stand(end, after)
        if keep is not None:
            ordinals, ends, numbers = ordinals[keep], ends[keep], numbers[keep]
        documents = None
        if not lines.block.isascii():
            refused = bad_utf8(raw, ordinals, "utf-8") | refused if self._encoding == "utf-8" else refused
            if self._encoding != "utf-8":
                documents, refused = self._recoded(raw, ordinals, refused)
        positions = text_positions(self._file, ordinals, numbers)
        return Chunk(ordinals, ends, raw, positions, (start, end), after, documents, refused)

    def _recoded(
        self, raw: pa.Array, ordinals: Int64s, refused: dict[int, Reason]
    ) -> tuple[pa.Array, dict[int, Reason]]:
        """The documents in UTF-8, where the file is in another encoding."""
        made: list[bytes | None] = []
        for index, data in enumerate(raw.to_pylist()):
            fault = encoding_fault(data, int(ordinals[index]), self._encoding)
            if fault and index not in refused:
                refused = {**refused, index: fault}
            made.append(None if index in refused else data.decode(self._encoding).encode())
        return pa.array(made, pa.large_binary()), refused

    def _oversize(self, start: int, begin: int, stop: int, *, final: bool) -> Chunk | None:
        known, searched = self._searched
        end = find_line_end(self._fd, max(begin, searched if known == begin else begin), stop)
        if end is None:
            self._searched = (begin, stop)
            if not final:
                return None
            end = stop
        line = self.lines.to(begin)
        head = os.pread(self._fd, min(TRUNCATED_TO, self._most), begin)
        ended = os.pread(self._fd, 1, end - 1) == b"\n"
        self.lines.stand(end, line + ended)
        one = np.array([begin], np.int64)
        return Chunk(
            one, np.array([end], np.int64), pa.array([head], pa.large_binary()),
            text_positions(self._file, one, np.array([line], np.int64)), (start, end), line + ended,
            None, {0: size_reason(end - begin - ended, self._most)},
        )  # fmt: skip
