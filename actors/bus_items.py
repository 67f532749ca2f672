"""What the bus holds: items with their parts in memory, on disk, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.bus_messages import Filter, Kind
from core.frame import Header


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
