"""A station's own connection to the bus: publish, subscribe, and notice when the bus has died.

    line = Line(endpoint, "connector:flights")
    await line.open()
    await line.send(frame)                                   # or say(signal), post(topic, body)
    async for item in await line.subscribe(Filter("scored.*"), lossless=True): ...

The line pings the bus and reconnects by itself; subscriptions go on where they stopped. Three things can happen
to a publisher: the bus is silent (``send`` waits); it came back with all it had confirmed (``bus.queue: disk``:
the line sends the rest again, nobody need know); or it came back without (``send`` raises ``BusLost`` until
``accept_boot``, between which the source takes a new epoch).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
import time
import uuid
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from core import bus_messages as words
from core import redact
from core.bus_messages import Filter
from core.errors import BusLost, SubscriptionEnded
from core.signals import Signal
from core.signals import encode as encode_signal
from core.subscription import Delivery, Subscription
from core.wire import Wire, socket_of

if TYPE_CHECKING:
    from core.frame import Frame

PING_S = 0.25
SILENT_S = 1.0
"""A bus that leaves a ping unanswered for this long is taken for dead (noticed within 1.5 s)."""
HELD_BYTES = 64 << 20
"""What a publisher may have on its way (disk: not yet confirmed) before ``send`` waits."""
IPC_PATH_BYTES = 100
"""Unix socket paths end at 107 bytes."""


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the bus listens; who holds the server key may connect."""

    address: str
    """``ipc:///…/bus.sock`` or ``tcp://host:port``"""
    server_key: bytes | None = None
    """CURVE public key, 40 characters (Z85)."""

    def write(self, path: Path) -> None:
        """Put it into a file that only the owner can read."""
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(self))
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> Endpoint:
        """The reverse of ``write``; OSError or msgspec.DecodeError when there is none."""
        return msgspec.json.decode(path.read_bytes(), type=cls)


def ipc_address(root: Path) -> str:
    """The one address of the bus of this data directory: below it, or in the temporary directory when too long."""
    path = root.resolve() / "state" / "bus.sock"
    if len(os.fsencode(path)) > IPC_PATH_BYTES:
        mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"assay-{os.getuid()}-{mark}" / "bus.sock"
    return f"ipc://{path}"


