"""The bus's side of a subscription: what waits for it, what it was sent, and how far its credit goes.

Nothing is ever sent beyond credit, so a stuck reader holds its own items and nobody else's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from actors.bus_items import Item, Place
from core import bus_messages as words

MEMORY_BYTES = 32 << 20
"""What a lossless subscriber's waiting items may take in memory before they go to disk."""
UNWRITTEN_BYTES = 256 << 20
"""What may be on its way to a backlog; a disk that is slower than this is given up with its subscriber."""
LOSSY_BYTES = 64 << 20
LOAD_BYTES = 8 << 20


class Store(Protocol):
    """Where items lie on disk: the queue's own log, or a subscriber's backlog."""

    async def write(self, items: list[Item]) -> list[Place]:
        """Append; returns where each one lies."""

    async def read(self, places: list[Place]) -> list[list[bytes]]:
        """The parts of each, in order."""

    def release(self, before: int) -> None:
        """Items with numbers below ``before`` are not needed again."""

    def close(self) -> None:
        """Let go; a backlog removes itself."""


Send = Callable[[bytes, list[Any]], bool]
End = Callable[["Subscriber", str], None]


class Subscriber:
    """What lossy and lossless subscribers share: identity, credit, counts."""

    def __init__(self, peer: bytes, asked: words.Subscribe, send: Send) -> None:
        self.peer = peer
        self.asked = asked
        self.waiting: deque[Item] = deque()
        self.waiting_bytes = 0
        self.lost = 0
        self.delivered = 0
        self.heard_at = time.monotonic()
        self.nth = 0
        """Deliveries since the reader (last) asked."""
        self._send = send
        self._gap = 0
        self._flying: deque[tuple[int, int]] = deque()
        self._flying_bytes = 0

    def offer(self, item: Item) -> None:
        """An item that passed the filter."""
        raise NotImplementedError

    def took(self, taken: int, done: int) -> None:
        """Credit comes back."""
        while self._flying and self._flying[0][0] <= taken:
            self._flying_bytes -= self._flying.popleft()[1]
        self.pump()

    def move(self, peer: bytes, asked: words.Subscribe) -> None:
        """The reader asks again after a break, and says what it has received."""
        self.heard_at = time.monotonic()
        self.peer, self.asked = peer, asked
        self.nth = 0
        self._flying.clear()
        self._flying_bytes = 0

    def pump(self) -> None:
        """Send what credit allows."""
        raise NotImplementedError

    def close(self) -> None:
        """No more for this one."""
        self.waiting.clear()

    @property
    def flying(self) -> int:
        """Items sent and not yet taken up."""
        return len(self._flying)

    def _may_send(self, item: Item) -> bool:
        if not self.peer:
            return False
        if not self._flying:
            return True
        return (
            len(self._flying) < self.asked.credit_frames
            and self._flying_bytes + item.size <= self.asked.credit_bytes
        )

    def _deliver(self, item: Item, parts: Any) -> bool:
        meta = words.Deliver(
            self.asked.id, item.kind, item.topic, item.number, item.seq, self._gap, self.nth + 1
        )
        if not self._send(self.peer, [words.encode(meta), *parts]):
            self.peer = b""  # it asks again when it is back
            return False
        self._gap = 0
        self.nth += 1
        self.delivered += 1
        self._flying.append((item.number, item.size))
        self._flying_bytes += item.size
        return True


class Lossy(Subscriber):
    """Holds the newest items; the oldest are dropped and counted."""

    def offer(self, item: Item) -> None:
        self.waiting.append(item)
        self.waiting_bytes += item.size
        self.pump()
        while len(self.waiting) > self.asked.keep or (
            self.waiting_bytes > LOSSY_BYTES and len(self.waiting) > 1
        ):
            self.waiting_bytes -= self.waiting.popleft().size
            self.lost += 1
            self._gap += 1

    def move(self, peer: bytes, asked: words.Subscribe) -> None:
        missed = sum(number > (asked.after or 0) for number, _ in self._flying)
        self.lost += missed
        self._gap += missed
        super().move(peer, asked)

    def pump(self) -> None:
        while self.waiting and self._may_send(self.waiting[0]):
            item = self.waiting[0]
            if not self._deliver(item, item.parts):
                return
            self.waiting.popleft()
            self.waiting_bytes -= item.size


