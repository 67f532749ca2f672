"""CSV by RFC 4180 and its dialects, exactly: records, fields and their byte offsets. The careful way, for blocks with quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from actors.sources.lines import line_endings


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are written; all as bytes of the file's encoding, which must keep ASCII as it is."""

    delimiter: bytes = b","
    quote: bytes = b'"'
    escape: bytes | None = None

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
    fields: list[bytes] | None
    """None: text stands behind a closing quote."""


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
        at = 0
        while at < len(block) and len(records) < most:
            ending = self._ending.search(block, at)
            stop, after = ending.span() if ending else (len(block), len(block))
            if any(block.find(mark, at, stop) >= 0 for mark in self._dialect.special):
                record = self._careful(block, at, final=final)
                if isinstance(record, bool):
                    return Parsed(records, at, open_quote=record)
            elif not final and (ending is None or (after == len(block) and block[stop:after] == b"\r")):
                break
            else:
                record = Record(at, stop, after, 1, block[at:stop].split(self._dialect.delimiter))
            records.append(record)
            at = record.after
        return Parsed(records, at)

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
        ending = self._ending.search(block, at)
        stop, after = ending.span() if ending else (len(block), len(block))
        if not final and (ending is None or (after == len(block) and block[stop:after] == b"\r")):
            return False
        spans = line_endings(block[start:stop]) + 1
        return Record(start, stop, after, spans, fields if stop == at else None)

    def _plainly(self, field: bytes) -> bytes:
        return field if self._unescape is None else self._unescape.sub(rb"\1", field)
