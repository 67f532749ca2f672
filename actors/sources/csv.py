"""The reader of CSV files: rows become canonical JSON documents; the raw bytes stay beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from actors.sources.chunk import TRUNCATED_TO, Chunk, Int64s, RefusedFrom, size_reason, text_positions
from actors.sources.csv_encode import RowEncoder
from actors.sources.csv_text import CsvParser, Dialect, Parsed, Record
from actors.sources.lines import (
    BOM,
    LARGEST_BLOCK,
    SMALLEST_BLOCK,
    LineCount,
    Lines,
    content,
    encoding_fault,
    find_line_end,
    split,
)
from core.batch import Reason
from core.errors import BadFile

_LARGEST_BLOCK = 2 << 20  # documents are three to four times as large as their rows
_MANY = 256
"""From so many rows on, columns are faster than lines."""
_RIVALS = {";": ";", "\t": "tab", "|": "|", ",": ","}


class CsvReader:
    """One file. The header is read once, from the beginning, wherever reading goes on."""

    content_type = "text/csv"

    def __init__(
        self,
        fd: int,
        file: str,
        *,
        fields: Mapping[str, frozenset[str]],
        chunk_rows: int,
        max_record_bytes: int,
        delimiter: str = ",",
        quote: str = '"',
        escape: str | None = None,
        header: bool = True,
        columns: tuple[str, ...] | None = None,
        encoding: str = "utf-8",
        null_values: tuple[str, ...] = ("",),
    ) -> None:
        self._fd, self._file, self._fields = fd, file, fields
        self._rows, self._most = chunk_rows, max_record_bytes
        self._delimiter, self._encoding, self._null_values = delimiter, encoding, null_values
        self._dialect = Dialect(
            delimiter.encode(encoding),
            quote.encode(encoding),
            escape.encode(encoding) if escape else None,
            encoding,
        )
        self._parser = CsvParser(self._dialect)
        self._has_header, self._columns = header, columns
        self._names: list[str] = []
        self._encoder: RowEncoder | None = None
        self._body = 0
        self._block = SMALLEST_BLOCK
        self._searched = (0, 0)
        self.lines = LineCount(fd, lone_returns=True)

    def limit(self, size_bytes: int) -> int:
        """Bytes."""
        return size_bytes

    def fingerprint_end(self, at: int, size_bytes: int) -> int:
        """What was read stays; what follows may come."""
        return at

    def close(self) -> None:
        """Nothing of its own."""

    def take(self, start: int, stop: int, *, final: bool) -> Chunk | None:
        """See ``Reader``."""
        if self._encoder is None and not self._read_header(stop, final=final):
            return None
        begin = max(start, self._body)
        want = self._block
        while begin < stop:
            block = os.pread(self._fd, min(want, stop - begin), begin)
            ended = begin + len(block) >= stop
            whole = final and ended
            if self._is_simple(block):
                lines = split(block, self._rows, final=whole)
                if len(lines):
                    return self._simple_chunk(lines, start, begin)
                open_quote = False
            else:
                parsed = self._parser.parse(block, self._rows, final=whole)
                if parsed.records:
                    return self._careful_chunk(parsed, block, start, begin)
                open_quote = parsed.open_quote
            if open_quote and (whole or len(block) > self._most):
                return self._unclosed(start, begin, stop)
            if ended or len(block) < want:
                break
            if len(block) > self._most:
                return self._oversize(start, begin, stop, final=final)
            want *= 4
        # nothing but a header, as yet
        return self._empty(start, begin) if begin > start else None

    # --- the header -----------------------------------------------------------------------------------------------

    def _read_header(self, stop: int, *, final: bool) -> bool:
        """Learn the columns; False: the first line is not complete yet.

        Raises:
            BadFile: it names no columns that rows could be read by.
        """
        begin = 3 if os.pread(self._fd, 3, 0) == BOM else 0
        if not self._has_header and self._columns:
            return self._learn(list(self._columns), begin)
        most = min(self._most, LARGEST_BLOCK)
        block = os.pread(self._fd, min(most, stop - begin), begin)
        parsed = self._parser.parse(block, 1, final=final and begin + len(block) >= stop)
        if not parsed.records:
            if len(block) >= most or (parsed.open_quote and final):
                raise BadFile(
                    f"the first line of `{self._file}` does not end within {len(block)} bytes; is it text?",
                    "E216",
                )
            return False
        first = parsed.records[0]
        return self._learn(
            self._named(first, block, begin), begin + first.after if self._has_header else begin
        )

    def _learn(self, names: list[str], body: int) -> bool:
        self._names, self._body = names, body
        self._encoder = RowEncoder(names, self._fields, self._null_values, self._delimiter)
        return True

    def _named(self, first: Record, block: bytes, begin: int) -> list[str]:
        line = block[first.start : first.stop]
        if fault := encoding_fault(line, begin + first.start, self._encoding):
            raise BadFile(f"the header of `{self._file}` cannot be read: {fault.message}", "E205")
        found = line.decode(self._encoding).split(self._delimiter) if first.plain else first.fields
        if found is None:
            raise BadFile(f"the header of `{self._file}` has text behind a closing quote", "E216")
        if not self._has_header:
            return [f"column_{i + 1}" for i in range(len(found))]
        self._refuse_wrong_delimiter(found)
        twice = sorted({name for name in found if found.count(name) > 1})
        if twice:
            shown = ", ".join(f"`{name}`" for name in twice)
            raise BadFile(
                f"the header of `{self._file}` names {shown} more than once; columns must have different names",
                "E211",
            )
        return found

    def _refuse_wrong_delimiter(self, found: list[str]) -> None:
        if len(found) != 1 or found[0] in self._fields:
            return
        expected = len(self._fields)
        for rival, word in _RIVALS.items():
            if rival != self._delimiter and rival in found[0] and expected != 1:
                wanted = f"{expected} expected" if expected else f"but it holds `{word}`"
                raise BadFile(
                    f"1 column found, {wanted}, is it `{word}`? Set `delimiter` to what stands between the fields of `{self._file}`",
                    "E212",
                )

    # --- rows -----------------------------------------------------------------------------------------------------

    def _is_simple(self, block: bytes) -> bool:
        """Whether records are lines and fields a split: no quotes, and every CR is followed by LF."""
        if any(mark in block for mark in self._dialect.special):
            return False
        returns = block.count(b"\r")
        return not returns or returns == block.count(b"\r\n")

    def _simple_chunk(self, lines: Lines, start: int, begin: int) -> Chunk:
        assert self._encoder is not None
        average = int(lines.nexts[-1]) // len(lines) + 1
        self._block = max(SMALLEST_BLOCK, min(_LARGEST_BLOCK, int(average * self._rows * 1.05)))
        empty = lines.starts == lines.stops
        keep = ~empty if bool(empty.any()) else None
        raw, refused = content(lines, keep, self._most)
        try:
            text = lines.block.decode(self._encoding)
        except UnicodeDecodeError:
            return self._careful_chunk(
                self._parser.parse(lines.block, len(lines), final=True), lines.block, start, begin
            )
        text = text.replace("\r\n", "\n") if "\r" in text else text
        first_line = self.lines.to(begin)
        numbers = np.arange(first_line, first_line + len(lines), dtype=np.int64)
        ordinals, ends = lines.starts + begin, lines.nexts + begin
        end, after = int(ends[-1]), first_line + len(lines) - (not lines.block.endswith(b"\n"))
        self.lines.stand(end, after)
        if keep is not None:
            ordinals, ends, numbers = ordinals[keep], ends[keep], numbers[keep]
        documents = None
        if keep is None and not refused and len(lines) >= _MANY:
            documents = self._encoder.block(
                (text if text.endswith("\n") else text + "\n").encode(), len(lines)
            )
        if documents is None:
            documents = self._by_line(text, numbers, refused)
        return Chunk(
            ordinals,
            ends,
            raw,
            text_positions(self._file, ordinals, numbers),
            (start, end),
            after,
            documents,
            refused,
        )

    def _by_line(self, text: str, numbers: Int64s, refused: dict[int, Reason]) -> pa.Array:
        """Documents of a block that is small or has lines of its own kind; what is ragged is added to ``refused``."""
        assert self._encoder is not None
        texts = [line for line in text.split("\n") if line]
        made = self._encoder.lines(texts)
        for index in refused:
            made[index] = None
        if None in made:
            for index, document in enumerate(made):
                if document is None and index not in refused:
                    refused[index] = self._ragged(
                        texts[index].count(self._delimiter) + 1, int(numbers[index])
                    )
        return pa.array(made, pa.large_string()).view(pa.large_binary())

    def _careful_chunk(self, parsed: Parsed, block: bytes, start: int, begin: int) -> Chunk:
        line = self.lines.to(begin)
        ordinals: list[int] = []
        ends: list[int] = []
        numbers: list[int] = []
        raw: list[bytes] = []
        rows: list[list[str] | Reason] = []
        for record in parsed.records:
            if record.start < record.stop:
                data = block[record.start : record.stop]
                rows.append(self._fields_of(record, data, begin, line))
                ordinals.append(begin + record.start)
                ends.append(begin + record.after)
                numbers.append(line)
                raw.append(data if len(data) <= self._most else data[: min(TRUNCATED_TO, self._most)])
            line += record.lines
        end = begin + parsed.end
        line -= not block.endswith((b"\n", b"\r"), 0, parsed.end)
        self.lines.stand(end, line)
        documents, refused = self._encoded(rows, numbers)
        at = np.array(ordinals, np.int64)
        positions = text_positions(self._file, at, np.array(numbers, np.int64))
        made = pa.array(raw, pa.large_binary())
        return Chunk(at, np.array(ends, np.int64), made, positions, (start, end), line, documents, refused)

    def _fields_of(self, record: Record, data: bytes, begin: int, line: int) -> list[str] | Reason:
        """A record's fields, or why it has none."""
        if len(data) > self._most:
            return size_reason(len(data), self._most)
        if record.fields is not None:
            return record.fields
        if record.plain:
            try:
                return data.decode(self._encoding).split(self._delimiter)
            except UnicodeDecodeError:
                pass
        return encoding_fault(data, begin + record.start, self._encoding) or Reason(
            "", "csv-quote", "critical", "a delimiter or a line ending behind a closing quote", "text",
            f"line {line} has text behind a closing quote; a quote inside a field must be doubled",
        )  # fmt: skip

    def _encoded(
        self, rows: list[list[str] | Reason], numbers: list[int]
    ) -> tuple[pa.Array, dict[int, Reason]]:
        """Documents, null for refused rows."""
        assert self._encoder is not None
        refused = {index: row for index, row in enumerate(rows) if isinstance(row, Reason)}
        made = self._encoder.rows([[] if isinstance(row, Reason) else row for row in rows])
        for index, row in enumerate(rows):
            if not isinstance(row, Reason) and made[index] is None:
                refused[index] = self._ragged(len(row), numbers[index])
        for index in refused:
            made[index] = None
        return pa.array(made, pa.large_string()).view(pa.large_binary()), refused

    def _ragged(self, found: int, line: int) -> Reason:
        wanted = len(self._names)
        return Reason(
            "", "ragged-row", "critical", f"{wanted} fields", f"{found} fields",
            f"line {line} has {found} field{'s' * (found != 1)}, its header names {wanted}",
        )  # fmt: skip

    # --- what ends badly ------------------------------------------------------------------------------------------

    def _empty(self, start: int, end: int) -> Chunk:
        none = np.empty(0, np.int64)
        raw = pa.array([], pa.large_binary())
        return Chunk(none, none, raw, pa.array([], pa.string()), (start, end), self.lines.to(end), raw)

    def _one(self, start: int, begin: int, end: int, reason: Reason) -> Chunk:
        """All of ``[begin, end)`` as one refused record."""
        line, after = self.lines.to(begin), self.lines.to(end)
        head = os.pread(self._fd, min(TRUNCATED_TO, self._most, end - begin), begin)
        at = np.array([begin], np.int64)
        return Chunk(
            at, np.array([end], np.int64), pa.array([head], pa.large_binary()),
            text_positions(self._file, at, np.array([line], np.int64)), (start, end), after,
            pa.array([None], pa.large_binary()), {0: reason},
        )  # fmt: skip

    def _unclosed(self, start: int, begin: int, stop: int) -> Chunk:
        line = self.lines.to(begin)
        message = f"the quote opened on line {line} of `{self._file}` is never closed"
        if stop - begin > self._most:
            raise RefusedFrom(
                f"{message} within `max_record_bytes` ({self._most})", "E213", {"start": begin, "line": line}
            )
        data = os.pread(self._fd, stop - begin, begin)
        rows = Reason(
            "",
            "csv-quote",
            "critical",
            "a closing quote",
            "the end of the file",
            f"{message}; all that follows is one record",
        )
        made = self._one(start, begin, stop, rows)
        return Chunk(
            made.ordinals, made.ends, pa.array([data.rstrip(b"\r\n")], pa.large_binary()), made.positions, made.cover,
            made.line, made.documents, made.refused,
        )  # fmt: skip

    def _oversize(self, start: int, begin: int, stop: int, *, final: bool) -> Chunk | None:
        known, searched = self._searched
        end = find_line_end(self._fd, searched if known == begin else begin, stop)
        if end is None:
            self._searched = (begin, stop)
            if not final:
                return None
            end = stop
        return self._one(start, begin, end, size_reason(end - begin, self._most))