class Lossless(Subscriber):
    """Everything, in order. Beyond ``MEMORY_BYTES`` waiting items lie on disk; ended when the backlog is full.

    Args:
        store: where items lie that do not fit into memory.
        keep_until_done: hold items until they are done (they lie in the queue's log anyway) instead of taken.
        limit_bytes: what may be held; None: no limit (the writer, which holds its sources back itself).
    """

    def __init__(
        self,
        peer: bytes,
        asked: words.Subscribe,
        send: Send,
        *,
        store: Store,
        keep_until_done: bool,
        limit_bytes: int | None,
        end: End,
        done: int = 0,
    ) -> None:
        super().__init__(peer, asked, send)
        self._store = store
        self._until_done = keep_until_done
        self._limit = limit_bytes
        self._end = end
        self._sent: deque[Item] = deque()
        self._sent_bytes = 0
        self._memory_bytes = 0
        self._unwritten: list[Item] = []
        self._unwritten_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._loaded: dict[int, list[bytes]] = {}
        self._ended = False
        self.done = done

    @property
    def held_bytes(self) -> int:
        """Everything this subscriber keeps the bus from forgetting."""
        return self.waiting_bytes + self._sent_bytes

    @property
    def needs_from(self) -> int | None:
        """The lowest number it may still ask for; None: nothing."""
        first = self._sent[0] if self._sent else self.waiting[0] if self.waiting else None
        return first.number if first is not None else None

    def offer(self, item: Item) -> None:
        if self._ended:
            return
        self.waiting.append(item)
        self.waiting_bytes += item.size
        self._memory_bytes += item.size
        self.pump()
        if self.waiting and self._memory_bytes > MEMORY_BYTES:
            self._unload(item)
        if self._limit is not None and self.held_bytes > self._limit:
            self._give_up(f"its backlog of {self._limit} bytes is full")
        elif self._unwritten_bytes > UNWRITTEN_BYTES:
            self._give_up("the disk takes its backlog too slowly")

    def put_back(self, items: list[Item], done: int) -> None:
        """Held from an earlier life of the bus: all lie on disk."""
        self.done = done
        self.waiting.extend(items)
        self.waiting_bytes += sum(item.size for item in items)

    def move(self, peer: bytes, asked: words.Subscribe) -> None:
        super().move(peer, asked)
        after = asked.after or 0
        while self._sent and self._sent[-1].number > after:
            item = self._sent.pop()
            self._sent_bytes -= item.size
            self.waiting.appendleft(item)
            self.waiting_bytes += item.size
            self._memory_bytes += _in_memory(item)
        while self.waiting and self.waiting[0].number <= after:  # received in an earlier life of the bus
            item = self.waiting.popleft()
            self.waiting_bytes -= item.size
            self._memory_bytes -= _in_memory(item)
            self._sent.append(item)
            self._sent_bytes += item.size

    def took(self, taken: int, done: int) -> None:
        self.done = max(self.done, done)
        upto = self.done if self._until_done else max(taken, done)
        while self._sent and self._sent[0].number <= upto:
            self._sent_bytes -= self._sent.popleft().size
        if not self._until_done:
            self._store.release(self.needs_from or upto + 1)
        super().took(taken, done)

    def pump(self) -> None:
        while self.waiting and self._may_send(self.waiting[0]):
            item = self.waiting[0]
            parts = item.parts if item.parts is not None else self._loaded.pop(item.number, None)
            if parts is None:
                self._load()
                return
            if not self._deliver(item, parts):
                return
            self.waiting.popleft()
            self.waiting_bytes -= item.size
            self._memory_bytes -= _in_memory(item)
            self._sent.append(item if item.place is None else item.without_parts())
            self._sent_bytes += item.size

    def close(self) -> None:
        self._ended = True
        for task in (self._writing, self._loading):
            if task is not None:
                task.cancel()
        super().close()
        self._sent.clear()
        if not self._until_done:
            self._store.close()

    # ---- the way to disk and back
    def _unload(self, item: Item) -> None:
        """The newest item waits on disk, for memory is full."""
        if item.place is not None:
            self.waiting[-1] = item.without_parts()
        elif self._until_done or self.asked.durable:
            return  # a signal or post beside a log of frames; the writer's sources hold themselves back
        else:
            self.waiting[-1] = own = replace(item, spilled=True)
            self._unwritten.append(own)
            self._unwritten_bytes += own.size
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write())
        self._memory_bytes -= item.size

    async def _write(self) -> None:
        """Write what does not fit into memory. Only then its bytes are let go."""
        while self._unwritten:
            items, self._unwritten = self._unwritten, []
            try:
                places = await self._store.write(items)
            except OSError as failed:
                self._give_up(f"its backlog cannot be written: {failed}")
                return
            for item, place in zip(items, places, strict=True):
                item.place, item.parts = place, None
                self._unwritten_bytes -= item.size

    def _give_up(self, why: str) -> None:
        if not self._ended:
            self._ended = True
            self._end(self, why)

    def _load(self) -> None:
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        wanted: list[tuple[int, Place]] = []
        size = 0
        for item in self.waiting:
            if item.place is None or item.parts is not None or size > LOAD_BYTES:
                break
            wanted.append((item.number, item.place))
            size += item.size
        try:
            parts = await self._store.read([place for _, place in wanted])
        except (OSError, ValueError) as failed:
            self._give_up(f"its backlog cannot be read: {failed}")
            return
        self._loaded.update(zip((number for number, _ in wanted), parts, strict=True))
        self._loading = None
        self.pump()


def _in_memory(item: Item) -> int:
    return item.size if item.parts is not None and not item.spilled else 0
