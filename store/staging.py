"""From judged frames to staged parquet: the first half of a commit, which any process may do for a reserved number.

The writer's own windows and the tasks of an engine go through the same code, so their files are alike.
"""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from core.batch import Mark
from core.crash import crashpoint
from core.frame import Frame, QuarantineNote
from core.ranges import Ranges
from core.tiers import Tier
from store import table
from store.coverage import Delta, Fresh, Stored
from store.documents import Documents
from store.footer import footer_rows
from store.layout import Layout, file_name, partition_path, table_directory, table_name
from store.manifest import FileEntry
from store.placing import Places
from store.staged import Cover, StagedFile, StagedPart

DocumentsOf = Callable[[str, str], Documents]
"""(dataset, schema ref ``subject:version``) -> the decoder of its documents."""


def attempt_suffix() -> str:
    """A suffix that no other attempt at the same work has: a file name is never written twice."""
    return uuid.uuid4().hex[:12]


def trim(frames: Sequence[Frame], coverage: Mapping[str, Ranges]) -> tuple[list[Fresh], list[Cover]]:
    """Leave out the rows of one source's frames that stored coverage, or an earlier row, overlaps.

    Args:
        coverage: partition -> what is stored of it.

    Returns:
        The new rows of each frame, and what the frames cover beyond ``coverage``.
    """
    delta = Delta(Stored(coverage))
    fresh = [delta.take(frame) for frame in frames]
    covers = [
        (partition, start, end)
        for partitions in delta.beyond().values()
        for partition, ranges in partitions.items()
        for start, end in ranges
    ]
    return fresh, covers


def stage_part(
    frames: Sequence[Frame], coverage: Mapping[str, Ranges], layout: Layout, *, number: int, suffix: str,
    documents: DocumentsOf, keep_raw: str = "all",
) -> StagedPart:  # fmt: skip
    """Trim one source's frames and stage what is new of them for the commit ``number``.

    Args:
        suffix: unique to this attempt and call (``attempt_suffix``).
        keep_raw: ``all``, or ``bronze_rejected``: no ``assay_raw`` in Silver and Gold.

    Raises:
        StoreUnavailable: E706, neither warehouse nor fallback takes the files.
    """
    fresh, covers = trim(frames, coverage)
    marks: dict[str, Mark] = {}
    attachments: dict[str, bytes] = {}
    notes: list[QuarantineNote] = []
    for header in (frame.header for frame in frames):
        marks.update(header.marks)
        attachments.update(header.attachments)
        notes += header.quarantined
    files = stage(fresh, Places(layout), number, documents, suffix=suffix, keep_raw=keep_raw)
    crashpoint("staged.part")
    return StagedPart(
        files=files, read=sum(frame.header.read for frame in frames),
        duplicates=sum(one.duplicates for one in fresh), covers=covers, marks=marks, attachments=attachments,
        quarantined=notes,
    )  # fmt: skip


def stage(
    fresh: Sequence[Fresh], places: Places, number: int, documents: DocumentsOf, *,
    suffix: str = "", keep_raw: str = "all", pool: Executor | None = None,
) -> list[StagedFile]:  # fmt: skip
    """Write new rows below ``_staging``, one file a (dataset, schema version, tier, day); synced on return.

    Raises:
        StoreUnavailable: E706, neither warehouse nor fallback takes the files.
    """
    groups: dict[tuple[str, str], list[Fresh]] = defaultdict(list)
    for one in fresh:
        groups[one.frame.header.dataset, one.frame.header.schema].append(one)
    cut = [table.pieces(group, documents(*key)) for key, group in groups.items()]
    named = [
        (piece, file_name(number, at, suffix)) for at, piece in enumerate(itertools.chain.from_iterable(cut))
    ]
    if pool is None:
        staged = [_stage_one(piece, places, number, name, keep_raw) for piece, name in named]
    else:
        jobs = {
            name: pool.submit(_stage_one, piece, places, number, name, keep_raw)
            for piece, name in sorted(named, key=_work, reverse=True)  # long ones first: all end at once
        }
        try:
            staged = [jobs[name].result() for _, name in named]
        finally:
            for job in jobs.values():
                job.cancel()
    places.sync_staging([file.entry for file in staged])
    return staged


def _work(named: tuple[table.Piece, str]) -> int:
    """How long a file takes, as rows: typing one costs as much as writing it."""
    piece, _ = named
    return piece.rows * (2 if piece.tier >= Tier.SILVER else 1)


def _stage_one(piece: table.Piece, places: Places, number: int, name: str, keep_raw: str) -> StagedFile:
    piece = table.without_dropped(piece)
    rows = table.file_table(piece, number, keep_raw=keep_raw)
    tier = piece.tier.word
    home = table_name(tier, piece.of.dataset)
    place, path = places.stage(home, name, lambda path: table.write(path, rows))
    counted = footer_rows(path)
    table_version = piece.of.documents.version if piece.tier >= Tier.SILVER else 1
    directory = table_directory(tier, piece.of.dataset, table_version)
    entry = FileEntry(
        staged=places.relative_staged(home, name), place=place,
        path=f"{directory}/{partition_path(piece.year, piece.month, piece.day)}/{name}",
        tier=tier, dataset=piece.of.dataset, schema=piece.of.schema,
        year=piece.year, month=piece.month, day=piece.day,
        rows=sum(counted.values()), bytes=path.stat().st_size, spans=piece.spans(),
    )  # fmt: skip
    return StagedFile(entry=entry, counts=counted)
