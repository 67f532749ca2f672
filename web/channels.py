"""What a browser can subscribe to, and the frames made of it. No sockets here.

``flow`` and ``metrics`` are state: a subscription sees the newest only, however much it missed. ``events`` is a
record: frames say which numbers they cover (after ``prev`` up to ``seq``), and what fell out of the ring is
told as a gap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from web.feed import Feed
from web.view import flow

CHANNELS = ("flow", "metrics", "events")
EVENT_QUEUE = 500
LEVEL_ORDER = ("info", "warning", "error")
encode = msgspec.json.encode


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events a browser wants; all conditions hold together."""

    level: str = "info"
    """This one and worse."""
    source: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    q: str = ""

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Whether an event passes."""
        if LEVEL_ORDER.index(event.get("level", "info")) < LEVEL_ORDER.index(self.level):
            return False
        if self.source and event["subject"] not in self.source:
            return False
        if self.type and event["type"] not in self.type:
            return False
        said = f"{event['type']} {event['subject']} {event.get('data', {}).get('message', '')}"
        return self.q.lower() in said.lower()


class Screen:
    """The feed as all browsers see it: looked at once a version, and encoded once, whoever asks."""

    def __init__(self, feed: Feed, wall: Callable[[], float] = time.time) -> None:
        self.feed = feed
        self._wall = wall
        self._version = -1
        self._snapshot: Mapping[str, Any] = {}
        self._flow: bytes | None = None

    def flow(self) -> bytes:
        """JSON of ``web.view.flow``."""
        snapshot = self._look()
        if self._flow is None:
            self._flow = encode(flow(snapshot, int(self._wall() * 1000)))
        return self._flow

    def points(self) -> Sequence[Mapping[str, Any]]:
        """The series, oldest first."""
        points: Sequence[Mapping[str, Any]] = self._look()["live"]["series"]
        return points

    def _look(self) -> Mapping[str, Any]:
        if self._version != self.feed.version():
            self._version, self._snapshot, self._flow = self.feed.version(), self.feed.snapshot(), None
        return self._snapshot


class Channel(Protocol):
    """One subscription: what it has seen, and what it gets next."""

    def snap(self) -> bytes:
        """Everything, as the first frame or after ``resync``."""

    def due(self) -> list[bytes]:
        """Frames for what changed since the last one; none when nothing did."""

    @property
    def merged(self) -> int:
        """Versions that a newer one replaced before they were sent."""


class FlowChannel:
    """The newest state, never a queue."""

    def __init__(self, id_: str, screen: Screen) -> None:
        self._id, self._screen = id_, screen
        self._seq = 0
        self._seen = 0
        self.merged = 0

    def snap(self) -> bytes:
        """See ``Channel``."""
        return self._frame("snap")

    def due(self) -> list[bytes]:
        """See ``Channel``."""
        missed = self._screen.feed.version() - self._seen
        if missed <= 0:
            return []
        self.merged += missed - 1
        return [self._frame("d")]

    def _frame(self, kind: str) -> bytes:
        self._seen = self._screen.feed.version()
        self._seq += 1
        return framed(kind, self._id, "flow", seq=self._seq, prev=self._seq - 1, data=self._screen.flow())


class MetricsChannel:
    """Points of the charts, those that came since the last frame."""

    merged = 0

    def __init__(self, id_: str, screen: Screen) -> None:
        self._id, self._screen = id_, screen
        self._seq = 0
        self._last_at = -1

    def snap(self) -> bytes:
        """See ``Channel``."""
        return self._frame("snap", self._screen.points())

    def due(self) -> list[bytes]:
        """See ``Channel``."""
        fresh = [point for point in self._screen.points() if point["at"] > self._last_at]
        return [self._frame("d", fresh)] if fresh else []

    def _frame(self, kind: str, points: Sequence[Mapping[str, Any]]) -> bytes:
        self._last_at = points[-1]["at"] if points else self._last_at
        self._seq += 1
        return framed(kind, self._id, "metrics", seq=self._seq, prev=self._seq - 1, data=encode(points))


class EventsChannel:
    """Every signal in order, as far back as the ring goes."""

    merged = 0

    def __init__(self, id_: str, screen: Screen, wanted: Filter, since: int | None = None) -> None:
        self._id, self._feed, self._wanted = id_, screen.feed, wanted
        self._seen = since

    def snap(self) -> bytes:
        """See ``Channel``; with ``since`` only what came after it."""
        events = self._feed.events(EVENT_QUEUE)
        last = events[-1]["n"] if events else 0
        known, self._seen = self._seen, last
        news = [
            event for event in events if (known is None or event["n"] > known) and self._wanted.wants(event)
        ]
        return framed("snap", self._id, "events", seq=last, prev=known or 0, data=encode(news))

    def due(self) -> list[bytes]:
        """See ``Channel``."""
        events = self._feed.events(EVENT_QUEUE)
        seen = self._seen or 0
        if not events or events[-1]["n"] <= seen:
            return []
        missed = max(0, events[0]["n"] - seen - 1)
        self._seen = events[-1]["n"]
        news = [event for event in events if event["n"] > seen and self._wanted.wants(event)]
        gap = [encode({"t": "gap", "id": self._id, "ch": "events", "missed": missed})] if missed else []
        return [*gap, framed("d", self._id, "events", seq=self._seen, prev=seen + missed, data=encode(news))]


def framed(kind: str, id_: str, channel: str, *, seq: int, prev: int, data: bytes) -> bytes:
    """A message around data that are JSON already."""
    head = encode({"t": kind, "id": id_, "ch": channel, "seq": seq, "prev": prev})
    return head[:-1] + b',"data":' + data + b"}"


def channel(name: str, id_: str, screen: Screen, wanted: Filter, since: int | None) -> Channel:
    """A subscription by its channel's name, one of ``CHANNELS``."""
    match name:
        case "flow":
            return FlowChannel(id_, screen)
        case "metrics":
            return MetricsChannel(id_, screen)
        case _:
            return EventsChannel(id_, screen, wanted, since)
