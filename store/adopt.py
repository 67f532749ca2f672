"""What tasks staged, held against what is stored, and its manifest."""

from __future__ import annotations

from collections.abc import Iterable

from core.batch import Mark
from core.errors import AssayError
from core.ledger import Counts
from core.ranges import Ranges
from store import quarantine
from store.layout import Layout
from store.log import CommitLog, State
from store.manifest import Covers, DatasetNote, Manifest, Origin
from store.placing import Places
from store.staged import StagedCommit, StagedFile


def covers_of(source: str, staged: StagedCommit) -> Covers:
    """The covers of all parts, merged.

    Raises:
        AssayError: E908, two parts cover the same ordinals.
    """
    found: dict[str, Ranges] = {}
    for partition, start, end in (cover for part in staged.parts for cover in part.covers):
        mine = found.setdefault(partition, Ranges())
        if mine.overlaps(start, end):
            raise _overlap(source, partition, start, end, "another part of the same commit")
        mine.add(start, end)
    merged = {partition: list(ranges) for partition, ranges in found.items() if ranges}
    return {source: merged} if merged else {}


def check(source: str, staged: StagedCommit, covers: Covers, state: State) -> None:
    """That the parts bring nothing twice: no cover is stored, and no file holds rows beyond the covers.

    Raises:
        AssayError: E908.
    """
    mine = covers.get(source, {})
    for partition, ranges in mine.items():
        stored = state.covered(source, partition)
        for start, end in ranges:
            if stored.overlaps(start, end):
                raise _overlap(source, partition, start, end, "what is stored")
    for span in (span for file in staged.files for span in file.entry.spans):
        said = mine.get(span.partition) if span.source == source else None
        if not said or span.start < said[0][0] or max(span.end, span.start + 1) > said[-1][1]:
            raise _overlap(
                source, span.partition, span.start, span.end, "ordinals that their commit does not cover"
            )


def check_files(places: Places, files: Iterable[StagedFile]) -> None:
    """That every file is where it was staged, and as long as it was.

    Raises:
        AssayError: E912.
    """
    for entry in (file.entry for file in files):
        path = places.staged_path(entry)
        try:
            size = path.stat().st_size
        except OSError:
            size = -1
        if size != entry.bytes:
            raise AssayError(
                f"staged file `{path}` is {'gone' if size < 0 else f'{size} bytes long'}, it should have {entry.bytes} "
                "bytes: the tasks must see the same warehouse directory as the writer; stage the rows again",
                code="E912",
            )  # fmt: skip


def manifest_of(
    number: int, origin: Origin, staged: StagedCommit, covers: Covers, *, at_us: int, log: CommitLog, layout: Layout
) -> Manifest:  # fmt: skip
    """The manifest of staged parts; their attachments are stored and refused files copied on the way.

    Raises:
        StoreUnavailable: E703, an attachment cannot be stored.
    """
    source, marks, attachments = origin.source, dict[str, Mark](), dict[str, str]()
    for part in staged.parts:
        marks.update(part.marks)
        for name, content in part.attachments.items():
            attachments[name] = log.attach(source, name, content)
    notes = [note for part in staged.parts for note in part.quarantined]
    return Manifest(
        commit=number, at_us=at_us, origin=[origin], files=[file.entry for file in staged.files], covers=covers,
        marks={source: marks} if marks else {}, counts={source: _counts(staged)},
        datasets={staged.dataset: DatasetNote(schema=staged.schema, rules=staged.rules)},
        attachments={source: attachments} if attachments else {},
        quarantined=[quarantine.keep(layout, source, note) for note in notes],
    )  # fmt: skip


def _counts(staged: StagedCommit) -> Counts:
    total = Counts()
    for part in staged.parts:
        refused = sum(note.records for note in part.quarantined)
        total += Counts(read=part.read, quarantined=refused, duplicate=part.duplicates)
    for file in staged.files:
        total += Counts(**{file.entry.tier: sum(file.counts.values())})
    return total


def _overlap(source: str, partition: str, start: int, end: int, what: str) -> AssayError:
    return AssayError(
        f"staged rows {start} to {end} of partition `{partition}` of `{source}` overlap {what}: nothing of them is "
        "committed; read again from what is stored", code="E908",
        facts={"source": source, "partition": partition},
    )  # fmt: skip
