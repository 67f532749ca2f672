"""Where the page's numbers come from: a running system's messages, or a stored document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from core import signals
from core.redact import redact_value
from core.signals import Signal
from web.state import Message, Said, State, Stats, Status, Tick, fold, live

Document = dict[str, Any]
Event = Mapping[str, Any]


class Feed(Protocol):
    """What the web part knows of the world. Cheap to ask; every method is called on the server's loop."""

    def snapshot(self) -> Document:
        """The status document (docs/contracts.md §4) with one key more, ``live`` (``web.state.live``)."""

    def events(self, limit: int = 500) -> Sequence[Event]:
        """The newest ``limit`` signals, oldest first; each has ``n``, its number since start (1, 2, …)."""

    def version(self) -> int:
        """Rises with every change; equal versions mean equal snapshots."""

    async def on_change(self, version: int) -> int:
        """Waits until the version is not ``version`` any more; returns the new one."""


def _masked(document: Document) -> Document:
    """``document`` with secrets masked in what stations say went wrong; the rest are names and numbers.

    Masking every text would take the loop 9 ms for seven sources, five times a second.
    """

    def one(part: dict[str, Any]) -> dict[str, Any]:
        error = part.get("last_error")
        return {**part, "last_error": redact_value(error)} if error else part

    return {**document, **{kind: [one(part) for part in document[kind]] for kind in ("sources", "stations")}}


class Versioned:
    """A number that rises, and a way to wait for that. One loop; no locks."""

    def __init__(self) -> None:
        self._version = 1
        self._risen = asyncio.Event()

    def version(self) -> int:
        """The number of now."""
        return self._version

    async def on_change(self, version: int) -> int:
        """The first number that is not ``version``."""
        while self._version == version:
            await self._risen.wait()
        return self._version

    def rise(self) -> None:
        """Something changed: wake all who wait."""
        self._version += 1
        risen, self._risen = self._risen, asyncio.Event()
        risen.set()


class LiveFeed(Versioned):
    """Folds what the bus says. The driver hands over messages; call it from the loop that serves.

    Args:
        monotonic: seconds for rates; wall: seconds since 1970 for the charts' axis.
    """

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._wall = wall
        self._state = State()
        self._ticked = -1.0
        self.unreadable = 0
        """Messages that were no JSON; counted, for one broken station must not take the page away."""

    def take(self, topic: str, body: bytes | Signal, now: float | None = None) -> None:
        """One message of the topics ``stats`` (JSON bytes) or ``system`` (a signal or its bytes)."""
        at = self._monotonic() if now is None else now
        try:
            if topic == "stats":
                self._fold(Stats(msgspec.json.decode(body, type=dict[str, Any]), at), at)  # type: ignore[arg-type]
            elif topic == "system":
                said = body if isinstance(body, Signal) else signals.decode(body)
                self._fold(Said(said, at), at)
        except msgspec.DecodeError:
            self.unreadable += 1

    def status(self, document: Document, now: float | None = None) -> None:
        """The status document of now (``core.status.StatusBoard.document``); five times a second is right.

        A source's last error may name a secret, so secrets are masked before anything is kept.
        """
        at = self._monotonic() if now is None else now
        self._fold(Status(_masked(document), at), at)

    def snapshot(self) -> Document:
        """See ``Feed``."""
        return {**self._state.document, "live": live(self._state, self._monotonic())}

    def events(self, limit: int = 500) -> Sequence[Event]:
        """See ``Feed``."""
        return self._state.events[-limit:]

    def _fold(self, message: Message, at: float) -> None:
        state = fold(self._state, message)
        if at - self._ticked >= 1.0:
            state = fold(state, Tick(at, self._wall() - (self._monotonic() - at)))
            self._ticked = at
        self._state = state
        self.rise()


class StoredFeed(Versioned):
    """``--web-only``: what a data directory says of itself; nothing moves unless ``status`` is called again."""

    def __init__(self, document: Document) -> None:
        super().__init__()
        self._document = _masked(document)

    def status(self, document: Document) -> None:
        """Show another document, secrets masked."""
        document = _masked(document)
        if document != self._document:
            self._document = document
            self.rise()

    def snapshot(self) -> Document:
        """See ``Feed``."""
        return {
            **self._document,
            "live": {**live(State(document=self._document), 0.0), "stored": True, "age_s": 0.0},
        }

    def events(self, limit: int = 500) -> Sequence[Event]:
        """None are stored yet."""
        return ()
