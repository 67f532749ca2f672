"""``/ws``: the protocol ``assay.v1`` (docs/web.md), one lane a browser, and who is let in.

A lane asks its channels what is due at send time, so nothing queues behind a slow browser: newer state replaces
older. Nobody waits for anybody else. A send that does not go through within five seconds ends that browser only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from web.channels import CHANNELS, LEVEL_ORDER, Channel, Filter, Screen, channel
from web.guard import same_origin, who
from web.tokens import TokenStore

PROTOCOL = "assay.v1"
HZ, HZ_MOST = 5.0, 10.0
HEARTBEAT_S = 15.0
SEND_S = 5.0
HELLO_S = 10.0
SUBSCRIPTIONS = 16
SOCKETS = 200
ASKED_A_MINUTE = 240
COMMANDS_A_MINUTE = 20
BAD, UNKNOWN, FORBIDDEN, SLOW, VERSION, MANY = 4400, 4401, 4403, 4408, 4409, 4429


class Ask(msgspec.Struct, forbid_unknown_fields=False):
    """Anything a browser may say; ``t`` decides which fields count."""

    t: Literal["hello", "sub", "unsub", "resync", "ping", "cmd"]
    id: str = ""
    v: int = 1
    ch: str = ""
    filter: Filter = Filter()
    hz: float = HZ
    since: int | None = None
    resume: dict[str, Any] | None = None
    ts: float = 0


class Closed(Exception):
    """This socket ends with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Hub:
    """All sockets of this server, and what they cost."""

    def __init__(self, screen: Screen, tokens: TokenStore | None, epoch: str) -> None:
        self.screen, self.tokens, self.epoch = screen, tokens, epoch
        self.lanes: set[Lane] = set()
        self.dropped = 0
        self._merged_before = 0

    @property
    def merged(self) -> int:
        """Summaries that a newer one replaced, since start."""
        return self._merged_before + sum(lane.merged for lane in self.lanes)

    async def serve(self, socket: WebSocket) -> None:
        """One browser, from handshake to close."""
        refusal = self._refusal(socket)
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
        if refusal is not None:
            return await _close(socket, refusal)
        lane = Lane(socket, self)
        self.lanes.add(lane)
        try:
            await lane.run()
        except Closed as why:
            self.dropped += why.code == SLOW
            await _close(socket, why)
        except (WebSocketDisconnect, ConnectionError):
            return None
        finally:
            self.lanes.discard(lane)
            self._merged_before += lane.merged
        return None

    def knows(self, socket: WebSocket) -> bool:
        """Whether the visitor is (still) signed in."""
        return self.tokens is None or who(socket, self.tokens) is not None

    def _refusal(self, socket: WebSocket) -> Closed | None:
        if "origin" in socket.headers and not same_origin(socket):
            return Closed(FORBIDDEN, "this page belongs to another site")
        if not self.knows(socket):
            return Closed(UNKNOWN, "not signed in")
        if "origin" not in socket.headers and self.tokens is not None and who(socket, self.tokens) != "token":
            return Closed(FORBIDDEN, "without an Origin only the token opens this socket")
        if PROTOCOL not in socket.scope["subprotocols"]:
            return Closed(VERSION, f"speak {PROTOCOL}")
        if len(self.lanes) >= SOCKETS:
            return Closed(MANY, f"{SOCKETS} sockets are open")
        return None


async def _close(socket: WebSocket, why: Closed) -> None:
    """Say why, if the peer still listens; one that does not read is cut off without ceremony."""
    abort: Callable[[], None] | None = socket.scope["state"].get("abort")
    try:
        async with asyncio.timeout(0.5):
            await socket.close(why.code, why.reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect, ConnectionError):
        pass
    if why.code == SLOW and abort is not None:
        abort()


