"""What a line and the bus say to each other: the first part of every message, as MessagePack arrays.

A frame's, signal's or post's own bytes follow as further parts and are never touched on the way.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["frame", "signal", "post"]
SYSTEM = "system"
KEPT = "settled."
"""Posts on these topics are cumulative: line and bus keep the last one, for who comes (back) later."""
STATS = "stats"


class Filter(msgspec.Struct, frozen=True, array_like=True):
    """What a subscriber wants. None: no condition."""

    topic: str | tuple[str, ...] = "*"
    """Exact, or with a trailing ``*``; several: any of them."""
    sources: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    tiers: tuple[int, ...] | None = None
    """Frames without a row of these tiers are left out; a frame that has some comes whole."""
    types: tuple[str, ...] | None = None
    """Of signals: exact, or with a trailing ``*``."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topic patterns, one or several."""
        return (self.topic,) if isinstance(self.topic, str) else self.topic


# ---- from a line to the bus
class Ping(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """I live, and have published ``sent`` frames to this boot of yours."""

    number: int
    boot: str
    sent: int


class Subscribe(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Give me these; the same ``id`` again is the same subscription after a break."""

    id: str
    name: str
    wanted: Filter
    lossless: bool
    durable: bool
    credit_frames: int
    credit_bytes: int
    keep: int
    """Lossy: items the bus holds before the oldest is dropped."""
    after: int | None
    """Number of the last delivery received, where ``lineage`` is still the bus's."""
    lineage: str


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """I want no more of it."""

    id: str


class Took(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """Credit: all deliveries up to ``taken`` were taken up, and up to ``done`` are never needed again."""

    id: str
    taken: int
    done: int


class Publish(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """One item. For frames ``boot`` and ``number`` (1, 2, 3 …) let the bus notice what was lost before it."""

    kind: Kind
    topic: str
    boot: str = ""
    number: int = 0


# ---- from the bus to a line
class Pong(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """Who I am, and how many of your frames I have seen in this boot."""

    number: int
    boot: str
    lineage: str
    """Changes when frames once taken may have been lost; with it every source needs a new epoch."""
    confirms: bool
    """Frames are kept on disk and confirmed one by one."""
    sent: int
    seen: int
    subscriptions: dict[str, int]
    """Yours that I know, and how many deliveries of each I have sent since you asked for it last."""


class Subscribed(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """You will get it from here on; ``resumed``: from where you stopped."""

    id: str
    resumed: bool


class Deliver(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """One item for one subscription."""

    id: str
    kind: Kind
    topic: str
    number: int
    """Rises over all topics; credit and resuming speak of it."""
    seq: int
    """1, 2, 3 … within the topic."""
    gap: int
    """Items this subscriber lost just before this one."""
    nth: int
    """1, 2, 3 … since it was (last) subscribed, so that a hole left by a broken connection shows."""


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Frames of this epoch up to ``seq`` are on disk."""

    source: str
    epoch: int
    seq: int


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A frame came without the one before it: send again what is not confirmed."""

    boot: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """The bus gave this subscription up."""

    id: str
    reason: str


ToBus = Ping | Subscribe | Unsubscribe | Took | Publish
FromBus = Pong | Subscribed | Deliver | Confirm | Refused | Ended

encode = msgspec.msgpack.Encoder().encode
decode_to_bus = msgspec.msgpack.Decoder(ToBus).decode
decode_from_bus = msgspec.msgpack.Decoder(FromBus).decode
