"""What a parquet file says about itself: the rows that a ledger counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def footer_rows(path: Path) -> dict[str, int]:
    """Rows by source.

    Read from the footer alone: a row group that the store writes holds one source, so its statistics name it.
    Only for a file that somebody else wrote is the column read.

    Raises:
        OSError: the file is gone or cannot be read (also when it is no parquet file).
    """
    try:
        meta = pq.read_metadata(path)
        column = meta.schema.names.index(
            "assay_source"
        )  # leaves in order; ours lies before any nested name like it
        sources = [_only_value(meta.row_group(at), column) for at in range(meta.num_row_groups)]
        if None in sources:
            return dict(Counter(pq.ParquetFile(path).read(["assay_source"]).column(0).to_pylist()))
    except (ValueError, IndexError) as error:  # ArrowInvalid: no parquet; or no such column
        raise OSError(f"`{path}` is no table file of Assay: {error}") from error
    found: Counter[str] = Counter()
    for at, source in enumerate(sources):
        found[str(source)] += meta.row_group(at).num_rows
    return dict(found)


def _only_value(group: Any, column: int) -> str | None:
    """The one source of a row group; None if its statistics do not say."""
    stats = group.column(column).statistics
    if stats is None or not stats.has_min_max or stats.min != stats.max:
        return None
    return str(stats.min)
