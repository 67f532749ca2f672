"""CSV by RFC 4180 and its dialects, exactly: records, fields and their byte offsets. The careful way, for blocks with quotes."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from actors.sources.lines import line_endings


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are written; all as bytes of the file's encoding, which must keep ASCII as it is."""

    delimiter: bytes = b","
    quote: bytes = b'"'
    escape: bytes | None = None
    encoding: str = "utf-8"

    @property
    def special(self) -> tuple[bytes, ...]:
        """What makes a line more than a split."""
        return (self.quote,) if self.escape is None else (self.quote, self.escape)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: ``[start, stop)`` is its content, the line ending ends at ``after``; ``lines`` it spans."""

    start: int
    stop: int
    after: int
    lines: int
    fields: list[str] | None = None
    """None: not split yet (``plain``), or text stands behind a closing quote, or it is not in the encoding."""
    plain: bool = False
    """Without quotes: its fields are a split."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The records of a block, where they end, and whether a quote is still open there."""

    records: list[Record]
    end: int
    open_quote: bool = False


class CsvParser:
    """A dialect, compiled."""

    def __init__(self, dialect: Dialect) -> None:
        d, q = re.escape(dialect.delimiter), re.escape(dialect.quote)
        self._dialect = dialect
        self._delimiter, self._quote = (
            dialect.delimiter.decode(dialect.encoding),
            dialect.quote.decode(dialect.encoding),
        )
        self._ending = re.compile(rb"\r\n|\n|\r")
        # possessive: a doubled quote is never taken apart again
        if dialect.escape is None:
            self._closed = re.compile(rb"%b((?:[^%b]++|%b%b)*+)%b" % (q, q, q, q, q))
            self._plain = re.compile(
                rb"(?:(?!%b)[^\r\n])*+" % d if len(dialect.delimiter) > 1 else rb"[^%b\r\n]*+" % d
            )
            self._unescape = None
        else:
            e = re.escape(dialect.escape)
            self._closed = re.compile(rb"%b((?:%b.|[^%b%b]++|%b%b)*+)%b" % (q, e, q, e, q, q, q), re.DOTALL)
            self._plain = re.compile(rb"(?:%b.|(?!%b)[^\r\n%b])*+" % (e, d, e), re.DOTALL)
            self._unescape = re.compile(rb"%b(.)" % e, re.DOTALL)

    def parse(self, block: bytes, most: int, *, final: bool) -> Parsed:
        """At most ``most`` records of a block that begins at a record; the unended last one only if ``final``."""
        records: list[Record] = []
        at, special, lone = 0, -1, block.count(b"\r") != block.count(b"\r\n")
        while at < len(block) and len(records) < most:
            stop, after = self._line_end(block, at, lone=lone)
            if special < at:
                special = self._next_special(block, at)
            if special < stop:
                record = self._quickly(block, at, stop, after) or self._careful(block, at, final=final)
                if isinstance(record, bool):
                    return Parsed(records, at, open_quote=record)
            elif not final and _is_cut(block, stop, after):
                break
            else:
                record = Record(at, stop, after, 1, plain=True)
            records.append(record)
            at = record.after
        return Parsed(records, at)

    def _line_end(self, block: bytes, at: int, *, lone: bool) -> tuple[int, int]:
        """Where the line's content and its ending end; twice the end of the block if it has no ending."""
        if lone:
            ending = self._ending.search(block, at)
            return ending.span() if ending else (len(block), len(block))
        feed = block.find(b"\n", at)
        if feed < 0:
            return len(block), len(block)
        return (feed - 1 if feed > at and block[feed - 1] == 13 else feed), feed + 1

    def _next_special(self, block: bytes, at: int) -> int:
        found = [place for mark in self._dialect.special if (place := block.find(mark, at)) >= 0]
        return min(found, default=len(block))

    def _quickly(self, block: bytes, start: int, stop: int, after: int) -> Record | None:
        """A whole record on one line, by the C parser, which fails where a quote stays open or text follows one."""
        if self._dialect.escape is not None or after == stop or _is_cut(block, stop, after):
            return None
        try:
            text = block[start:stop].decode(self._dialect.encoding)
            (fields,) = csv.reader((text,), delimiter=self._delimiter, quotechar=self._quote, strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError):
            return None
        return Record(start, stop, after, 1, fields)

    def _careful(self, block: bytes, start: int, *, final: bool) -> Record | bool:
        """The record at ``start``; True: a quote is open at the end of the block, False: the record is."""
        delimiter, quote = self._dialect.delimiter, self._dialect.quote
        fields: list[bytes] = []
        at = start
        while True:
            if block.startswith(quote, at):
                match = self._closed.match(block, at)
                if match is None:
                    return True
                fields.append(self._plainly(match[1].replace(quote + quote, quote)))
            else:
                match = self._plain.match(block, at)
                assert match is not None
                fields.append(self._plainly(match[0]))
            at = match.end()
            if block.startswith(delimiter, at):
                at += len(delimiter)
                continue
            return self._ended(block, start, at, fields, final=final)

    def _ended(self, block: bytes, start: int, at: int, fields: list[bytes], *, final: bool) -> Record | bool:
        stop, after = self._line_end(block, at, lone=True)
        if not final and _is_cut(block, stop, after):
            return False
        return Record(
            start,
            stop,
            after,
            line_endings(block[start:stop]) + 1,
            self._decoded(fields) if stop == at else None,
        )

    def _decoded(self, fields: list[bytes]) -> list[str] | None:
        try:
            return [field.decode(self._dialect.encoding) for field in fields]
        except UnicodeDecodeError:
            return None

    def _plainly(self, field: bytes) -> bytes:
        return field if self._unescape is None else self._unescape.sub(rb"\1", field)


def _is_cut(block: bytes, stop: int, after: int) -> bool:
    """Whether more bytes could make the line longer: it has no ending, or a CR that an LF may follow."""
    return stop == after or (after == len(block) and block[stop:after] == b"\r")
