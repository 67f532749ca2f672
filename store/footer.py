"""What a parquet file says about itself: the rows that a ledger counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq


def footer_rows(path: Path) -> dict[str, int]:
    """Rows by source.

    Read from the footer alone: a row group that the store writes holds one source, so its statistics name it.
    Only for a file that somebody else wrote is the column read.

    Raises:
        OSError: the file is gone or cannot be read (also when it is no parquet file).
    """
    try:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            column = file.schema_arrow.names.index("assay_source")
            found: Counter[str] = Counter()
            for at in range(meta.num_row_groups):
                group = meta.row_group(at)
                source = _only_value(group, column)
                if source is None:
                    found.update(file.read_row_group(at, columns=["assay_source"]).column(0).to_pylist())
                else:
                    found[source] += group.num_rows
            return dict(found)
    except ValueError as error:  # ArrowInvalid: no parquet; or no such column
        raise OSError(f"`{path}` is no table file of Assay: {error}") from error


def _only_value(group: object, column: int) -> str | None:
    """The one source of a row group; None if its statistics do not say."""
    for at in range(group.num_columns):  # type: ignore[attr-defined]
        chunk = group.column(at)  # type: ignore[attr-defined]
        if chunk.path_in_schema == "assay_source":
            stats = chunk.statistics
            if stats is None or not stats.has_min_max or stats.min != stats.max:
                return None
            return str(stats.min)
    del column
    return None
