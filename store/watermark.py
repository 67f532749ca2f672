"""Which windows are closed: told from the log's own files, commit by commit, never from a clock or from memory.

A source is measured against itself. When commit *c* comes, the windows that ended *watermark* before the latest event
time that earlier commits hold of a record's source are closed to it. Records without an event time of their own
(arrival stands for it) close nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from core.frame import TIMESTAMP
from store.aggregate import SOURCE, TIME, read

_COLUMNS = {SOURCE: pa.string(), TIME: TIMESTAMP, "assay_arrived_at": TIMESTAMP}

Latest = dict[str, int]
"""source -> its latest event time, UTC µs"""


def latest(path: Path) -> Latest:
    """The latest event time of each source in one table file.

    Raises:
        OSError: the file is gone or cannot be read.
    """
    found: Latest = {}
    for batch in read(path, _COLUMNS):
        own = batch.filter(pc.not_equal(batch.column(TIME), batch.column("assay_arrived_at")))
        times = pa.table({"source": own.column(SOURCE), "time": own.column(TIME).cast(pa.int64())})
        for row in times.group_by("source", use_threads=False).aggregate([("time", "max")]).to_pylist():
            found[row["source"]] = max(row["time_max"], found.get(row["source"], row["time_max"]))
    return found


class Tide:
    """How far each source of a dataset had come before each commit.

    Args:
        high: what was known before the first of them.
    """

    def __init__(self, high: Mapping[str, int]) -> None:
        self.high: Latest = dict(high)
        self._before: dict[int, Latest] = {}

    def rise(self, commit: int, files: Iterable[Path]) -> None:
        """The next commit and its Gold files.

        Raises:
            OSError: a file cannot be read.
        """
        self._before[commit] = dict(self.high)
        for path in files:
            for source, time in latest(path).items():
                self.high[source] = max(time, self.high.get(source, time))

    def closed(self, commit: int, watermark_us: int) -> Latest:
        """source -> until when windows are closed to the records of this commit."""
        return {source: time - watermark_us for source, time in self._before.get(commit, {}).items()}
