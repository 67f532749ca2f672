"""What a connector and the bridge say to each other about a source that Spark reads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core.ports import Attachment, SourceStatistics

KEPT = 64
"""Commits that a connector may be behind: it looks five times a second, and a commit takes longer."""
ReadingState = Literal["waiting", "running", "drained", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How a reading stands; all counts since it began."""

    state: ReadingState = "waiting"
    """waiting: for Spark; failed: by ``error``."""
    read: tuple[int, ...] = ()
    """Records of each commit, in order, from the moment that all of it is staged. A commit is in the tables once the
    source's committed ``read`` reaches the sum up to it. The newest ``KEPT`` only: a stream goes on for weeks."""
    first: int = 0
    """Number of the first commit in ``read``."""
    before: int = 0
    """Records of the commits before it."""
    error: BaseException | None = None
    source: SourceStatistics = field(default_factory=SourceStatistics)
    events: int = 0
    scored: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    measures: dict[str, float | None] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    """Unknown fields seen, and the JSON type each came with."""
    arrived_us: tuple[int, ...] = ()
    """When the first record of each commit in ``read`` was read."""
    batch: dict[str, Any] | None = None
    """The last micro-batch or chunk, for the page."""

    def with_commit(self, read: int) -> Progress:
        """One more commit is staged."""
        gone = max(0, len(self.read) + 1 - KEPT)
        return replace(
            self, read=(*self.read[gone:], read), arrived_us=(*self.arrived_us[gone:], 0),
            first=self.first + gone, before=self.before + sum(self.read[:gone]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read this source from there on."""

    source: str
    attachment: Attachment
