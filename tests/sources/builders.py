"""Input of every kind, and a source that reads it to its end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.sources.table import make
from config.models import FileSettings, SqlSettings
from core.batch import Batch, Resume
from core.ports import Source
from core.ranges import Ranges
from core.signals import Signal
from core.span import Span

FIELDS = {
    "id": frozenset({"integer"}),
    "name": frozenset({"string", "null"}),
    "qty": frozenset({"number", "null"}),
}


@dataclass
class Given:
    """Settings for one place, and what its sources said."""

    settings: FileSettings | SqlSettings
    signals: list[Signal] = field(default_factory=list)

    def source(self, *, follow: bool = False, span: Span | None = None) -> Source:
        return make("things", self.settings, follow=follow, span=span, fields=FIELDS, say=self.signals.append)

    def said(self, kind: str) -> list[str]:
        return [s.data["message"] for s in self.signals if s.type == kind]


def files(folder: Path, pattern: str = "*", **settings: Any) -> Given:
    return Given(
        FileSettings.model_validate(
            {"type": "file", "path": str(folder / pattern), "dataset": "things", **settings}
        )
    )


def table(path: Path, **settings: Any) -> Given:
    defaults = {
        "type": "sql",
        "url": f"sqlite:///{path}",
        "table": "things",
        "key": ["id"],
        "dataset": "things",
    }
    return Given(SqlSettings.model_validate({**defaults, **settings}))


def csv_of(rows: Iterable[int]) -> bytes:
    return b"id,name,qty\n" + b"".join(
        b'%d,"n, %d",%d.5\n' % (n, n, n) if n % 7 == 0 else b"%d,n%d,%d\n" % (n, n, n) for n in rows
    )


def jsonl_of(rows: Iterable[int]) -> bytes:
    return b"".join(b'{"id":%d,"name":"n%d"}\n%s' % (n, n, b"\n" if n % 5 == 0 else b"") for n in rows)


def parquet_to(path: Path, rows: Iterable[int], group: int = 7) -> None:
    ids = list(rows)
    pq.write_table(pa.table({"id": ids, "name": [f"n{n}" for n in ids]}), path, row_group_size=group)


def database_to(path: Path, rows: Iterable[int]) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT, at INTEGER)")
    database.executemany("INSERT INTO things VALUES (?, ?, ?)", [(n, f"n{n}", n // 4) for n in rows])
    return database


class Stored:
    """What a writer would have kept: coverage, marks, attachments, and the records."""

    def __init__(self) -> None:
        self.coverage: dict[str, Ranges] = {}
        self.marks: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, bytes] = {}
        self.records: dict[tuple[str, int], bytes] = {}
        self.batches: list[Batch] = []

    def take(self, batch: Batch) -> None:
        known = self.coverage.setdefault(batch.partition, Ranges())
        for start, end in batch.covers:
            assert not known.overlaps(start, end), "covered twice"
            known.add(start, end)
        self.marks[batch.partition] = json.loads(json.dumps(batch.mark))
        self.attachments |= batch.attachments
        shown = batch.documents if batch.documents is not None else batch.raw
        for ordinal, document, raw in zip(
            batch.ordinals.to_pylist(), shown.to_pylist(), batch.raw.to_pylist(), strict=True
        ):
            assert (batch.partition, ordinal) not in self.records, "read twice"
            self.records[batch.partition, ordinal] = document if document is not None else raw
        self.batches.append(batch)

    def resume(self) -> Resume:
        coverage = {partition: ranges.copy() for partition, ranges in self.coverage.items()}
        return Resume(coverage, dict(self.marks), dict(self.attachments))

    def values(self, name: str = "id") -> list[Any]:
        return [json.loads(document)[name] for document in self.records.values()]


async def drain(given: Given, stored: Stored | None = None, most: int | None = None) -> Stored:
    """Read in batch mode to the end, or for ``most`` batches, and store all of it."""
    stored = stored or Stored()
    source = given.source()
    await source.open(stored.resume())
    try:
        while most is None or most > 0:
            batch = await source.read()
            if batch is None:
                break
            stored.take(batch)
            most = None if most is None else most - 1
    finally:
        await source.close()
    return stored
