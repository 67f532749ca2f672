"""What the driver and the tasks of an engine say to each other, and what a kind of source is to them. No pyspark here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec
import pyarrow as pa

from core.batch import Batch, Resume
from core.errors import AssayError, Permanent, SourceUnavailable, StoreUnavailable
from core.ports import Settled, SourceStatistics
from core.span import Span
from schemas.columns import Column
from store.layout import Layout
from store.staged import StagedCommit, StagedPart


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What a task could not read, and must not be read again as it is."""

    partition: str
    start: int
    """From this ordinal on."""
    what: Literal["refused", "gone"]
    """refused: it is to be quarantined; gone: it is not there any more, or is not what was planned."""
    code: str = ""
    message: str = ""
    facts: dict[str, Any] = {}


class Reader(Protocol):
    """Makes batches inside a task. Pickles."""

    def __call__(self, rows: Iterator[pa.RecordBatch]) -> Iterator[Batch | Trouble]:
        """Batches of the rows of one Spark partition, in reading order.

        Raises:
            AssayError: the work cannot be done now; all of it is tried again.
        """


@dataclass(frozen=True, slots=True)
class Job:
    """What a task must know beside what it reads. Plain values; pickles."""

    source: str
    dataset: str
    mode: Literal["micro-batch", "batch"]
    epoch: int
    schema: str
    """``subject:version``"""
    document: bytes
    """The JSON Schema."""
    rules: Mapping[str, Any]
    """The dataset's entry of the configuration."""
    columns: tuple[Column, ...]
    """Typed columns of the tables."""
    layout: Layout
    keep_raw: str = "all"
    span: Span | None = None
    number: int = 0
    """The commit's; set for each work."""
    coverage: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    """What is stored of the partitions that the work may touch."""


@dataclass(frozen=True, slots=True)
class Work:
    """What becomes one commit."""

    frame: Callable[[Any], Any]
    """spark session -> DataFrame; one task a partition."""
    reader: Reader
    tasks: int
    size_bytes: int
    """About; for limits and progress."""
    partitions: frozenset[str] | None = None
    """The source partitions it may touch; None: any, so the tasks are told of all coverage."""
    items: Any = None
    """A kind's own note."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error on its way from a task to the driver."""

    kind: Literal["source", "store", "permanent", "other"]
    code: str
    message: str

    @classmethod
    def of(cls, error: AssayError) -> Failure:
        """Of what a task raised."""
        kind: Literal["source", "store", "permanent", "other"] = "other"
        if isinstance(error, SourceUnavailable):
            kind = "source"
        elif isinstance(error, StoreUnavailable):
            kind = "store"
        elif isinstance(error, Permanent):
            kind = "permanent"
        return cls(kind=kind, code=error.code, message=error.message)

    def error(self) -> AssayError:
        """The same again."""
        made: dict[str, type[AssayError]] = {
            "source": SourceUnavailable, "store": StoreUnavailable, "permanent": Permanent,
        }  # fmt: skip
        return made.get(self.kind, AssayError)(self.message, self.code)


class Outcome(msgspec.Struct, kw_only=True):
    """What one task did."""

    task: int = 0
    parts: list[StagedPart] = []
    troubles: list[Trouble] = []
    failure: Failure | None = None
    events: int = 0
    """Records read, repeats included."""
    scored: dict[str, int] = {}
    """tier word -> records"""
    rules: dict[str, int] = {}
    """rule -> rejected records"""
    measures: dict[str, float | None] = {}
    """Mean of each measure over its last batch."""
    fields: dict[str, str] = {}
    """Unknown fields and the JSON type each came with."""
    arrived_us: int = 0
    """When its first batch was read."""

    def packed(self) -> bytes:
        """As MessagePack."""
        return _encode(self)

    @classmethod
    def unpacked(cls, data: Any) -> Outcome:
        """The reverse of ``packed``."""
        return _decode(data)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Outcome).decode


class Desk(Protocol):
    """The writer, as the engine's threads call it. Blocking.

    Raises (every call):
        Fenced: the source has a newer epoch. StoreUnavailable: say it again.
    """

    def reserve(self) -> int:
        """A commit number for rows of this source and epoch."""

    def commit(self, number: int, staged: StagedCommit) -> Settled:
        """Commit what was staged for it."""

    def release(self, number: int) -> None:
        """Give it back."""


class Again(Exception):
    """The work cannot be committed as it was done: do this instead."""

    def __init__(self, work: Work | None) -> None:
        super().__init__("the work is cut short")
        self.work = work


class Kind(Protocol):
    """A kind of source, as the driver of an engine sees it. One thread at a time."""

    def restore(self, resume: Resume) -> None:
        """Go on here; first call.

        Raises:
            SourceUnavailable: it is not there now. ConfigError, Permanent: it never will be.
        """

    def plan(self, limit_bytes: int) -> Work | None:
        """The next work, of about so many bytes at most; None: nothing (more) now.

        Raises:
            SourceUnavailable: call ``restore`` again after a wait.
        """

    def settle(
        self, work: Work, troubles: Sequence[Trouble], parts: Sequence[StagedPart]
    ) -> list[StagedPart]:
        """Parts to commit besides: what is done with because it was refused.

        Raises:
            Again: something that was staged must not be committed.
        """

    def committed(self, work: Work, parts: Sequence[StagedPart]) -> None:
        """All of the work is in the tables."""

    def statistics(self) -> SourceStatistics:
        """Numbers of now."""

    def close(self) -> None:
        """Let go of everything; safe twice."""
