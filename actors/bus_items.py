"""What the bus holds: items with their parts in memory, on disk, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.bus_messages import Filter, Kind
from core.header import Header


class Place(NamedTuple):
    """Where an item's bytes lie on disk."""

    segment: int
    start: int
    length: int


@dataclass(slots=True)
class Item:
    """One frame, signal or post on its way. Shared by all who get it; never changed once routed."""

    kind: Kind
    topic: str
    number: int
    seq: int
    size: int
    parts: Sequence[Any] | None
    """As they came from the socket; None: only on disk."""
    place: Place | None = None
    header: Header | None = None
    """Of a frame, until it is routed."""
    type: str = ""
    """Of a signal."""
    spilled: bool = False
    """A subscriber's own copy that goes to its backlog."""

    def without_parts(self) -> Item:
        """The same, its bytes left on disk."""
        return Item(self.kind, self.topic, self.number, self.seq, self.size, None, self.place)


STEP = 1 << 22
"""Between two frames' numbers there is room for so many signals and posts."""


class Numbers:
    """Numbers deliveries so that they rise in the order of routing.

    A frame's number is fixed before it is written to the log, and signals overtake it meanwhile; so frames take
    whole steps, and what is routed between two frames takes the numbers between theirs. The clock is where they
    begin: they go on rising over restarts.
    """

    def __init__(self, clock_s: float) -> None:
        self._frame = int(clock_s * 1000) * STEP
        self._routed = self._frame

    def reserve(self) -> int:
        """For a frame that will be routed later, after all that were reserved before."""
        self._frame = (max(self._frame, self._routed) // STEP + 1) * STEP
        return self._frame

    def routed(self, number: int) -> None:
        """The frame of this number goes out now (or did so in an earlier life)."""
        self._routed = max(self._routed, number)

    @property
    def last(self) -> int:
        """Of what was routed last."""
        return self._routed

    def small(self) -> int:
        """For a signal or post that goes out now."""
        self._routed += 1
        return self._routed


def wants(wanted: Filter, item: Item) -> bool:
    """Whether an item passes a filter. Conditions on frames do not touch signals and posts, and the reverse."""
    if not any(_matches(pattern, item.topic) for pattern in wanted.topics):
        return False
    if item.kind == "signal":
        return wanted.types is None or any(_matches(pattern, item.type) for pattern in wanted.types)
    header = item.header
    if header is None:
        return True
    if wanted.sources is not None and header.source not in wanted.sources:
        return False
    if wanted.datasets is not None and header.dataset not in wanted.datasets:
        return False
    return wanted.tiers is None or any(header.tiers[tier] for tier in wanted.tiers)


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == text
