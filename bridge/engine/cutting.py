"""Where a file is cut into splits: between lines, between row groups, and never where a quote may hold a line ending."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

from actors.sources.catalogue import KnownFile, open_inside
from actors.sources.chunk import Reader
from actors.sources.csv import CsvReader
from actors.sources.formats import make_reader
from actors.sources.lines import JsonLinesReader, find_line_end
from actors.sources.parquet import ParquetReader
from bridge.engine.splits import Split
from config.models import FileSettings
from core.errors import BadFile

BLOCK = 4 << 20
Gap = tuple[int, int]


def cut(known: KnownFile, root: str, settings: FileSettings, split_bytes: int) -> Iterator[Split]:
    """The splits of what ``known.covered`` leaves of a file, in order, one read of it ahead at most.

    A file that cannot be used is one split: the task that reads it says why.

    Raises:
        FileNotFoundError: it is gone. OSError: the disk refuses.
    """
    try:
        fd = open_inside(known, root)
    except BadFile:
        yield _whole(known, root)
        return
    try:
        try:
            reader = make_reader(fd, known, settings, {})
            known.limit = reader.limit(known.size)
        except BadFile:
            yield _whole(known, root)
            return
        with closing(reader):
            cutter = _Cutter(fd, known, root, reader, split_bytes)
            yield from cutter.rows() if isinstance(reader, ParquetReader) else cutter.lines(settings)
    finally:
        os.close(fd)


def _whole(known: KnownFile, root: str) -> Split:
    known.limit = known.size or 1
    return _split(
        known, root, list(known.covered.complement(0, known.limit)) or [(0, known.limit)], known.line, 1
    )


def _split(known: KnownFile, root: str, gaps: list[Gap], line: tuple[int, int], weight: int) -> Split:
    for gap in gaps:
        known.covered.add(*gap)
    return Split(
        partition=known.partition, file=known.file, path=known.path, root=root, generation=known.generation,
        inode=known.inode, size=known.size, gaps=tuple(gaps), at=line[0], line=line[1], limit=known.limit,
        parts=known.parts, weight=weight,
    )  # fmt: skip


class _Cutter:
    """One open file."""

    def __init__(self, fd: int, known: KnownFile, root: str, reader: Reader, split_bytes: int) -> None:
        self._fd, self._known, self._root, self._reader = fd, known, root, reader
        self._most = split_bytes
        self._gaps = list(known.covered.complement(0, known.limit))

    def rows(self) -> Iterator[Split]:
        """Of a Parquet file, by row groups."""
        assert isinstance(self._reader, ParquetReader)
        pending: list[Gap] = []
        first = weight = 0
        for rows, size in self._reader.groups():
            stop = first + rows
            for a, b in self._gaps:
                low, high = max(a, first), min(b, stop)
                if low < high:
                    pending = _joined(pending, (low, high))
                    weight += size * (high - low) // rows
            if weight >= self._most:
                yield _split(self._known, self._root, pending, (0, 0), weight)
                pending, weight = [], 0
            first = stop
        if pending:
            yield _split(self._known, self._root, pending, (0, 0), weight)

    def lines(self, settings: FileSettings) -> Iterator[Split]:
        """Of a text file, behind line endings, for as long as no quote comes in sight."""
        special = tuple(
            mark.encode(settings.encoding) for mark in (settings.quote, settings.escape) if mark
        ) if isinstance(self._reader, CsvReader) else ()  # fmt: skip
        pending: list[Gap] = []
        weight, whole = 0, False
        for start, stop in self._gaps:
            at = start
            while not whole and stop - at > (self._most - weight) * 5 // 4:
                end = find_line_end(self._fd, at + max(0, self._most - weight), stop)
                if end is None or end >= stop:
                    break
                if special and self._holds(special, at, end):
                    whole = True
                    break
                yield self._emit([*pending, (at, end)], weight + end - at)
                pending, weight, at = [], 0, end
            pending.append((at, stop))
            weight += stop - at
            if weight >= self._most and not whole:
                yield self._emit(pending, weight)
                pending, weight = [], 0
        if pending:
            yield self._emit(pending, weight)

    def _emit(self, gaps: list[Gap], weight: int) -> Split:
        assert isinstance(self._reader, JsonLinesReader | CsvReader)
        start = gaps[0][0]
        return _split(self._known, self._root, gaps, (start, self._reader.lines.to(start)), weight)

    def _holds(self, marks: tuple[bytes, ...], start: int, stop: int) -> bool:
        at = start
        while at < stop:
            block = os.pread(self._fd, min(BLOCK, stop - at), at)
            if not block or any(mark in block for mark in marks):
                return True
            at += len(block)
        return False


def _joined(gaps: list[Gap], more: Gap) -> list[Gap]:
    return [*gaps[:-1], (gaps[-1][0], more[1])] if gaps and gaps[-1][1] == more[0] else [*gaps, more]
