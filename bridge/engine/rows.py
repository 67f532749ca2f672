"""Rows of a table as batches, inside a Spark task: canonical JSON, ids, what they cover. Plain values, so that it pickles.

Two ways to number rows (docs/sources.md, "Tables by Spark"):

* by key: the ordinal is the key itself, a whole number; negative keys have a partition of their own;
* by position: each range is a partition, the ordinal is the row's place in it, in the order (partition column, key).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actors.sources.chunk import TRUNCATED_TO, int64_array, size_reason
from actors.sources.json_columns import Shown, documents, embedded, number, sizes, texts
from actors.sources.json_values import text
from actors.sources.sql_known import digest
from bridge.engine.walk import Axis, Places, Range, clipped, mirrored
from core.batch import Batch, Reason
from core.errors import Permanent
from core.ranges import Ranges

SEEN = "seen/"
"""Attachments of this name hold digests of delivered rows; the driver folds them into the list of known rows."""
_SHOWN: dict[str, Shown] = {"number": number, "json": embedded}


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one task reads: the rows with places in ``[low, high)``."""

    low: int
    high: int
    partition: str
    stored: tuple[Range, ...] = ()
    """By key: places in it that are in the tables."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the columns of the task's rows are, by place: the record's own, then the key's, then the axis."""

    table: str
    """As positions name it."""
    names: tuple[str, ...]
    keys: int
    axis: Axis
    by_key: bool
    shown: Mapping[str, Literal["number", "json"]] = field(default_factory=dict)
    """Columns of text that are no JSON strings."""
    max_record_bytes: int = 1 << 20
    mark: Mapping[str, Any] = field(default_factory=dict)
    """By key: the mark of both partitions."""


