"""The reader of Parquet files: rows as canonical JSON, by row number."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.sources.chunk import TRUNCATED_TO, Chunk, RefusedFrom, row_positions, size_reason
from actors.sources.json_columns import documents, sizes
from actors.sources.sniff import looks_like_text
from core.batch import Reason
from core.errors import BadFile

_MAGIC = b"PAR1"
_BATCH_BYTES = 4 << 20


class ParquetReader:
    """One file; row groups are read a batch at a time, never whole."""

    content_type = "application/json"

    def __init__(self, fd: int, file: str, *, chunk_rows: int, max_record_bytes: int) -> None:
        self._fd, self._file, self._rows, self._most = fd, file, chunk_rows, max_record_bytes
        self._open: pq.ParquetFile | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._at = -1
        self._left: pa.RecordBatch | None = None

    def limit(self, size_bytes: int) -> int:
        """Rows.

        Raises:
            BadFile: E214 not Parquet, E215 cut short or broken, E211 two columns of one name.
        """
        if self._open is None:
            self._open = self._opened(size_bytes)
        return int(self._open.metadata.num_rows)

    def groups(self) -> list[tuple[int, int]]:
        """Rows and bytes of each row group; after ``limit``."""
        assert self._open is not None
        metadata = self._open.metadata
        found = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
        return [(int(group.num_rows), int(group.total_byte_size)) for group in found]

    def fingerprint_end(self, at: int, size_bytes: int) -> int:
        """All of it: a Parquet file never grows."""
        return size_bytes

    def take(self, start: int, stop: int, *, final: bool) -> Chunk | None:
        """See ``Reader``; ordinals are row numbers."""
        try:
            if start != self._at:
                self._stand(start)
            batch = self._left if self._left is not None else next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            raise RefusedFrom(
                f"`{self._file}` is broken from row {start} on: {error}", "E217", {"start": start}
            ) from error
        if batch is None:
            raise RefusedFrom(
                f"`{self._file}` ends at row {start}, its footer says {stop}", "E217", {"start": start}
            )
        rows = min(batch.num_rows, stop - start)
        self._left = batch.slice(rows) if rows < batch.num_rows else None
        self._at = start + rows
        return self._chunk(batch.slice(0, rows), start)

    def close(self) -> None:
        """See ``Reader``."""
        opened, self._open = self._open, None
        self._batches, self._left = iter(()), None
        if opened is not None:
            opened.close()

    def _opened(self, size_bytes: int) -> pq.ParquetFile:
        head = os.pread(self._fd, 512, 0)
        if not head.startswith(_MAGIC):
            guess = "; is it CSV or JSON lines?" if looks_like_text(head) else ""
            raise BadFile(f"`{self._file}` is not Parquet: it does not begin with `PAR1`{guess}", "E214")
        if size_bytes < 12 or os.pread(self._fd, 4, size_bytes - 4) != _MAGIC:
            raise BadFile(
                f"`{self._file}` is cut short: a Parquet file ends with `PAR1`; copy it again", "E215"
            )
        try:
            made = pq.ParquetFile(
                os.fdopen(os.dup(self._fd), "rb"),
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="us",
            )
        except (pa.ArrowException, OSError) as error:
            raise BadFile(f"`{self._file}` has a broken footer: {error}", "E215") from error
        names = made.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadFile(
                f"`{self._file}` has more than one column `{twice[0]}`; columns must have different names",
                "E211",
            )
        return made

    def _stand(self, start: int) -> None:
        """Before row ``start``: from its row group on, less what comes before it there."""
        opened = self._open
        assert opened is not None
        first = group = 0
        while first + opened.metadata.row_group(group).num_rows <= start:
            first += opened.metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, opened.metadata.num_row_groups))
        bulk = sum(opened.metadata.row_group(g).total_byte_size for g in groups)
        rows = sum(opened.metadata.row_group(g).num_rows for g in groups)
        most = max(1, min(self._rows, _BATCH_BYTES * rows // max(bulk, 1)))
        self._batches, self._left = opened.iter_batches(most, row_groups=groups, use_threads=False), None
        skip = start - first
        while skip:
            batch = next(self._batches)
            self._left = batch.slice(skip) if batch.num_rows > skip else None
            skip -= min(skip, batch.num_rows)

    def _chunk(self, batch: pa.RecordBatch, start: int) -> Chunk:
        made, broken = documents(batch)
        refused = {
            row: Reason(
                "",
                "encoding",
                "critical",
                "utf-8",
                "other bytes",
                f"row {start + row} has text that is not UTF-8",
            )
            for row in broken
        }
        bulk = sizes(made)
        if len(bulk) and int(bulk.max()) > self._most:
            refused |= {
                int(i): size_reason(int(bulk[i]), self._most) for i in np.flatnonzero(bulk > self._most)
            }
            kept = [data[:TRUNCATED_TO] if len(data) > self._most else data for data in made.to_pylist()]
            made = pa.array(kept, pa.large_binary())
        rows = np.arange(start, start + batch.num_rows, dtype=np.int64)
        positions = row_positions(self._file, rows)
        return Chunk(rows, rows + 1, made, positions, (start, start + batch.num_rows), 0, None, refused)
