"""A writer on a directory of its own, and a line that keeps what it said."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.dataset as ds

from actors.writer import Writer
from config.models import Storage
from config.models import Writer as WriterSettings
from core.ports import Settled
from core.signals import Signal
from schemas.columns import Column, columns

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "qty": {"type": "number"}},
}


class Line:
    """Records posts and signals."""

    def __init__(self) -> None:
        self.posts: list[Settled] = []
        self.signals: list[Signal] = []

    async def post(self, topic: str, body: bytes) -> None:
        settled = msgspec.msgpack.decode(body, type=Settled)
        assert topic == f"settled.{settled.source}"
        self.posts.append(settled)

    async def say(self, signal: Signal) -> None:
        self.signals.append(signal)

    def settled(self, source: str) -> int:
        """The newest seq settled of a source."""
        return max((post.seq for post in self.posts if post.source == source), default=0)

    def said(self, kind: str) -> list[Signal]:
        return [signal for signal in self.signals if signal.type == kind]


def plan(dataset: str, schema: str) -> Sequence[Column]:
    return columns(SCHEMA)


@contextlib.asynccontextmanager
async def a_writer(
    root: Path, *, mode: str = "event", storage: Storage | None = None, **settings: Any
) -> AsyncIterator[Writer]:
    """A started writer; its line is ``writer._line``."""
    writer = Writer(
        root, storage or Storage(root=root), WriterSettings(**{"window_s": 0.05, **settings}),
        mode=mode, plan=plan, line=Line(),
    )  # fmt: skip
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


def line_of(writer: Writer) -> Line:
    line = writer._line
    assert isinstance(line, Line)
    return line


def stored_ids(root: Path, tier: str = "*", dataset: str = "*") -> list[str]:
    """Ids in the tables, read with pyarrow alone, sorted."""
    found: list[str] = []
    for table in sorted((root / "warehouse").glob(f"{tier}_{dataset}")):
        found += (
            ds.dataset(table, partitioning="hive", exclude_invalid_files=False)
            .to_table(["assay_id"])["assay_id"]
            .to_pylist()
        )
    return sorted(found)
