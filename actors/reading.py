"""What a connector and the bridge say to each other about a source that Spark reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from core.ports import Attachment, SourceStatistics

ReadingState = Literal["waiting", "running", "drained", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How a reading stands; all counts since it began."""

    state: ReadingState = "waiting"
    """waiting: for Spark; failed: by ``error``."""
    read: tuple[int, ...] = ()
    """Records of each commit, in order, from the moment that all of it is staged. A commit is in the tables once the
    source's committed ``read`` reaches the sum up to it."""
    error: BaseException | None = None
    source: SourceStatistics = field(default_factory=SourceStatistics)
    events: int = 0
    scored: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    measures: dict[str, float | None] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    """Unknown fields seen, and the JSON type each came with."""
    arrived_us: tuple[int, ...] = ()
    """When the first record of each commit was read."""
    batch: dict[str, Any] | None = None
    """The last micro-batch or chunk, for the page."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read this source from there on."""

    source: str
    attachment: Attachment
