"""Frames -> parquet files: one a (dataset, schema version, tier, UTC day), with the columns of docs/contracts.md §3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.crash import fault
from core.frame import REASON, TIMESTAMP
from core.tiers import MEASURES, Tier
from store.coverage import Fresh, partition_codes, used_codes
from store.documents import Documents
from store.layout import day_numbers, event_times
from store.log import write_synced
from store.manifest import Span

ROW_GROUP = 131_072
COMPRESSION = "snappy"

COMMON_SCHEMA = pa.schema([
    ("assay_id", pa.string()), ("assay_ordinal", pa.int64()), ("assay_source", pa.string()),
    ("assay_position", pa.string()), ("assay_event_time", TIMESTAMP), ("assay_arrived_at", TIMESTAMP),
    ("assay_schema", pa.string()), ("assay_rules", pa.string()), ("assay_score", pa.float64()),
    *[(f"assay_{measure}", pa.float64()) for measure in MEASURES],
    ("assay_reasons", pa.list_(pa.field("element", REASON))), ("assay_batch", pa.int64()),
    ("assay_replay", pa.string()), ("assay_rewrite", pa.int64()), ("assay_extra", pa.string()),
    ("assay_raw", pa.binary()), ("assay_content_type", pa.string()),
])  # fmt: skip
"""What every file has; Silver and Gold have the dataset's own columns after these."""

_DICTIONARY = [
    "assay_source", "assay_schema", "assay_rules", "assay_content_type", "assay_extra",
    *[f"assay_reasons.list.element.{part}" for part in ("path", "rule", "severity", "expected", "message")],
]  # fmt: skip
_STATISTICS_OFF = frozenset({"assay_id", "assay_position", "assay_raw", "assay_extra"})
_PARTS = ("ordinal", "position", "score", *MEASURES, "reasons", "extra", "raw", "document")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Sorted:
    """All new rows of one (dataset, schema version), sorted by tier, day, source, partition, ordinal."""

    dataset: str
    schema: str
    documents: Documents
    keys: list[tuple[str, str]]
    """(source, partition) by rank."""
    rank: Ints
    ordinal: Ints
    end: Ints
    frame: Ints
    """Index into ``constants`` of each row."""
    constants: pa.RecordBatch
    """One row a frame: source, schema, rules, content type, arrival."""
    event_time: pa.Array
    """As read, not sorted; so are ``columns``."""
    columns: dict[str, pa.Array]
    order: Ints
    """Index into ``event_time`` and ``columns`` of each sorted row."""
    prefixes: pa.Array
    """What ids begin with, ``<source>.<partition>.``, by rank."""


@dataclass(slots=True)
class Piece:
    """The rows of one parquet file: ``[start, stop)`` of a ``Sorted``."""

    of: Sorted
    tier: Tier
    year: int
    month: int
    day: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start

    def take(self, column: pa.Array) -> pa.Array:
        """The piece's rows of a column that is not sorted; no copy where they stand side by side."""
        if column.null_count == len(column):
            return column.slice(0, self.rows)
        order = self.of.order[self.start : self.stop]
        if order[-1] - order[0] == self.rows - 1 and (order[1:] > order[:-1]).all():
            return column.slice(int(order[0]), self.rows)
        return column.take(pa.array(order))

    def spans(self) -> list[Span]:
        """What the file holds of each (source, partition)."""
        rank = self.of.rank[self.start : self.stop]
        first = np.flatnonzero(np.r_[True, rank[1:] != rank[:-1]])
        found = []
        for at, until in zip(first, np.r_[first[1:], len(rank)], strict=True):
            rows = slice(self.start + int(at), self.start + int(until))
            source, partition = self.of.keys[int(rank[at])]
            start, end = int(self.of.ordinal[rows].min()), int(self.of.end[rows].max())
            found.append(Span(source=source, partition=partition, start=start, end=end, rows=int(until - at)))
        return found


