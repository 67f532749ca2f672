"""What a parquet file says about itself: the rows that a ledger counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

WRITTEN_AT = 2


def footer_rows(path: Path) -> dict[str, int]:
    """Rows by source.

    Read from the footer alone: a row group that the store writes holds one source, so its statistics name it.
    Only for a file that somebody else wrote is the column read.

    Raises:
        OSError: the file is gone or cannot be read (also when it is no parquet file).
    """
    try:
        with pa.OSFile(str(path)) as file:
            meta = pq.read_metadata(file)
        column = _source_column(meta)
        groups = [meta.row_group(at) for at in range(meta.num_row_groups)]
        sources = [_only_value(group.column(column)) for group in groups]
        if None in sources:
            return dict(Counter(pq.ParquetFile(path).read(["assay_source"]).column(0).to_pylist()))
    except (ValueError, IndexError) as error:  # ArrowInvalid: no parquet; or no such column
        raise OSError(f"`{path}` is no table file of Assay: {error}") from error
    found: Counter[str] = Counter()
    for group, source in zip(groups, sources, strict=True):
        found[str(source)] += group.num_rows
    return dict(found)


def _source_column(meta: Any) -> int:
    """Which leaf is ``assay_source``; the store writes it third.

    Raises:
        ValueError: there is none.
    """
    schema = meta.schema
    if meta.num_columns > WRITTEN_AT and schema.column(WRITTEN_AT).path == "assay_source":
        return WRITTEN_AT
    column: int = schema.names.index(
        "assay_source"
    )  # leaves in order; ours lies before any nested name like it
    return column


def _only_value(chunk: Any) -> str | None:
    """The one source of a row group; None if its statistics do not say."""
    stats = chunk.statistics
    if stats is None or not stats.has_min_max:
        return None
    least = stats.min
    return str(least) if least == stats.max else None