class Lane:
    """One browser."""

    def __init__(self, socket: WebSocket, hub: Hub) -> None:
        self._socket, self._hub = socket, hub
        self._channels: dict[str, Channel] = {}
        self._next: dict[str, float] = {}
        self._every: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._sending = asyncio.Lock()
        self._asked: deque[float] = deque()
        self._commands: deque[float] = deque()
        self._merged_before = 0

    @property
    def merged(self) -> int:
        """Summaries this browser did not see because a newer one replaced them."""
        return self._merged_before + sum(one.merged for one in self._channels.values())

    async def run(self) -> None:
        """Until either side ends it.

        Raises:
            Closed: we end it.
            WebSocketDisconnect: the browser did.
        """
        await self._greet()
        tasks = [asyncio.create_task(job()) for job in (self._listen, self._tell, self._beat)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _greet(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                ask = await self._hear()
        except TimeoutError:
            raise Closed(BAD, "no hello within 10 s") from None
        if ask.t != "hello":
            raise Closed(BAD, "the first message is hello")
        if ask.v != 1:
            raise Closed(VERSION, "this server speaks version 1")
        await self._send({
            "t": "welcome", "epoch": self._hub.epoch, "hz": HZ, "heartbeat": HEARTBEAT_S, "can": [],
            "user": "local" if self._hub.tokens is None else "token",
        })  # fmt: skip

    async def _listen(self) -> None:
        while True:
            await self._answer(await self._hear())

    async def _hear(self) -> Ask:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        if text is None:
            raise Closed(BAD, "messages are text")
        _limit(self._asked, ASKED_A_MINUTE, "messages")
        try:
            return msgspec.json.decode(text, type=Ask)
        except (msgspec.DecodeError, UnicodeError):
            raise Closed(BAD, "a message of this protocol is expected") from None

    async def _answer(self, ask: Ask) -> None:
        match ask.t:
            case "sub":
                await self._subscribe(ask)
            case "unsub":
                self._forget(ask.id)
            case "resync" if ask.id in self._channels:
                await self._send(self._channels[ask.id].snap())
            case "ping":
                await self._send({"t": "pong", "ts": ask.ts})
            case "cmd":
                _limit(self._commands, COMMANDS_A_MINUTE, "commands")
                await self._send(_error(ask.id, "unknown-command", "this server takes no commands"))
            case "hello":
                raise Closed(BAD, "hello was said before")
            case "resync":
                await self._send(_error(ask.id, "unknown-subscription", "no such subscription"))

    async def _subscribe(self, ask: Ask) -> None:
        if ask.ch not in CHANNELS:
            return await self._send(_error(ask.id, "unknown-channel", f"channels are {', '.join(CHANNELS)}"))
        if ask.filter.level not in LEVEL_ORDER:
            return await self._send(_error(ask.id, "bad-filter", f"levels are {', '.join(LEVEL_ORDER)}"))
        if not ask.id or (ask.id not in self._channels and len(self._channels) >= SUBSCRIPTIONS):
            raise Closed(MANY if ask.id else BAD, f"{SUBSCRIPTIONS} subscriptions, each with an id")
        one = channel(ask.ch, ask.id, self._hub.screen, ask.filter, self._since(ask))
        first = one.snap()
        self._forget(ask.id)
        await self._send(first)
        self._channels[ask.id] = one
        self._every[ask.id] = 1.0 if ask.ch == "metrics" else 1.0 / min(max(ask.hz, 0.1), HZ_MOST)
        self._next[ask.id] = time.monotonic() + self._every[ask.id]
        self._changed.set()
        return None

    def _since(self, ask: Ask) -> int | None:
        """Where to go on; only numbers of this server's life mean something."""
        return ask.since if ask.resume is None or ask.resume.get("epoch") == self._hub.epoch else None

    def _forget(self, id_: str) -> None:
        gone = self._channels.pop(id_, None)
        self._merged_before += gone.merged if gone else 0
        self._next.pop(id_, None)
        self._every.pop(id_, None)

    async def _tell(self) -> None:
        """Send what is due, at most as often as each subscription wants, and only after a change."""
        feed = self._hub.screen.feed
        version = 0
        while True:
            await self._until_due()
            version = await self._until_changed(version) if feed.version() == version else feed.version()
            if not self._hub.knows(self._socket):
                raise Closed(UNKNOWN, "signed out")
            now = time.monotonic()
            for id_ in [one for one, at in self._next.items() if at <= now]:
                if id_ in self._channels:
                    self._next[id_] = max(self._next[id_] + self._every[id_], now)
                    for frame in self._channels[id_].due():
                        await self._send(frame)

    async def _until_due(self) -> None:
        """Until a subscription may be told again; a new one may be earlier than all others."""
        while not self._next or (wait := min(self._next.values()) - time.monotonic()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(wait if self._next else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _until_changed(self, version: int) -> int:
        return await self._hub.screen.feed.on_change(version)

    async def _beat(self) -> None:
        """A heartbeat, and a look whether the visitor may still be here."""
        beats = 0
        while True:
            await asyncio.sleep(1.0)
            beats += 1
            if not self._hub.knows(self._socket):
                raise Closed(UNKNOWN, "signed out")
            if beats % int(HEARTBEAT_S) == 0:
                await self._send({"t": "hb", "ts": int(time.time() * 1000)})

    async def _send(self, message: bytes | dict[str, Any]) -> None:
        body = message if isinstance(message, bytes) else msgspec.json.encode(message)
        try:
            async with asyncio.timeout(SEND_S):
                async with self._sending:
                    await self._socket.send_text(body.decode())
        except TimeoutError:
            raise Closed(SLOW, "too slow") from None


def _limit(times: deque[float], most: int, what: str) -> None:
    now = time.monotonic()
    while times and times[0] < now - 60:
        times.popleft()
    times.append(now)
    if len(times) > most:
        raise Closed(MANY, f"{most} {what} a minute")


def _error(id_: str, code: str, message: str) -> dict[str, Any]:
    return {"t": "ack", "id": id_, "error": {"code": code, "message": message}}