@dataclass(frozen=True, slots=True)
class TableReader:
    """A ``bridge.engine.work.Reader``: one stretch a Spark partition, rows in the order (partition column, key)."""

    shape: Shape
    stretches: tuple[Stretch, ...]
    watched: tuple[Range, ...] = ()
    """Places that a later run reads again. By key: only rows that are there are covered. By position: rows are remembered."""
    known: frozenset[bytes] = frozenset()
    """By position: digests of rows in ``watched`` that are in the tables."""

    def __call__(self, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
        """Batches of one stretch."""
        stretch = self.stretches[_task_number()]
        yield from self.batches(stretch, rows)

    def batches(self, stretch: Stretch, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
        """The same for a stretch that is named."""
        filled = (found for found in rows if found.num_rows)
        if self.shape.by_key:
            yield from self._by_key(stretch, filled)
        else:
            yield from self._by_position(stretch, filled)

    def _by_key(self, stretch: Stretch, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
        at = stretch.low
        for found in rows:
            places = self._places(found, stretch)
            mine = np.ones(len(places), bool)
            for low, high in clipped(stretch.stored, int(places[0]), int(places[-1]) + 1):
                mine &= (places < low) | (places >= high)
            kept, fresh = found.filter(pa.array(mine)), places[mine]
            covers = self._covered(stretch, at, int(places[-1]) + 1, fresh)
            at = int(places[-1]) + 1
            if stretch.low < 0:
                order = np.arange(len(fresh))[::-1]
                kept, fresh, covers = kept.take(pa.array(order)), -fresh[order] - 1, mirrored(covers)
            yield self._batch(kept, fresh, stretch, tuple(covers), repeats=len(places) - len(fresh))
        rest = self._covered(stretch, at, stretch.high, np.empty(0, np.int64))
        if rest:
            yield self._nothing(stretch, tuple(mirrored(rest) if stretch.low < 0 else rest))

    def _covered(self, stretch: Stretch, start: int, stop: int, rows: Places) -> list[Range]:
        """What of ``[start, stop)`` is done with: all, but where a later run looks again only the rows themselves."""
        done = Ranges([(start, stop)] if start < stop else [])
        for low, high in clipped(self.watched, start, stop):
            kept = Ranges()
            for a, b in done:
                kept.add(a, min(b, low))
                kept.add(max(a, high), b)
            done = kept
            for place in rows[(rows >= low) & (rows < high)].tolist():
                done.add(place, place + 1)
        left: list[Range] = []
        stored = Ranges(stretch.stored)
        for a, b in done:
            left.extend(stored.complement(a, b))
        return left

    def _by_position(self, stretch: Stretch, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch]:
        at = 0
        for index, found in enumerate(rows):
            places = self._places(found, stretch)
            ordinals = np.arange(at, at + found.num_rows, dtype=np.int64)
            covers: tuple[Range, ...] = ((at, at + found.num_rows),)
            at += found.num_rows
            watched = np.zeros(len(places), bool)
            for low, high in self.watched:
                watched |= (places >= low) & (places < high)
            if not watched.any():
                yield self._batch(found, ordinals, stretch, covers)
                continue
            seen = self._digests(found, places, watched)
            new = np.array([seen.get(row) not in self.known for row in range(len(places))], bool)
            fresh = [[int(places[row]), made] for row, made in seen.items() if made not in self.known]
            kept, covers = found.filter(pa.array(new)), covers if new.any() else ()
            notes = {f"{SEEN}{stretch.partition}/{index}": msgspec.msgpack.encode(fresh)} if fresh else {}
            yield self._batch(kept, ordinals[new], stretch, covers, repeats=int((~new).sum()), notes=notes)

    def _digests(
        self, found: pa.RecordBatch, places: Places, rows: npt.NDArray[np.bool_]
    ) -> dict[int, bytes]:
        made, _ = documents(self._records(found), self._shown)
        keys = [column.to_pylist() for column in self._keys(found)]
        return {
            int(row): digest([column[row] for column in keys], int(places[row]), made[int(row)].as_py())
            for row in np.flatnonzero(rows)
        }

    def _places(self, found: pa.RecordBatch, stretch: Stretch) -> Places:
        places = self.shape.axis.places(found.column(found.num_columns - 1))
        low, high = int(places.min()), int(places.max())
        if low < stretch.low or high >= stretch.high:
            raise Permanent(
                f"the database gave rows of `{self.shape.table}` from {low} to {high} where {stretch.low} to {stretch.high} was"
                " asked for", "E913",
            )  # fmt: skip
        return places

    @property
    def _shown(self) -> dict[str, Shown]:
        return {name: _SHOWN[kind] for name, kind in self.shape.shown.items()}

    def _records(self, found: pa.RecordBatch) -> pa.RecordBatch:
        width = len(self.shape.names)
        return pa.RecordBatch.from_arrays(found.columns[:width], names=list(self.shape.names))

    def _keys(self, found: pa.RecordBatch) -> list[pa.Array]:
        width = len(self.shape.names)
        return list(found.columns[width : width + self.shape.keys])

    def _nothing(self, stretch: Stretch, covers: tuple[Range, ...]) -> Batch:
        nothing = int64_array(np.empty(0, np.int64))
        return Batch(
            partition=stretch.partition, ordinals=nothing, ends=nothing, raw=pa.array([], pa.large_binary()),
            positions=pa.array([], pa.string()), covers=covers, mark=self._mark(stretch), content_type="application/json",
        )  # fmt: skip

    def _batch(
        self, found: pa.RecordBatch, ordinals: Places, stretch: Stretch, covers: tuple[Range, ...], *,
        repeats: int = 0, notes: Mapping[str, bytes] | None = None,
    ) -> Batch:  # fmt: skip
        raw, refused = canonical(self._records(found), self._shown, self.shape.max_record_bytes)
        return Batch(
            partition=stretch.partition, ordinals=int64_array(ordinals), ends=int64_array(ordinals + 1), raw=raw,
            positions=self._positions(found), covers=covers, mark=self._mark(stretch), content_type="application/json",
            refused=refused, repeats=repeats, attachments=notes or {},
        )  # fmt: skip

    def _mark(self, stretch: Stretch) -> dict[str, Any]:
        axis = self.shape.axis
        if self.shape.by_key:
            return dict(self.shape.mark)
        return {"column": axis.column, "from": axis.literal(stretch.low), "to": axis.literal(stretch.high)}

    def _positions(self, found: pa.RecordBatch) -> pa.Array:
        shown = [texts(column)[0] for column in self._keys(found)]
        listed = (
            pc.binary_join_element_wise(*shown, pa.scalar(",", pa.large_string()))
            if len(shown) > 1
            else shown[0]
        )
        many = len(shown) > 1
        before = f'{{"table":{text(self.shape.table)},"key":' + ("[" if many else "")
        parts = (pa.scalar(word, pa.large_string()) for word in (before, ("]" if many else "") + "}", ""))
        first, last, nothing = parts
        return pc.binary_join_element_wise(first, listed, last, nothing).cast(pa.string())


def canonical(
    records: pa.RecordBatch, shown: Mapping[str, Shown], most: int
) -> tuple[pa.Array, dict[int, Reason]]:
    """Rows as JSON documents (large_binary[n]); those that are too large are cut and refused."""
    made, _ = documents(records, shown)
    bulk = sizes(made)
    if not len(bulk) or int(bulk.max()) <= most:
        return made, {}
    refused = {int(row): size_reason(int(bulk[row]), most) for row in np.flatnonzero(bulk > most)}
    kept = [data[: min(TRUNCATED_TO, most)] if len(data) > most else data for data in made.to_pylist()]
    return pa.array(kept, pa.large_binary()), refused


def _task_number() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None, "called outside a task"
    return int(context.partitionId())
