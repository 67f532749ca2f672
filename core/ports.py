"""The seams between stations: what each one needs of the others, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from core.batch import Batch, Mark, Reason, Resume
from core.ledger import Counts
from core.signals import Signal

if TYPE_CHECKING:
    import pyarrow as pa

    from core.frame import Frame


class Source(Protocol):
    """Somewhere records come from. One written contract for every system.

    Life: ``open`` once, then ``read`` and ``ack`` in turn, then ``close``. One task drives a source, so
    implementations need no locks; they block the loop nowhere (files and drivers without asyncio go to a thread).
    Reading and acknowledging are two acts: what was read and not acknowledged is read again after a crash.
    """

    async def open(self, resume: Resume) -> None:
        """Connect, and stand before the first record that ``resume`` does not cover.

        Raises:
            SourceUnavailable: call again after a wait (the source is down; a glob matches nothing).
            ConfigError, Permanent: calling again is of no use.
        """

    async def read(self) -> Batch | None:
        """The next batch, in order within each partition.

        Waits for at least one record (or for a header, a refused file: a batch without records). None: drained,
        only when the source does not follow its system. Cancelling a ``read`` loses nothing.

        Raises:
            SourceUnavailable: call ``close``, wait, and ``open`` again.
        """

    async def ack(self, marks: Mapping[str, Mark]) -> None:
        """These marks, by partition, are committed: the source may forget what lies before them."""

    async def close(self) -> None:
        """Let go of everything. Safe twice, and after a failed ``open``."""

    def statistics(self) -> SourceStatistics:
        """Numbers of now; cheap, never raises."""


class SourceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a source knows about itself."""

    lag_records: int | None = None
    lag_seconds: float | None = None
    bytes_read: int = 0
    bytes_total: int | None = None
    """For progress bars, where the source knows its end."""
    partitions: int = 0
    detail: str = ""
    """One short phrase for the page: ``3 of 12 files``, ``cursor 2026-11-22``."""
    waiting: str | None = None
    """In a sentence, what it waits for though nothing failed: no file matches yet. None: it has something to read."""


class Judge(Protocol):
    """One schema and its rules, compiled (docs/quality.md)."""

    kernel: str
    version: str
    """First 12 hex digits of the content hash of everything that decides a verdict but the schema."""
    arrow_schema: pa.Schema

    def judge(
        self,
        data: Any,
        offsets: Any = None,
        *,
        now_us: int,
        columns: bool = False,
        reasons: bool = True,
        refused: Mapping[int, Reason] | None = None,
    ) -> pa.RecordBatch:
        """Judge n documents.

        Args:
            data: the documents' bytes, one after the other (bytes, memoryview or pa.Buffer).
            offsets: int64[n+1] buffer of where each one starts; None: newline-delimited.
            now_us: arrival of the batch, UTC µs; the clock of datasets with ``clock: arrival``.
            refused: index -> reason, for records of which the source could make no document.

        Returns:
            n rows, columns ``core.frame.JUDGED_SCHEMA``. Never raises on what the documents hold.
        """


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer answers a connector that asks where to go on."""

    boot: str
    """Which life of the writer answered; another one means: ask again."""
    epoch: int
    resume: Resume
    base: Counts
    """The source's committed counts, from the manifests."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The writer's word to a source: all frames of this epoch up to ``seq`` are committed. Cumulative."""

    boot: str
    source: str
    epoch: int
    seq: int
    commit: int
    counts: Counts
    """The source's committed counts for the life of the data directory; tiers from the parquet footers."""


class WriterDesk(Protocol):
    """What a connector asks of the writer. A control call; records go over the bus."""

    async def attach(self, source: str) -> Attachment:
        """Commit what is held of ``source``, fence its old epoch, give a new one and the resume point."""


class Bus(Protocol):
    """A station's own line to the bus actor."""

    async def send(self, frame: Frame) -> None:
        """Publish a frame; returns when the line has taken it.

        Raises:
            BusLost: the bus died and forgot; take a new epoch.
        """

    async def say(self, signal: Signal) -> None:
        """Publish a signal on ``system``."""

    async def post(self, topic: str, body: bytes) -> None:
        """Publish small control bytes (``settled.<source>``, ``stats``), unordered against frames."""

    async def accept_boot(self) -> None:
        """Wait until a bus is there and begin to publish to it anew, in a new epoch."""

    async def until_lost(self) -> None:
        """Wait until the bus may have forgotten frames."""


class Commits(Protocol):
    """Read-only view of the commit log for those who follow it."""

    def last(self) -> int:
        """Number of the newest commit, 0 if none."""

    def after(self, commit: int, limit: int = 1000) -> Sequence[Any]:
        """Manifests with larger numbers, in order."""