def pieces(fresh: Sequence[Fresh], documents: Documents) -> list[Piece]:
    """Sort the new rows of frames of one dataset and schema version, and cut them into files."""
    full = [one for one in fresh if one.records.num_rows]
    if not full:
        return []
    table = pa.Table.from_batches([one.records.drop_columns(["partition"]) for one in full])
    frame = np.repeat(np.arange(len(full)), [one.records.num_rows for one in full])
    rank, keys = _ranks(full)
    arrived_us = np.array([one.frame.header.arrived_us for one in full], dtype=np.int64)[frame]
    arrived = pa.array(arrived_us).cast(TIMESTAMP)
    event_time = event_times(_whole(table.column("event_time")), arrived)
    tier = table.column("tier").to_numpy().astype(np.int64)
    day = day_numbers(event_time).to_numpy().astype(np.int64)
    day = np.where(tier == Tier.REJECTED, arrived_us // 86_400_000_000, day)
    ordinal, end = table.column("ordinal").to_numpy(), table.column("end").to_numpy()
    group, order = _order(tier, day, rank, ordinal)
    first = full[0].frame.header
    rows = Sorted(
        first.dataset, first.schema, documents, keys, rank[order], ordinal[order], end[order], frame[order],
        _constants(full), event_time, {name: _whole(table.column(name)) for name in _PARTS}, order,
        pa.array([f"{source}.{partition}." for source, partition in keys], pa.string()),
    )  # fmt: skip
    return list(_cut(rows, group, tier[order], day[order]))


def file_table(piece: Piece, commit: int, *, keep_raw: str) -> pa.Table:
    """The table of one file.

    Args:
        keep_raw: ``all``, or ``bronze_rejected``: no ``assay_raw`` in Silver and Gold.
    """
    of, rows = piece.of, slice(piece.start, piece.stop)
    part = {name: piece.take(column) for name, column in of.columns.items()}
    constants = of.constants.take(pa.array(of.frame[rows]))
    source, ordinal = constants.column("source"), part["ordinal"]
    prefix = of.prefixes.take(pa.array(of.rank[rows]))
    typed = piece.tier >= Tier.SILVER
    raw_kept = keep_raw == "all" or not typed
    common = [
        pc.binary_join_element_wise(prefix, ordinal.cast(pa.string()), ""), ordinal, source, part["position"], piece.take(of.event_time),
        constants.column("arrived"), constants.column("schema"), constants.column("rules"), part["score"],
        *[part[measure] for measure in MEASURES], _reasons(part["reasons"]),
        pa.array(np.full(piece.rows, commit)), pa.nulls(piece.rows, pa.string()), pa.nulls(piece.rows, pa.int64()),
        part["extra"].cast(pa.binary()).cast(pa.string()),
        part["raw"].cast(pa.binary()) if raw_kept else pa.nulls(piece.rows, pa.binary()),
        constants.column("content_type"),
    ]  # fmt: skip
    if not typed:
        return pa.table(common, schema=COMMON_SCHEMA)
    found = of.documents.table(_judged(part["document"], part["raw"]))
    return pa.table([*common, *found], schema=pa.schema([*COMMON_SCHEMA, *of.documents.schema]))


def write(path: Path, table: pa.Table) -> None:
    """Write and sync one parquet file; each source begins a new row group, so that its footer can be counted.

    Raises:
        OSError: the directory refuses.
    """
    sink = pa.BufferOutputStream()  # a file is small: its parts go to the disk in one piece
    with pq.ParquetWriter(
        sink, table.schema, compression=COMPRESSION, use_dictionary=_DICTIONARY,
        write_statistics=[name for name in table.schema.names if name not in _STATISTICS_OFF],
    ) as out:  # fmt: skip
        for start, stop in _source_runs(table):
            out.write_table(table.slice(start, stop - start), row_group_size=ROW_GROUP)
    write_synced(path, sink.getvalue())


_to_drop = 1 if fault("drop-one-row") else 0


def without_dropped(piece: Piece) -> Piece:
    """The piece as it is, unless a test asked to lose the first row of one file in this process."""
    global _to_drop  # noqa: PLW0603 - one process, one lost row
    if not _to_drop or piece.rows < 2:
        return piece
    _to_drop -= 1
    return replace(piece, start=piece.start + 1)


def _ranks(full: Sequence[Fresh]) -> tuple[Ints, list[tuple[str, str]]]:
    """Each row's place among all (source, partition), and those in order."""
    coded = [(one.frame.header.source, *partition_codes(one.records)) for one in full]
    keys = sorted({(source, names[code]) for source, codes, names in coded for code in used_codes(codes)})
    place = {key: at for at, key in enumerate(keys)}
    ranks = [
        np.array([place.get((source, name), -1) for name in names], dtype=np.int64)[codes]
        for source, codes, names in coded
    ]
    return np.concatenate(ranks), keys


def _order(tier: Ints, day: Ints, rank: Ints, ordinal: Ints) -> tuple[Ints, npt.NDArray[np.intp]]:
    """Row order by (tier, day, rank, ordinal), and each sorted row's (tier, day) as one number."""
    days = day - day.min()
    file = tier * (int(days.max()) + 1) + days
    ranks = int(rank.max()) + 1
    key = file * ranks + rank
    if (key[1:] >= key[:-1]).all() and ((ordinal[1:] >= ordinal[:-1]) | (key[1:] != key[:-1])).all():
        return file, np.arange(len(file))
    small = key.astype(np.uint16) if int(key.max()) < 65_536 else key  # numpy sorts 16 bits by radix
    order = np.argsort(small, kind="stable")
    placed, sorted_key = ordinal[order], key[order]
    if not ((placed[1:] >= placed[:-1]) | (sorted_key[1:] != sorted_key[:-1])).all():
        order = np.lexsort((ordinal, key))
    return file[order], order


def _cut(rows: Sorted, file: Ints, tier: Ints, day: Ints) -> Iterator[Piece]:
    first = np.flatnonzero(np.r_[True, file[1:] != file[:-1]])
    for start, stop in zip(first, np.r_[first[1:], len(file)], strict=True):
        when = _EPOCH + timedelta(days=int(day[start]))
        yield Piece(rows, Tier(int(tier[start])), when.year, when.month, when.day, int(start), int(stop))


def _constants(full: Sequence[Fresh]) -> pa.RecordBatch:
    headers = [one.frame.header for one in full]
    return pa.RecordBatch.from_pydict({
        "source": [header.source for header in headers],
        "schema": [header.schema for header in headers],
        "rules": [header.rules for header in headers],
        "content_type": [header.content_type for header in headers],
        "arrived": pa.array([header.arrived_us for header in headers], pa.int64()).cast(TIMESTAMP),
    })  # fmt: skip


def _judged(document: pa.Array, raw: pa.Array) -> pa.Array:
    """What was judged: the canonical document where it differs from the raw bytes."""
    return raw if document.null_count == len(document) else pc.coalesce(document, raw)


def _reasons(reasons: pa.Array) -> pa.Array:
    """Null stands for none in a frame; a table has empty lists."""
    if not reasons.null_count:
        return reasons.cast(COMMON_SCHEMA.field("assay_reasons").type)
    lengths = pc.fill_null(pc.list_value_length(reasons), 0).to_numpy()
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), reasons.flatten(), type=COMMON_SCHEMA.field("assay_reasons").type
    )


def _whole(column: Any) -> pa.Array:
    """One array of a column that may lie in chunks."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _source_runs(table: pa.Table) -> Iterable[tuple[int, int]]:
    """[start, stop) of each source's rows; files are sorted by source."""
    source = _whole(table.column("assay_source"))
    runs = source.dictionary_encode().indices.to_numpy()
    first = np.flatnonzero(np.r_[True, runs[1:] != runs[:-1]])
    return zip(first.tolist(), [*first[1:].tolist(), len(runs)], strict=True)
