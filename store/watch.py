"""A look at the files of recent commits: has anybody changed them behind our back?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from core.ledger import Counts
from store.footer import footer_rows
from store.log import LiveFile
from store.placing import Places

WATCHED = 2_000

Seen = tuple[int, int, int]
"""size, mtime in ns, inode"""


@dataclass(slots=True)
class _Watched:
    live: LiveFile
    expected: dict[str, int]
    looked: bool = False
    seen: Seen | None = None
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changed:
    """One file that does not hold what its manifest says."""

    path: Path
    tier: str
    missing: dict[str, int]
    """source -> rows fewer than committed (negative: more)"""


class Watch:
    """Keeps an eye on the newest ``WATCHED`` files; what changed has its footer read again.

    The first look reads the footers of files that this process did not write, so that a change before its start
    shows too.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._files: deque[_Watched] = deque(maxlen=WATCHED)
        self._settled: dict[str, Counts] = {}

    def add(self, files: Iterable[LiveFile], *, trusted: bool) -> None:
        """Watch these too. ``trusted``: just written and counted, so only later changes are looked for."""
        for live in files:
            expected: dict[str, int] = {}
            for span in live.entry.spans:
                expected[span.source] = expected.get(span.source, 0) + span.rows
            watched = _Watched(live, expected)
            if trusted:
                self._trust(watched)
            if len(self._files) == WATCHED:
                self._retire(self._files[0])
            self._files.append(watched)

    def look(self) -> list[Changed]:
        """Look at every watched file once; the files that changed since the last look. Blocking, cheap."""
        found = []
        for watched in self._files:
            change = self._look_at(watched)
            if change is not None:
                found.append(change)
        return found

    def corrections(self) -> dict[str, Counts]:
        """source -> what to add to the manifests' counts so that they say what the files hold."""
        total = dict(self._settled)
        for watched in self._files:
            for source, missing in _missing(watched).items():
                total[source] = total.get(source, Counts()) - Counts(**{watched.live.entry.tier: missing})
        return total

    def _retire(self, watched: _Watched) -> None:
        """What was missing in a file that is looked at no more stays missing."""
        for source, missing in _missing(watched).items():
            self._settled[source] = self._settled.get(source, Counts()) - Counts(
                **{watched.live.entry.tier: missing}
            )

    def _trust(self, watched: _Watched) -> None:
        path = self._places.found_path(watched.live.entry)
        watched.seen = _stat(path) if path is not None else None
        watched.rows, watched.looked = dict(watched.expected), True

    def _look_at(self, watched: _Watched) -> Changed | None:
        entry = watched.live.entry
        path = self._places.final_path(entry)
        seen = _stat(path)
        if seen is None:
            path = self._places.staged_path(entry)
            seen = _stat(path)
        if watched.looked and seen == watched.seen:
            return None
        before = _missing(watched)
        try:
            watched.rows = footer_rows(path) if seen is not None else {}
        except OSError:
            watched.rows = {}
        watched.seen, watched.looked = seen, True
        missing = _missing(watched)
        return Changed(path, entry.tier, missing) if missing != before else None


def _missing(watched: _Watched) -> dict[str, int]:
    if not watched.looked:
        return {}
    sources = watched.expected.keys() | watched.rows.keys()
    found = {s: watched.expected.get(s, 0) - watched.rows.get(s, 0) for s in sources}
    return {source: rows for source, rows in found.items() if rows}


def _stat(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
