"""Rows of a Hive table's Parquet files as batches, inside a Spark task: each file is a partition, its rows are numbered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.sources.chunk import int64_array
from actors.sources.json_columns import Shown, embedded, number
from actors.sources.json_values import text
from bridge.engine.rows import canonical
from bridge.engine.walk import Range
from core.batch import Batch

_SHOWN: dict[str, Shown] = {"number": number, "json": embedded}


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of the table."""

    uri: str
    file: str
    """Below the table's directory."""
    partition: str
    length: int
    tail: int
    """CRC of its last 4 KiB"""
    stored: tuple[Range, ...] = ()
    done: bool = False

    def mark(self) -> dict[str, Any]:
        """By which it is known again."""
        return {"file": self.file, "length": self.length, "tail": self.tail}


@dataclass(frozen=True, slots=True)
class FileRows:
    """A ``bridge.engine.work.Reader``: the record's columns, then the file's address, then the row's number."""

    table: str
    names: tuple[str, ...]
    files: tuple[DataFile, ...]
    shown: Mapping[str, Literal["number", "json"]] = field(default_factory=dict)
    max_record_bytes: int = 1 << 20

    def __call__(self, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
        """Batches of one file each, in the file's order."""
        by_path = {unquote(file.uri): file for file in self.files}
        for found in rows:
            if found.num_rows:
                yield from self._split(found, by_path)

    def _split(self, found: pa.RecordBatch, by_path: Mapping[str, DataFile]) -> Iterator[Batch]:
        paths = found.column(found.num_columns - 2).dictionary_encode()
        codes = paths.indices.to_numpy(zero_copy_only=False)
        borders = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
        for start, stop in itertools.pairwise(borders):
            path = paths.dictionary[int(codes[start])].as_py()
            yield self._batch(found.slice(start, stop - start), _file(by_path, path))

    def _batch(self, found: pa.RecordBatch, file: DataFile) -> Batch:
        rows = found.column(found.num_columns - 1).to_numpy(zero_copy_only=False).astype(np.int64)
        new = np.ones(len(rows), bool)
        for low, high in file.stored:
            new &= (rows < low) | (rows >= high)
        repeats = int((~new).sum())
        if repeats:
            found, rows = found.filter(pa.array(new)), rows[new]
        records = pa.RecordBatch.from_arrays(found.columns[: len(self.names)], names=list(self.names))
        raw, refused = canonical(
            records, {n: _SHOWN[k] for n, k in self.shown.items()}, self.max_record_bytes
        )
        before = f'{{"table":{text(self.table)},"file":{text(file.file)},"row":'
        numbers = int64_array(rows)
        positions = pc.binary_join_element_wise(
            pa.scalar(before), numbers.cast(pa.string()), pa.scalar("}"), pa.scalar("")
        )
        breaks = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)] if len(rows) else [0]
        covers = tuple((int(rows[a]), int(rows[b - 1]) + 1) for a, b in itertools.pairwise(breaks))
        return Batch(
            partition=file.partition, ordinals=numbers, ends=int64_array(rows + 1), raw=raw, positions=positions, covers=covers,
            mark=file.mark(), content_type="application/json", refused=refused, repeats=repeats,
        )  # fmt: skip


def _file(by_path: Mapping[str, DataFile], path: str) -> DataFile:
    plain = unquote(path)
    found = by_path.get(plain)
    if found is not None:
        return found
    inside = plain.partition(":")[2].lstrip("/")
    return next(file for known, file in by_path.items() if known.partition(":")[2].lstrip("/") == inside)
