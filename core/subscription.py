"""One subscription as its reader sees it: an async iterator that gives credit back as it is read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from core.bus_messages import Deliver, Filter, Kind, Subscribe, Took
from core.errors import AssayError
from core.signals import Signal, decode

if TYPE_CHECKING:
    from core.frame import Frame


class Delivery(msgspec.Struct, kw_only=True):
    """One item from the bus."""

    topic: str
    kind: Kind
    number: int
    """Rises from delivery to delivery over all topics; what ``done`` speaks of."""
    seq: int
    """1, 2, 3 … within the topic; with ``bus.queue: disk`` it goes on after a restart of the bus."""
    gap: int = 0
    """Lossy subscribers: how many items were dropped just before this one."""
    frame: Frame | None = None
    signal: Signal | None = None
    body: bytes | None = None
    """Of a post."""
    life: int = 0
    """Rises when the bus forgets; ``done`` with an item from before means nothing to it."""


class Subscription:
    """Items in the bus's order. Made by ``Line.subscribe``; read by one task.

    Asking for the next item says that the one before was taken up. With ``by_hand`` the reader says ``done``
    itself, as the writer does once a frame is committed; else asking for the next item says that too.
    What is not done when the reader's process dies comes again to the next reader of the same name
    (``bus.queue: disk``; with ``memory``: what was not taken up).

    Raises (from ``async for``):
        SubscriptionEnded: the bus gave this subscriber up; what follows is only in the tables.
    """

    def __init__(
        self,
        asked: Subscribe,
        tell: Callable[[Took], None],
        leave: Callable[[str], None],
        *,
        by_hand: bool,
        keeps_place: bool,
    ) -> None:
        self.id = asked.id
        self.name = asked.name
        self.lost = 0
        """Items dropped by the bus so far (lossy subscribers)."""
        self.restarts = 0
        """How often the bus came back and this subscription began anew."""
        self._asked = asked
        self._by_hand = by_hand
        self._keeps_place = keeps_place
        self._tell = tell
        self._leave = leave
        self._ready: deque[tuple[Deliver, list[Any]]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.accepted = False
        """The bus has said yes."""
        self._life = 0
        self.nth = 0
        """Deliveries since it was last accepted."""
        self._end: AssayError | None = None
        self._closed = False
        self._received = 0
        self._at = self._taken = self._done = 0
        self._told = (0, 0)
        self._untold_frames = self._untold_bytes = self._at_bytes = 0

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Delivery:
        self._finish_last()
        while not self._ready:
            if self._end is not None:
                raise self._end
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._next()

    def take_ready(self) -> Delivery | None:
        """The next item if one is here already, without waiting."""
        self._finish_last()
        return self._next() if self._ready else None

    def done(self, delivery: Delivery) -> None:
        """This item and all before it are never needed again (``by_hand``)."""
        if delivery.life == self._life and delivery.number > self._done:
            self._done = delivery.number
            self._taken = max(self._taken, self._done)
            self.tell_credit()

    def detach(self) -> None:
        """The line closes. The bus keeps the place of a lossless subscriber with a name of its own for a minute."""
        if not self._keeps_place:
            self.close()
        elif not self._closed:
            self.tell_credit()
            self._closed = True
            self._wake()

    def close(self) -> None:
        """Want no more; a waiting reader's loop ends."""
        if not self._closed:
            self._closed = True
            self._ready.clear()
            self._leave(self.id)
            self._wake()

    # ---- for the line
    def request(self, lineage: str) -> Subscribe:
        """How to ask the bus for it, now or again after a break."""
        return msgspec.structs.replace(self._asked, lineage=lineage, after=self._received or None)

    def began(self, same_lineage: bool) -> None:
        """The bus starts anew. In another lineage numbers begin again, so none of the old ones mean anything."""
        self.restarts += 1
        if not same_lineage:
            self._life += 1
            self._received = self._at = self._taken = self._done = 0
            self._told = (0, 0)

    def accept(self) -> None:
        """The bus has said yes and counts its deliveries from here."""
        self.accepted = True
        self.nth = 0

    def hear(self, what: Deliver, parts: list[Any]) -> bool:
        """An item has come. False: one before it is missing (a broken connection), so ask for both again."""
        if not self.accepted or self._closed:
            return True  # left over from before a break; it comes again
        if what.nth != self.nth + 1:
            return False
        self.nth += 1
        if what.number <= self._received:
            return True  # sent again after a break, although it had arrived
        self._received = what.number
        self.lost += what.gap
        self._ready.append((what, parts))
        self._wake()
        return True

    def end(self, why: AssayError) -> None:
        """No more will come; what is here can still be read."""
        self._end = why
        self._wake()

    def tell_credit(self) -> None:
        """Tell the bus what was taken and done, if that is news."""
        if (self._taken, self._done) != self._told and not self._closed:
            self._told = (self._taken, self._done)
            self._untold_frames = self._untold_bytes = 0
            self._tell(Took(self.id, self._taken, self._done))

    # ---- within
    def _next(self) -> Delivery:
        what, parts = self._ready.popleft()
        self._at = what.number
        self._at_bytes = sum(len(part) for part in parts)
        return _delivery(what, parts, self._life)

    def _finish_last(self) -> None:
        if self._at <= self._taken:
            return
        self._taken = self._at
        if not self._by_hand:
            self._done = self._taken
        self._untold_frames += 1
        self._untold_bytes += self._at_bytes
        enough = self._untold_frames * 4 >= self._asked.credit_frames
        heavy = self._untold_bytes * (8 if not self._ready else 4) >= self._asked.credit_bytes
        if enough or heavy:
            self.tell_credit()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _delivery(what: Deliver, parts: list[Any], life: int) -> Delivery:
    item = Delivery(
        topic=what.topic, kind=what.kind, number=what.number, seq=what.seq, gap=what.gap, life=life
    )
    if what.kind == "frame":
        from core.frame import Frame  # Arrow, for those who are sent frames

        item.frame = Frame.unpack([parts[0].buffer, parts[1].buffer])
    elif what.kind == "signal":
        item.signal = decode(parts[0].buffer)
    else:
        item.body = parts[0].bytes
    return item


__all__ = ["Delivery", "Filter", "Subscription"]
