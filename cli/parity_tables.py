"""Two data directories' tables, row for row: the same ids, tiers, scores, reasons and columns?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.tiers import MEASURES, TIER_WORDS

RUN_ONLY = frozenset({"assay_batch", "assay_arrived_at"})
"""What differs from run to run by nature."""
SCORES = ("assay_score", *(f"assay_{measure}" for measure in MEASURES))
EXAMPLES = 3


@dataclass
class Found:
    """What was compared, and how many rows differ by what."""

    rows: int = 0
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("ids", "tiers", "scores", "reasons", "other columns"), 0)
    )
    examples: list[str] = field(default_factory=list)

    def blame(self, what: str, count: int, example: object) -> None:
        """Note rows that differ."""
        if count:
            self.counts[what] += count
            if len(self.examples) < EXAMPLES:
                self.examples.append(f"{what} differ, such as {example}")


def differences(left: Path, right: Path, datasets: Iterable[str]) -> Found:
    """Compare the tables of two data directories. Holds two tables of one tier at a time in memory."""
    found = Found()
    for dataset in datasets:
        ids = {side: {tier: _ids(side, tier, dataset) for tier in TIER_WORDS} for side in (left, right)}
        found.rows += sum(len(one) for one in ids[right].values())
        _compare_ids(found, ids[left], ids[right])
        for tier in TIER_WORDS:
            if len(ids[left][tier]) and len(ids[right][tier]):
                _compare_rows(found, _rows(left, tier, dataset), _rows(right, tier, dataset))
    return found


def _compare_ids(found: Found, left: dict[str, pa.Array], right: dict[str, pa.Array]) -> None:
    all_left, all_right = _together(left), _together(right)
    for one, other in ((all_left, all_right), (all_right, all_left)):
        missing = one.filter(pc.invert(pc.is_in(one, value_set=other)))
        found.blame("ids", len(missing), missing[0] if len(missing) else "")
    doubled = len(all_right) - len(pc.unique(all_right))
    found.blame("ids", doubled, "an id that stands twice")
    for tier in TIER_WORDS:
        moved = left[tier].filter(pc.invert(pc.is_in(left[tier], value_set=right[tier])))
        moved = moved.filter(pc.is_in(moved, value_set=all_right))
        found.blame("tiers", len(moved), moved[0] if len(moved) else "")


def _compare_rows(found: Found, left: pa.Table, right: pa.Table) -> None:
    """Rows that both have, in one tier."""
    if not left.column("assay_id").equals(right.column("assay_id")):
        left = left.filter(
            pc.is_in(left.column("assay_id"), value_set=right.column("assay_id").combine_chunks())
        )
        right = right.filter(
            pc.is_in(right.column("assay_id"), value_set=left.column("assay_id").combine_chunks())
        )
        if left.num_rows != right.num_rows:
            return  # doubled, as was said
    if left.schema != right.schema:
        found.blame("other columns", left.num_rows, "the columns themselves")
        return
    for name in left.column_names:
        one, other = left.column(name), right.column(name)
        if name in RUN_ONLY or one.equals(other):
            continue
        rows = [at for at, pair in enumerate(zip(one, other, strict=True)) if not pair[0].equals(pair[1])]
        what = "scores" if name in SCORES else "reasons" if name == "assay_reasons" else "other columns"
        if rows:
            at = rows[0]
            example = f"{left.column('assay_id')[at]}: {name} {one[at]} against {other[at]}"
            found.blame(what, len(rows), example[:300])


def _together(ids: dict[str, pa.Array]) -> pa.Array:
    return pa.concat_arrays(list(ids.values()))


def _files(root: Path, tier: str, dataset: str) -> list[Path]:
    return sorted((root / "warehouse").glob(f"{tier}_{dataset}/year=*/month=*/day=*/*.parquet")) + sorted(
        (root / "warehouse").glob(f"{tier}_{dataset}.v*/year=*/month=*/day=*/*.parquet")
    )


def _ids(root: Path, tier: str, dataset: str) -> pa.Array:
    columns = [pq.ParquetFile(path).read(["assay_id"]).column(0) for path in _files(root, tier, dataset)]
    chunks = [chunk for column in columns for chunk in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())


def _rows(root: Path, tier: str, dataset: str) -> pa.Table:
    """The rows by id; an event time that is only the arrival is null."""
    whole = pa.concat_tables([pq.ParquetFile(path).read() for path in _files(root, tier, dataset)])
    whole = whole.sort_by([("assay_id", "ascending")]).combine_chunks()
    at = whole.schema.get_field_index("assay_event_time")
    event, arrived = whole.column("assay_event_time"), whole.column("assay_arrived_at")
    own = pc.if_else(pc.equal(event, arrived), pa.scalar(None, event.type), event)
    return whole.set_column(at, whole.schema.field(at), own)