class Line:
    """One DEALER socket to the bus. Everything on one loop, no locks."""

    def __init__(self, endpoint: Endpoint, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self.boot = ""
        """Which life of the bus we speak to; empty before the first answer."""
        self.lineage = ""
        self._confirms = False
        self._identity = f"{name}#{uuid.uuid4().hex[:12]}"
        self._wire: Wire | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._ping = self._ping_valid_from = 0
        self._unanswered_since: float | None = None
        self._sent = 0
        self._forgot = False
        self._changed = asyncio.Event()
        self._subscriptions: dict[str, Subscription] = {}
        self._unseen: deque[tuple[int, int]] = deque()
        self._unseen_bytes = self._unpinged_bytes = 0
        self._unconfirmed: dict[tuple[str, int], deque[tuple[Frame, int]]] = {}
        self._unconfirmed_bytes = 0
        self._kept: dict[str, bytes] = {}

    # ---- life
    async def open(self, timeout_s: float = 30.0) -> None:
        """Connect and wait for the bus to answer.

        Raises:
            BusLost: it did not within ``timeout_s``; call again.
        """
        if self._wire is None:
            options: dict[str, int | bytes] = {"IDENTITY": self._identity.encode()}
            if self.endpoint.server_key is not None:
                public, secret = zmq.curve_keypair()
                options |= {
                    "CURVE_SERVERKEY": self.endpoint.server_key,
                    "CURVE_PUBLICKEY": public,
                    "CURVE_SECRETKEY": secret,
                }
            socket = socket_of(zmq.DEALER, **options)
            socket.connect(self.endpoint.address)
            self._wire = Wire(socket, self._hear)
            self._pinging = asyncio.create_task(self._keep_pinging(), name=f"line:{self.name}")
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: bool(self.boot))
        except TimeoutError:
            raise BusLost(f"no bus answers at `{self.endpoint.address}` within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Leave the bus. Safe twice."""
        for subscription in list(self._subscriptions.values()):
            subscription.detach()
        if self._pinging is not None:
            self._pinging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pinging
            self._pinging = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    @property
    def alive(self) -> bool:
        """Whether the bus has answered lately."""
        since = self._unanswered_since
        return bool(self.boot) and (since is None or time.monotonic() - since < SILENT_S)

    @property
    def lost(self) -> bool:
        """Whether ``send`` would raise ``BusLost``."""
        return self._forgot

    async def accept_boot(self) -> None:
        """Wait until a bus is there, and publish to it from now on. Frames come in a new epoch."""
        await self._until(lambda: self.alive)
        if self._forgot:
            self._forgot = False
            self._start_counting()

    async def until_lost(self) -> None:
        """Wait until frames may have been lost; for those who wait for settlement and send nothing."""
        await self._until(lambda: self._forgot)

    # ---- publishing
    async def send(self, frame: Frame) -> None:
        """Publish a frame. Returns when it is handed over; waits while the bus is silent or too much is on its way.

        With ``bus.queue: disk`` the line keeps it until the bus has it on disk, and sends it again if need be.

        Raises:
            BusLost: the bus has forgotten frames. Call ``accept_boot``, take a new epoch, go on from what is committed.
        """
        await self._until(lambda: self._forgot or (self.alive and self._room))
        if self._forgot:
            raise BusLost(f"the bus at `{self.endpoint.address}` forgot frames of `{frame.header.source}`")
        if self._confirms:
            key = (frame.header.source, frame.header.epoch)
            self._unconfirmed.setdefault(key, deque()).append((frame, frame.size_bytes))
            self._unconfirmed_bytes += frame.size_bytes
        self._publish(frame)

    async def say(self, signal: Signal) -> None:
        """Publish a signal on ``system``, secrets masked. While the bus is away it waits in the socket."""
        clean = encode_signal(redact.signal(signal))
        self._hand_over([words.encode(words.Publish("signal", words.SYSTEM)), clean])

    async def post(self, topic: str, body: bytes) -> None:
        """Publish small control bytes, unordered against frames, in order among themselves.

        The last one on each ``settled.…`` is said again to a bus that was restarted; ``stats`` are not kept for a
        bus that is away, for newer ones follow.
        """
        if topic == words.STATS and self.boot and not self.alive:
            return
        if topic.startswith(words.KEPT):
            self._kept[topic] = body
        self._hand_over([words.encode(words.Publish("post", topic)), body])

    # ---- subscribing
    async def subscribe(
        self,
        wanted: Filter,
        *,
        name: str | None = None,
        lossless: bool = False,
        durable: bool = False,
        by_hand: bool = False,
        credit_frames: int = 64,
        credit_bytes: int = 32 << 20,
        keep: int = 500,
        timeout_s: float = 30.0,
    ) -> Subscription:
        """Start to get what ``wanted`` says, from now on (or from where ``name`` stopped).

        Args:
            name: how the bus knows this subscriber; a lossless one that comes back under its name within a
                minute goes on where it stopped. None: made up.
            lossless: nothing is left out; a backlog beyond memory goes to disk, and when that is full the
                subscription is ended. Else the oldest of ``keep`` items are dropped and counted.
            durable: lossless and never ended (the writer).
            by_hand: the reader says ``done``; else asking for the next item does.
            credit_frames, credit_bytes: what the bus may send ahead of the reader.

        Raises:
            BusLost: the bus did not answer within ``timeout_s``.
        """
        asked = words.Subscribe(
            id=uuid.uuid4().hex, name=name or f"{self.name}/{uuid.uuid4().hex[:8]}", wanted=wanted,
            lossless=lossless or durable, durable=durable, credit_frames=credit_frames,
            credit_bytes=credit_bytes, keep=keep, after=None, lineage=self.lineage,
        )  # fmt: skip
        subscription = Subscription(
            asked, self._tell, self._leave, by_hand=by_hand, keeps_place=asked.lossless and name is not None
        )
        self._subscriptions[subscription.id] = subscription
        self._hand_over([words.encode(asked)])
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: subscription.accepted)
        except TimeoutError:
            subscription.close()
            raise BusLost(f"the bus at `{self.endpoint.address}` does not answer") from None
        return subscription

    # ---- within
    @property
    def _room(self) -> bool:
        return max(self._unseen_bytes, self._unconfirmed_bytes) < HELD_BYTES

    async def _until(self, condition: Any) -> None:
        while not condition():
            self._changed.clear()
            with contextlib.suppress(TimeoutError):  # silence is the passing of time, which sets no event
                # Not wait_for: in Python 3.11 it swallows a cancellation that meets the event.
                async with asyncio.timeout(PING_S):
                    await self._changed.wait()

    def _hand_over(self, parts: list[Any]) -> None:
        if self._wire is None:
            raise BusLost(f"the line `{self.name}` is not open")
        self._wire.send(parts)

    def _publish(self, frame: Frame) -> None:
        self._sent += 1
        header, payload = frame.pack()
        meta = words.encode(words.Publish("frame", frame.header.topic, self.boot, self._sent))
        self._hand_over([meta, header, payload])
        size = len(memoryview(payload))
        self._unseen.append((self._sent, size))
        self._unseen_bytes += size
        self._unpinged_bytes += size
        if self._unpinged_bytes > HELD_BYTES // 8:
            self._send_ping()

    def _tell(self, took: words.Took) -> None:
        if self._wire is not None:
            self._hand_over([words.encode(took)])

    def _leave(self, subscription: str) -> None:
        if self._subscriptions.pop(subscription, None) is not None and self._wire is not None:
            self._hand_over([words.encode(words.Unsubscribe(subscription))])

    async def _keep_pinging(self) -> None:
        while True:
            self._send_ping()
            for subscription in self._subscriptions.values():
                subscription.tell_credit()
            await asyncio.sleep(PING_S)

    def _send_ping(self) -> None:
        self._ping += 1
        self._unpinged_bytes = 0
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        self._hand_over([words.encode(words.Ping(self._ping, self.boot, self._sent))])

    def _hear(self, parts: list[zmq.Frame]) -> None:
        self._unanswered_since = None
        match words.decode_from_bus(parts[0].buffer):
            case words.Deliver(id=target) as what:
                subscription = self._subscriptions.get(target)
                if subscription is not None and not subscription.hear(what, parts[1:]):
                    self._subscribe_again(subscription)
            case words.Confirm() as done:
                self._confirmed(done)
            case words.Pong() as pong:
                self._answered(pong)
            case words.Subscribed(id=target):
                if (asking := self._subscriptions.get(target)) is not None:
                    asking.accept()
            case words.Ended(id=target, reason=reason):
                if (ended := self._subscriptions.pop(target, None)) is not None:
                    ended.end(SubscriptionEnded(f"subscriber `{ended.name}` was ended: {reason}"))
            case words.Refused(boot=boot):
                if boot == self.boot:
                    self._missed()
        self._changed.set()

    def _answered(self, pong: words.Pong) -> None:
        if pong.boot != self.boot:
            self._met(pong)
            return
        while self._unseen and self._unseen[0][0] <= pong.seen:
            self._unseen_bytes -= self._unseen.popleft()[1]
        if pong.number >= self._ping_valid_from and pong.seen < pong.sent:
            self._missed()
        for key, subscription in self._subscriptions.items():
            if subscription.accepted and pong.subscriptions.get(key) != subscription.nth:
                self._subscribe_again(subscription)

    def _met(self, pong: words.Pong) -> None:
        """A life of the bus that we have not met before."""
        first, same = not self.boot, pong.lineage == self.lineage
        self.boot, self.lineage, self._confirms = pong.boot, pong.lineage, pong.confirms
        if first:
            return
        for subscription in self._subscriptions.values():
            subscription.began(same)
            self._subscribe_again(subscription)
        for topic, body in self._kept.items():
            self._hand_over([words.encode(words.Publish("post", topic)), body])
        if same:
            self._send_again()
        else:
            self._forget()

    def _missed(self) -> None:
        """The bus has not seen a frame that was handed over (a broken connection)."""
        if self._confirms:
            self._send_again()
        else:
            self._forget()

    def _forget(self) -> None:
        self._forgot = True
        self._unconfirmed.clear()
        self._unconfirmed_bytes = 0
        self._start_counting()

    def _start_counting(self) -> None:
        self._sent = 0
        self._unseen.clear()
        self._unseen_bytes = 0
        self._ping_valid_from = self._ping + 1

    def _send_again(self) -> None:
        self._start_counting()
        for frames in self._unconfirmed.values():
            for frame, _ in frames:
                self._publish(frame)

    def _subscribe_again(self, subscription: Subscription) -> None:
        subscription.accepted = False
        self._hand_over([words.encode(subscription.request(self.lineage))])

    def _confirmed(self, done: words.Confirm) -> None:
        frames = self._unconfirmed.get((done.source, done.epoch))
        while frames and frames[0][0].header.seq <= done.seq:
            self._unconfirmed_bytes -= frames.popleft()[1]
        if frames is not None and not frames:
            del self._unconfirmed[done.source, done.epoch]


__all__ = ["Delivery", "Endpoint", "Filter", "Line", "Subscription", "ipc_address"]
