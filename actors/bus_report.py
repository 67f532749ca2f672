"""What the bus tells about itself: subscribers, and how much goes over each topic."""

from __future__ import annotations

import time

import msgspec

from actors.bus_items import Item
from actors.bus_subscribers import Lossless, Subscriber


class SubscriberStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One subscriber of now."""

    name: str
    topics: tuple[str, ...]
    lossless: bool
    durable: bool
    credit_frames: int
    """How many more items may be sent to it."""
    waiting: int
    waiting_bytes: int
    held_bytes: int
    """What it keeps the bus from forgetting: waiting, and sent but not yet taken up (disk: done)."""
    delivered: int
    lost: int

    @classmethod
    def of(cls, one: Subscriber) -> SubscriberStatistics:
        """The numbers of one subscriber."""
        return cls(
            name=one.asked.name, topics=one.asked.wanted.topics, lossless=one.asked.lossless,
            durable=one.asked.durable, credit_frames=max(0, one.asked.credit_frames - one.flying),
            waiting=len(one.waiting), waiting_bytes=one.waiting_bytes,
            held_bytes=one.held_bytes if isinstance(one, Lossless) else one.waiting_bytes,
            delivered=one.delivered, lost=one.lost,
        )  # fmt: skip


class TopicStatistics(msgspec.Struct, kw_only=True):
    """Totals since this life of the bus began; rates over the last seconds."""

    items: int = 0
    rows: int = 0
    bytes: int = 0
    items_per_s: float = 0.0
    rows_per_s: float = 0.0
    bytes_per_s: float = 0.0


class BusStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The bus of now."""

    boot: str
    lineage: str
    queue: str
    lines: int
    subscribers: list[SubscriberStatistics]
    ended: int
    """Lossless subscribers given up so far."""
    topics: dict[str, TopicStatistics]
    queue_bytes: int
    """What the log takes on disk (``bus.queue: disk``)."""
    damaged: int
    """Damaged places found in the log when the bus started."""


class Topics:
    """Counts and numbers what goes over each topic."""

    def __init__(self) -> None:
        self.seqs: dict[str, int] = {}
        self._totals: dict[str, TopicStatistics] = {}
        self._before: dict[str, tuple[int, int, int]] = {}
        self._at = time.monotonic()

    def count(self, item: Item) -> int:
        """Count an item in; returns its number within the topic (1, 2, 3 …)."""
        total = self._totals.get(item.topic)
        if total is None:
            total = self._totals[item.topic] = TopicStatistics()
        total.items += 1
        total.bytes += item.size
        if item.header is not None:
            total.rows += item.header.rows
        seq = self.seqs[item.topic] = self.seqs.get(item.topic, 0) + 1
        return seq

    def tick(self, now: float) -> None:
        """Take the rates since the last tick, smoothed over about two seconds."""
        passed = now - self._at
        if passed <= 0:
            return
        weight = min(1.0, passed / 2)
        for topic, total in self._totals.items():
            items, rows, size = self._before.get(topic, (0, 0, 0))
            total.items_per_s += weight * ((total.items - items) / passed - total.items_per_s)
            total.rows_per_s += weight * ((total.rows - rows) / passed - total.rows_per_s)
            total.bytes_per_s += weight * ((total.bytes - size) / passed - total.bytes_per_s)
            self._before[topic] = (total.items, total.rows, total.bytes)
        self._at = now

    def statistics(self) -> dict[str, TopicStatistics]:
        """By topic."""
        return dict(self._totals)
