"""Is what lies on disk what the commit log says? And what can be put right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.aggregation import is_aggregate
from core.errors import StoreUnavailable
from store.footer import footer_rows
from store.index import Index
from store.layout import STAGING, Layout, commit_of
from store.log import CommitLog, LiveFile, read_checkpoint
from store.placing import Places, recover, staged_files
from store.reserving import Reservations


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """``manifest``, ``checkpoint``, ``missing``, ``rows``, ``unknown``, ``staging``, ``waiting``, ``index``,
    ``reserved``"""
    place: str
    what: str


def check(layout: Layout, *, running: bool = False) -> list[Finding]:
    """Look at everything; changes nothing. Costs one footer a file.

    Args:
        running: a run is at work on it, so commits that are made meanwhile are no findings.
    """
    log = CommitLog(layout.root)
    files: list[LiveFile] = []
    found = list(_manifests(log, files))
    places = Places(layout)
    found += _files(places, files)
    strange = [*_unknown(layout, places, files), *_staging(layout, places, files)]
    known = {None, *(live.commit for live in files)}
    found += [one for one in strange if not running or commit_of(Path(one.place).name) in known]
    found += [] if running else [*_reserved(log), *_index(layout, log)]
    return found


def repair(layout: Layout) -> list[str]:
    """Void what was reserved, roll manifests forward, sweep staging, make the index anew. For a directory that no run is at work on.

    Returns:
        What was done, one sentence each.

    Raises:
        StoreUnavailable: the log is damaged: nothing is touched then.
    """
    log, places = CommitLog(layout.root), Places(layout)
    log.state()
    voided = Reservations(log).recover(time.time_ns() // 1000)
    done = recover(layout, log, places)
    said = [f"{done.renamed} files put in place, {done.swept} leftovers removed, {done.waiting} still wait"]
    said += [f"commit {number} was reserved and never made: it is void now" for number in voided]
    for path in sorted(log.directory.glob("checkpoint-*.json")):
        if _damage(path) is not None:
            path.unlink()
            said.append(f"damaged checkpoint {path.name} removed")
    Index(layout).catch_up()
    said.append("index brought up to the log")
    return said


def _manifests(log: CommitLog, files: list[LiveFile]) -> Iterator[Finding]:
    numbers = log.numbers()
    for missing in sorted(set(range(1, (numbers or [0])[-1] + 1)) - set(numbers)):
        if not log.path(missing).exists() and not log.reserved_path(missing).exists():
            yield Finding("manifest", str(log.path(missing)), "is missing: restore it from a backup")
    for number in numbers:
        try:
            manifest = log.read(number)
        except StoreUnavailable as error:
            yield Finding("manifest", str(log.path(number)), error.message)
            continue
        files += [LiveFile(commit=number, entry=entry) for entry in manifest.files]
        if manifest.commit != number:
            yield Finding("manifest", str(log.path(number)), f"says that it is commit {manifest.commit}")
        for name in (name for names in manifest.attachments.values() for name in names.values()):
            if not (log.attachments / name).exists():
                yield Finding("manifest", str(log.path(number)), f"attachment {name} is missing")
    for path in sorted(log.directory.glob("checkpoint-*.json")):
        if (damage := _damage(path)) is not None:
            yield Finding(
                "checkpoint", str(path), f"{damage}; --repair removes it, the manifests say the same"
            )


def _damage(path: Path) -> str | None:
    try:
        read_checkpoint(path)
    except StoreUnavailable as error:
        return error.message
    return None


def _files(places: Places, files: list[LiveFile]) -> Iterator[Finding]:
    for entry in (live.entry for live in files):
        path = places.found_path(entry)
        if path is None:
            yield Finding(
                "missing", str(places.final_path(entry)), f"{entry.rows} rows are gone: restore the file"
            )
            continue
        if path != places.final_path(entry):
            yield Finding(
                "waiting", str(path), f"{entry.rows} rows wait for their place; --repair or a run moves them"
            )
        try:
            rows = sum(footer_rows(path).values())
        except OSError as error:
            yield Finding("rows", str(path), str(error))
            continue
        if rows != entry.rows:
            yield Finding("rows", str(path), f"holds {rows} rows, its manifest says {entry.rows}")


def _unknown(layout: Layout, places: Places, files: list[LiveFile]) -> Iterator[Finding]:
    """Visible files that no manifest names: Hive would count their rows."""
    known = {places.final_path(live.entry) for live in files}
    for path in sorted(layout.warehouse.glob("*_*/**/*")):
        parts = path.relative_to(layout.warehouse).parts
        hidden = any(part.startswith(("_", ".")) for part in parts) or is_aggregate(parts[0])
        if path.is_file() and not hidden and path not in known:
            yield Finding("unknown", str(path), "no manifest names it: move it out of the warehouse")


def _staging(layout: Layout, places: Places, files: list[LiveFile]) -> Iterator[Finding]:
    meant = {places.staged_path(live.entry) for live in files}
    for place in (layout.warehouse, layout.fallback):
        for path in staged_files(place):
            if path not in meant:
                number = commit_of(path.name)
                of = f"of commit {number}" if number else "of no commit"
                yield Finding(
                    "staging", str(path), f"a leftover {of} in {STAGING}; --repair or a run removes it"
                )


def _reserved(log: CommitLog) -> Iterator[Finding]:
    """Numbers that a dead writer left open."""
    for path in sorted(log.directory.glob("*.reserved")):
        made = path.with_suffix(".json").exists()
        what = "a leftover of a commit that was made" if made else "its commit was begun and never made"
        yield Finding("reserved", str(path), f"{what}; --repair or a run {'removes' if made else 'voids'} it")


def _index(layout: Layout, log: CommitLog) -> Iterator[Finding]:
    newest, last = Index(layout).newest(), log.whole()
    if newest != last:
        yield Finding(
            "index", str(layout.state / "index.sqlite"), f"holds commits up to {newest} of {last}; --repair"
        )
