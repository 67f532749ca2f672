"""Which rows of a frame are new: what overlaps stored ranges is left out and counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.frame import Frame
from core.ranges import Ranges

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Known(Protocol):
    """What is stored already: ``store.log.State``, or ``Stored``."""

    def covered(self, source: str, partition: str) -> Ranges:
        """What is stored of a partition; an empty set if nothing is."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One source's stored ranges by partition, for those who have no ``State``."""

    ranges: Mapping[str, Ranges]

    def covered(self, source: str, partition: str) -> Ranges:
        """See ``Known``; the source is the one they are of."""
        return self.ranges.get(partition, Ranges())


@dataclass(slots=True)
class Fresh:
    """What is new in one frame."""

    frame: Frame
    records: pa.RecordBatch
    duplicates: int


@dataclass(slots=True)
class Delta:
    """What one window adds to the coverage; merged only when its commit is made."""

    known: Known
    covers: dict[str, dict[str, Ranges]] = field(default_factory=dict)

    def take(self, frame: Frame) -> Fresh:
        """Keep the rows that neither the state nor earlier frames of this window cover; then cover them.

        A row without length counts as one ordinal long.
        """
        header, records = frame.header, frame.records
        mine = self.covers.setdefault(header.source, {})
        keep: Flags = np.ones(records.num_rows, dtype=bool)
        for partition, rows in _rows_by_partition(records):
            starts, ends = _bounds(records, rows)
            known = (self.known.covered(header.source, partition), mine.setdefault(partition, Ranges()))
            keep[rows] = ~(_overlapping(known[0], starts, ends) | _overlapping(known[1], starts, ends))
            keep[rows] &= ~_repeated(starts, ends, keep[rows])
            _cover(known[1], starts[keep[rows]], ends[keep[rows]], header.covers, partition)
        for partition, start, end in header.covers:
            mine.setdefault(partition, Ranges()).add(start, end)
        duplicates = int(records.num_rows - keep.sum())
        return Fresh(frame, records.filter(pa.array(keep)) if duplicates else records, duplicates)

    def new(self) -> dict[str, dict[str, list[tuple[int, int]]]]:
        """The covers without empty ones, for a manifest."""
        found = {s: {p: list(r) for p, r in parts.items() if r} for s, parts in self.covers.items()}
        return {source: parts for source, parts in found.items() if parts}

    def beyond(self) -> dict[str, dict[str, list[tuple[int, int]]]]:
        """The covers less what is known, without empty ones."""
        found = {
            source: {
                partition: [
                    part for start, end in ranges
                    for part in self.known.covered(source, partition).complement(start, end)
                ]
                for partition, ranges in partitions.items()
            }
            for source, partitions in self.covers.items()
        }  # fmt: skip
        return {s: {p: r for p, r in parts.items() if r} for s, parts in found.items()}

    def adds_nothing(self) -> bool:
        """Whether all of it is in the state already."""
        return all(
            self.known.covered(source, partition).covers(start, end)
            for source, partitions in self.covers.items()
            for partition, ranges in partitions.items()
            for start, end in ranges
        )


def partition_codes(records: pa.RecordBatch) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Each row's index into the list of partition names."""
    column = records.column("partition")
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.indices.to_numpy(zero_copy_only=False).astype(np.int64), column.dictionary.to_pylist()


def used_codes(codes: Ints) -> list[int]:
    """The codes that occur, in order."""
    found: list[int] = np.flatnonzero(np.bincount(codes)).tolist()
    return found


def _rows_by_partition(records: pa.RecordBatch) -> Iterable[tuple[str, Flags | slice]]:
    if not records.num_rows:
        return
    codes, names = partition_codes(records)
    used = used_codes(codes)
    for code in used:
        yield names[code], codes == code if len(used) > 1 else slice(None)


def _bounds(records: pa.RecordBatch, rows: Flags | slice) -> tuple[Ints, Ints]:
    starts = records.column("ordinal").to_numpy()[rows]
    return starts, np.maximum(records.column("end").to_numpy()[rows], starts + 1)


def _overlapping(known: Ranges, starts: Ints, ends: Ints) -> Flags:
    """Which of n half-open ranges hold an integer of ``known``."""
    if not known or starts.min() >= known.end:
        return np.zeros(len(starts), dtype=bool)
    bounds = np.array(list(known), dtype=np.int64)
    at = np.searchsorted(bounds[:, 1], starts, side="right")
    first = np.append(bounds[:, 0], np.iinfo(np.int64).max)[at]
    return np.asarray(first < ends)


def _repeated(starts: Ints, ends: Ints, keep: Flags) -> Flags:
    """Which kept ranges overlap an earlier kept one of the same frame."""
    if (starts[1:] >= ends[:-1]).all():
        return np.zeros(len(starts), dtype=bool)
    seen, again = Ranges(), np.zeros(len(starts), dtype=bool)
    for at in np.flatnonzero(keep):
        again[at] = seen.overlaps(int(starts[at]), int(ends[at]))
        if not again[at]:
            seen.add(int(starts[at]), int(ends[at]))
    return again


def _cover(
    mine: Ranges, starts: Ints, ends: Ints, said: Iterable[tuple[str, int, int]], partition: str
) -> None:
    """Cover the rows, unless the frame's own covers hold them all."""
    if not len(starts):
        return
    least, most = int(starts.min()), int(ends.max())
    if any(name == partition and start <= least and most <= end for name, start, end in said):
        return
    order = np.argsort(starts, kind="stable")
    mine.update((int(start), int(end)) for start, end in zip(starts[order], ends[order], strict=True))
