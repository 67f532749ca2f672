"""What a source reads: records as received, where each one stood, and what it takes to resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.ranges import Ranges

if TYPE_CHECKING:
    import pyarrow as pa

Mark = dict[str, Any]
"""A source's own note on one partition (path, inode, cursor …), JSON; committed with what it describes."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record is not perfect. ``path`` is a JSON pointer; ``got`` is shortened and masked."""

    path: str
    rule: str
    severity: str
    expected: str
    got: str
    message: str

    def as_dict(self) -> dict[str, str]:
        """In the order of the ``assay_reasons`` column."""
        return {
            "path": self.path, "rule": self.rule, "severity": self.severity,
            "expected": self.expected, "got": self.got, "message": self.message,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file or page that was refused as a whole (or from some byte on)."""

    what: str
    """Path relative to the source's root, or a page's address."""
    reason: str
    """One sentence with its code, as an operator should read it."""
    records: int = 0
    """Records that had been read from it and are counted as quarantined."""
    bytes_unread: int = 0
    path: str | None = None
    """Absolute path of the refused file; the store keeps a copy under ``quarantine/``."""


@dataclass(frozen=True, slots=True)
class Batch:
    """n >= 0 records of one partition, in reading order.

    A batch with no records still moves its covers and marks, so that a refused file or a header is done with.
    """

    partition: str
    ordinals: pa.Array
    """int64[n]: where each record starts (byte offset, Kafka offset, row number); the last part of its id."""
    ends: pa.Array
    """int64[n]: where each record ends, exclusive."""
    raw: pa.Array
    """large_binary[n]: the bytes as received, without the line ending."""
    positions: pa.Array
    """string[n]: the position in words, JSON, for people."""
    covers: tuple[tuple[int, int], ...]
    """Half-open ranges of the partition that are done with once this batch is stored: its records and whatever lies
    between them that is no record (a header, blank lines)."""
    mark: Mark
    content_type: str
    documents: pa.Array | None = None
    """large_binary[n]: one canonical JSON document a record where ``raw`` is not JSON; null for refused rows.
    None: the raw bytes are the documents."""
    refused: Mapping[int, Reason] = field(default_factory=dict)
    """Index -> why the source itself could make no document of that record (a ragged row, bad encoding)."""
    quarantined: tuple[Quarantined, ...] = ()
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    """Name -> bytes that are stored beside the manifest and handed back in ``Resume.attachments``."""
    repeats: int = 0
    """Rows read again on purpose (SQL look-back) and known: in no ledger, only in ``assay_source_events_total``."""

    def __len__(self) -> int:
        return len(self.ordinals)

    @property
    def size_bytes(self) -> int:
        """What the records weigh in memory."""
        size = int(self.raw.nbytes)
        return size + (int(self.documents.nbytes) if self.documents is not None else 0)


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a source goes on: what is stored of it, by partition."""

    coverage: Mapping[str, Ranges] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)


def large_binary(values: list[bytes | None]) -> pa.Array:
    """A large_binary array of ``values``."""
    import pyarrow as pa  # marks and reasons are also for stations that never load Arrow

    return pa.array(values, pa.large_binary())
