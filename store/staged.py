"""What was staged elsewhere (Spark tasks) for a reserved commit number, and waits to be committed. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from core.batch import Mark
from core.header import QuarantineNote
from store.manifest import FileEntry

Cover = tuple[str, int, int]
"""(partition, start, end), half-open."""


class StagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One synced parquet file below a ``_staging``."""

    entry: FileEntry
    counts: dict[str, int]
    """source -> rows, from its footer"""


class StagedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one task did; travels as MessagePack (``packed``, ``unpacked``) or by pickle."""

    files: list[StagedFile] = []
    read: int = 0
    """Records accounted for: rows as read, repeats and quarantined ones included."""
    duplicates: int = 0
    """Rows left out because stored coverage, or an earlier row of the part, overlaps them."""
    covers: list[Cover] = []
    """Done with once this is committed; nothing of it is stored coverage."""
    marks: dict[str, Mark] = {}
    """partition -> mark"""
    attachments: dict[str, bytes] = {}
    quarantined: list[QuarantineNote] = []

    def packed(self) -> bytes:
        """As MessagePack."""
        return _encode(self)

    @classmethod
    def unpacked(cls, data: Any) -> StagedPart:
        """The reverse of ``packed``.

        Raises:
            msgspec.DecodeError: the bytes are no part.
        """
        return _decoder.decode(data)


class StagedCommit(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of one source's commit, and what they were made by."""

    parts: list[StagedPart]
    """In reading order: the later part's mark of a partition is kept."""
    dataset: str
    schema: str
    """``subject:version``"""
    rules: str
    """first 12 hex digits of the rules' content hash"""
    mode: Literal["micro-batch", "batch"]
    job: str
    """Which work of the engine this is, the same when it is tried again: ``<query id>/<batch id>``, ``<job>/<chunk>``."""

    @property
    def files(self) -> Iterable[StagedFile]:
        """The files of all parts."""
        return (file for part in self.parts for file in part.files)


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(StagedPart)
