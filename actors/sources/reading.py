"""From what a reader hands over to a batch, and from a refused file to its quarantine: the same for whoever reads."""

from __future__ import annotations

import pyarrow as pa

from actors.sources.catalogue import KnownFile
from actors.sources.chunk import Chunk, Reader, RefusedFrom, int64_array
from actors.sources.identity import Fingerprint
from core.batch import Batch, Quarantined
from core.errors import BadFile
from core.ranges import Ranges

OUTSIDE = ("E203", "E204")
"""Refusals of files that are none of ours to copy."""


def batch_of(known: KnownFile, chunk: Chunk, fd: int, reader: Reader, size: int) -> Batch:
    """The chunk as a batch; notes in ``known`` how far its file is read now.

    Args:
        size: bytes of the file.

    Raises:
        OSError: the bytes of its fingerprint cannot be read.
    """
    known.covered.add(*chunk.cover)
    known.line = (chunk.cover[1], chunk.line)
    known.print = Fingerprint.of(fd, reader.fingerprint_end(chunk.cover[1], size))
    known.parts = known.parts or bool(len(chunk.ordinals))
    return Batch(
        partition=known.partition, ordinals=int64_array(chunk.ordinals), ends=int64_array(chunk.ends), raw=chunk.raw,
        positions=chunk.positions, covers=(chunk.cover,), mark=known.mark(), content_type=reader.content_type,
        documents=chunk.documents, refused=chunk.refused,
    )  # fmt: skip


def quarantine(
    known: KnownFile, error: BadFile, stored: Ranges
) -> tuple[tuple[tuple[int, int], ...], Quarantined]:
    """What is done with once the rest of a file is refused, and the note about it; ``known`` is refused from now on.

    Args:
        stored: what was read of it.
    """
    end = known.limit or known.size or 1
    start = int(error.facts["start"]) if isinstance(error, RefusedFrom) else 0
    covers = tuple(stored.complement(0, end))
    known.refused, known.limit = True, end
    note = Quarantined(
        known.file, str(error), bytes_unread=known.size * max(0, end - start) // end,
        path=None if error.code in OUTSIDE else known.path,
    )  # fmt: skip
    return covers, note


def nothing_of(known: KnownFile, covers: tuple[tuple[int, int], ...], note: Quarantined) -> Batch:
    """A batch without records that says so."""
    none = pa.array([], pa.int64())
    return Batch(
        partition=known.partition, ordinals=none, ends=none, raw=pa.array([], pa.large_binary()),
        positions=pa.array([], pa.string()), covers=covers, mark=known.mark(),
        content_type="application/octet-stream", quarantined=(note,),
    )  # fmt: skip
