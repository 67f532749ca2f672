"""The event manager: topics, subscriptions, fan-out, credit; and the queue behind them, in memory or on disk.

Every station and every subscriber of a user has one line (``core.line``) to the bus's one ROUTER socket. A frame
is taken, written to the log and synced where ``queue`` is ``disk``, numbered, and offered to each subscriber whose
filter it passes. The bytes are never copied or looked into; routing reads the header alone.

If the bus dies: with ``memory`` it comes back with another lineage, and all sources take new epochs; with
``disk`` it reads its log again, and lines send what was not confirmed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
import time
import uuid
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import zmq

from actors.bus_backlog import Backlog
from actors.bus_items import Item, Numbers, wants
from actors.bus_queue import EPOCHS_KEPT, DiskQueue, Known
from actors.bus_report import BusStatistics, SubscriberStatistics, Topics
from actors.bus_subscribers import Lossless, Lossy, Subscriber
from core import bus_messages as words
from core.crash import crashpoint
from core.header import Header, decode_header
from core.line import Endpoint
from core.retry import backoff
from core.signals import Signal, signal
from core.signals import decode as decode_signal
from core.signals import encode as encode_signal
from core.wire import Wire, socket_of

log = logging.getLogger(__name__)

AWAY_S = 60.0
"""A lossless subscriber that is silent for longer is ended."""
LOSSY_AWAY_S = 10.0
TICK_S = 0.25
UNHEARD = 200
"""Signals kept until the first who wants any comes."""
EARLY_S = 2.0
"""What the bus found at its start is said once its subscribers are back."""


class Bus:
    """One per system.

    Args:
        address: ``ipc://path`` (the same after a restart, so that lines find it again) or ``tcp://host:port``
            (port 0: any).
        queue: what becomes of frames when the bus dies.
        directory: the log, backlogs and keys; made when needed.
        backlog_bytes: what one lossless subscriber may keep the bus from forgetting.
        curve: lines need the server key (for tcp).
        away_s: how long a lossless subscriber may be silent.
    """

    def __init__(
        self,
        address: str,
        queue: Literal["memory", "disk"] = "memory",
        directory: Path = Path("data/state/bus"),
        backlog_bytes: int = 10 << 30,
        *,
        curve: bool = False,
        away_s: float = AWAY_S,
    ) -> None:
        self.boot = uuid.uuid4().hex
        self.lineage = self.boot
        self.endpoint: Endpoint | None = None
        self._address = address
        self._queue = queue
        self._directory = directory
        self._backlog_bytes = backlog_bytes
        self._curve = curve
        self._away_s = away_s
        self._wire: Wire | None = None
        self._subscribers: dict[str, Subscriber] = {}
        self._ended: dict[str, str] = {}
        self._ended_total = 0
        self._seen: dict[bytes, int] = {}
        self._heard: dict[bytes, float] = {}
        self._numbers = Numbers(time.time())
        self._log = DiskQueue(directory / "log") if queue == "disk" else None
        self._accepted: dict[str, dict[int, int]] = {}
        self._pending: list[tuple[bytes, Item]] = []
        self._due = asyncio.Event()
        self._early: list[Signal] = []
        self._unheard: deque[Item] | None = deque(maxlen=UNHEARD)
        self._kept: dict[str, bytes] = {}
        self._topics = Topics()
        self._stop = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._began = time.monotonic()

    # ---- life
    async def start(self) -> Endpoint:
        """Listen. Returns where, for ``state/bus.json``."""
        socket = socket_of(zmq.ROUTER, ROUTER_MANDATORY=1, ROUTER_HANDOVER=1)
        key = self._make_room(socket)
        if self._log is not None:
            self._load_log(self._log)
        socket.bind(self._address)
        bound = socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")
        if bound.startswith("ipc://"):
            Path(bound.removeprefix("ipc://")).chmod(stat.S_IRUSR | stat.S_IWUSR)
        self.endpoint = Endpoint(bound, key)
        self._wire = Wire(socket, self._hear)
        return self.endpoint

    async def run(self) -> None:
        """Work until ``close``: write the log, look for subscribers that went away.

        Raises:
            StoreUnavailable: the disk lost what the log gave it. Start another bus, which reads what is there.
        """
        self._idle.clear()
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(self._tick())
                if self._log is not None:
                    work.create_task(self._keep_log(self._log))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._idle.set()

    async def close(self) -> None:
        """Stop. What subscribers did not get yet is kept with ``disk``, and gone with ``memory``. Safe twice."""
        self._stop.set()
        self._due.set()
        await self._idle.wait()
        for subscriber in list(self._subscribers.values()):
            subscriber.close()
        self._subscribers.clear()
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        if self._log is not None:
            self._log.close()

    def statistics(self) -> BusStatistics:
        """Numbers of now."""
        return BusStatistics(
            boot=self.boot, lineage=self.lineage, queue=self._queue, lines=len(self._heard),
            subscribers=[SubscriberStatistics.of(one) for one in self._subscribers.values()],
            ended=self._ended_total, topics=self._topics.statistics(), queue_bytes=self._log.size_bytes if self._log else 0,
            damaged=len(self._log.quarantined) if self._log else 0,
        )  # fmt: skip

    # ---- hearing
    def _hear(self, parts: list[zmq.Frame]) -> None:
        peer = parts[0].bytes
        try:
            self._act(peer, words.decode_to_bus(parts[1].buffer), parts[2:])
        except (msgspec.DecodeError, msgspec.ValidationError, IndexError) as failed:
            log.warning(
                "a message that is none was left out: %s",
                failed,
                extra={"peer": peer.decode(errors="replace")},
            )

    def _act(self, peer: bytes, what: words.ToBus, parts: list[zmq.Frame]) -> None:
        match what:
            case words.Publish(kind="frame"):
                self._take_frame(peer, what, parts)
            case words.Took(id=target, taken=taken, done=done):
                if (subscriber := self._subscribers.get(target)) is not None:
                    subscriber.took(taken, done)
            case words.Publish():
                self._take_small(what, parts)
            case words.Ping():
                self._answer(peer, what)
            case words.Subscribe():
                self._subscribe(peer, what)
            case words.Unsubscribe(id=target):
                if (subscriber := self._subscribers.pop(target, None)) is not None:
                    subscriber.close()

    def _answer(self, peer: bytes, ping: words.Ping) -> None:
        now = self._heard[peer] = time.monotonic()
        mine = {}
        for one in self._subscribers.values():
            if one.peer == peer:
                one.heard_at = now
                mine[one.asked.id] = one.nth
        seen = self._seen.get(peer, 0)
        pong = words.Pong(ping.number, self.boot, self.lineage, self._log is not None, ping.sent, seen, mine)
        self._send(peer, [words.encode(pong)])

    def _take_frame(self, peer: bytes, what: words.Publish, parts: list[zmq.Frame]) -> None:
        seen = self._seen.get(peer, 0)
        if what.boot != self.boot or what.number not in (1, seen + 1):
            return  # meant for an earlier life, or one before it is missing; the line learns it from the next pong
        self._seen[peer] = what.number
        item = Item("frame", what.topic, 0, 0, _size(parts[:2]), parts[:2])
        item.header = decode_header(parts[0].buffer)
        if self._log is None:
            crashpoint("bus.taken")
            self._number_frame(item)
            self._route(item)
        elif self._accept(peer, item.header, self._log):
            self._pending.append((peer, item))
            self._due.set()

    def _accept(self, peer: bytes, header: Header, kept: DiskQueue) -> bool:
        """Whether a frame is the next of its epoch; one taken before is confirmed again, one too early refused."""
        epochs = self._accepted.setdefault(header.source, {})
        last = epochs.get(header.epoch)
        if last is not None and header.seq <= last:
            logged = kept.state.sources.get(header.source, {}).get(header.epoch, 0)
            if header.seq <= logged:
                self._send(peer, [words.encode(words.Confirm(header.source, header.epoch, logged))])
            return False
        if last is not None and header.seq > last + 1:
            self._send(peer, [words.encode(words.Refused(self.boot))])
            return False
        epochs[header.epoch] = header.seq
        while len(epochs) > EPOCHS_KEPT:
            del epochs[min(epochs)]
        return True

    def _take_small(self, what: words.Publish, parts: list[zmq.Frame]) -> None:
        item = self._small(what.kind, what.topic, parts[:1])
        if what.kind == "signal":
            item.type = decode_signal(parts[0].buffer).type
        elif what.topic.startswith(words.KEPT):
            self._kept[what.topic] = parts[0].bytes
        self._route(item)

    def _small(self, kind: words.Kind, topic: str, parts: list[Any]) -> Item:
        item = Item(kind, topic, self._numbers.small(), 0, _size(parts), parts)
        item.seq = self._topics.count(item)
        return item

    def _number_frame(self, item: Item) -> None:
        item.number = self._numbers.reserve()
        item.seq = self._topics.count(item)

    def _route(self, item: Item) -> None:
        self._numbers.routed(item.number)
        wanted = False
        for subscriber in list(self._subscribers.values()):
            if wants(subscriber.asked.wanted, item):
                wanted = True
                subscriber.offer(item)
        if item.kind == "signal" and wanted:
            self._unheard = None
        elif item.kind == "signal" and self._unheard is not None:
            self._unheard.append(item)
        item.header = None  # nobody needs it any more, and it is the larger part of a small item

    def _send(self, peer: bytes, parts: list[Any]) -> bool:
        return self._wire is not None and self._wire.send([peer, *parts])

    # ---- subscribing
    def _subscribe(self, peer: bytes, asked: words.Subscribe) -> None:
        self._heard[peer] = time.monotonic()
        if asked.lineage != self.lineage:
            asked = msgspec.structs.replace(asked, after=None)
        if asked.id in self._ended:
            self._send(peer, [words.encode(words.Ended(asked.id, self._ended[asked.id]))])
            return
        known = self._subscribers.get(asked.id) or self._of_that_name(asked)
        resumed = known is not None
        if known is None:
            known = self._new_subscriber(peer, asked)
        else:
            del self._subscribers[known.asked.id]
            known.move(peer, asked)
        self._subscribers[asked.id] = known
        self._send(peer, [words.encode(words.Subscribed(asked.id, resumed))])
        known.pump()
        self._catch_up(known)
        for topic, body in self._kept.items():
            item = Item("post", topic, 0, self._topics.seqs.get(topic, 0), len(body), [body])
            if wants(asked.wanted, item):
                item.number = self._numbers.small()
                known.offer(item)

    def _catch_up(self, first: Subscriber) -> None:
        """Signals said before anybody heard any, for the first who hears them: a run's driver may come up late."""
        missed = [item for item in self._unheard or () if wants(first.asked.wanted, item)]
        for item in missed:
            first.offer(item)
        if missed:
            self._unheard = None

    def _of_that_name(self, asked: words.Subscribe) -> Subscriber | None:
        """A lossless subscriber of the same name whose process has died, or is told that it was replaced."""
        for one in self._subscribers.values():
            if isinstance(one, Lossless) and asked.lossless and one.asked.name == asked.name:
                self._send(
                    one.peer, [words.encode(words.Ended(one.asked.id, "another subscriber took its name"))]
                )
                return one
        return None

    def _new_subscriber(self, peer: bytes, asked: words.Subscribe) -> Subscriber:
        if not asked.lossless:
            return Lossy(peer, asked, self._send)
        store = self._log or Backlog(self._directory / "backlog" / asked.id)
        limit = None if asked.durable else self._backlog_bytes
        return Lossless(
            peer, asked, self._send, store=store, keep_until_done=self._log is not None, limit_bytes=limit,
            end=self._end, done=self._numbers.last,
        )  # fmt: skip

    def _end(self, subscriber: Subscriber, why: str) -> None:
        """Give a subscriber up, and say so to it and to everybody."""
        asked = subscriber.asked
        if self._subscribers.pop(asked.id, None) is None:
            return
        subscriber.close()
        self._ended_total += 1
        self._ended[asked.id] = why
        while len(self._ended) > 1000:
            del self._ended[next(iter(self._ended))]
        self._send(subscriber.peer, [words.encode(words.Ended(asked.id, why))])
        said = signal(
            "assay.subscriber.ended", asked.name, f"subscriber `{asked.name}` was ended: {why}",
            source="/stations/bus", level="warning", delivered=subscriber.delivered,
        )  # fmt: skip
        log.warning("subscriber ended", extra={"subscriber": asked.name, "reason": why})
        # Not from within the fan-out that found the backlog full: others would get the signal before the frame.
        asyncio.get_running_loop().call_soon(self._say, said)

    def _say(self, said: Signal) -> None:
        item = self._small("signal", words.SYSTEM, [encode_signal(said)])
        item.type = said.type
        self._route(item)

    # ---- the log (``queue: disk``)
    def _load_log(self, kept: DiskQueue) -> None:
        """Subscribers of the last life wait for their lines to ask again; what they were not done with waits too."""
        items = kept.open()
        self.lineage = kept.state.lineage
        self._topics.seqs.update(kept.state.topics)
        self._accepted = {source: dict(epochs) for source, epochs in kept.state.sources.items()}
        self._numbers.routed(kept.state.number)
        for known in kept.state.subscribers:
            one = self._new_subscriber(b"", known.asked)
            assert isinstance(one, Lossless)
            wanted = [item for item in items if item.number > known.done and wants(known.asked.wanted, item)]
            one.put_back([item.without_parts() for item in wanted], known.done)
            self._subscribers[known.asked.id] = one
        if kept.quarantined:
            self._early.append(signal(
                "assay.queue.damaged", "bus", f"damaged records in the bus's log were set aside: {', '.join(kept.quarantined)}",
                source="/stations/bus", level="error",
            ))  # fmt: skip

    async def _keep_log(self, kept: DiskQueue) -> None:
        """Group commit: all that came while the last write was synced goes into the next one."""
        waits = backoff(0.2, 2.0)
        while not self._stop.is_set():
            await _wait(self._due, TICK_S)
            self._due.clear()
            batch, self._pending = self._pending, []
            for _, item in batch:
                self._number_frame(item)
            while True:
                try:
                    await kept.append([item for _, item in batch], self._known())
                    break
                except OSError as failed:
                    log.error(
                        "the bus takes nothing: its log cannot be written", extra={"reason": str(failed)}
                    )
                    self._say(signal(
                        "assay.store.down", "bus", f"the bus's log in `{self._directory}` cannot be written: {failed}",
                        source="/stations/bus", level="error",
                    ))  # fmt: skip
                    await _wait(self._stop, next(waits))
                    if self._stop.is_set():
                        return
            self._release(kept, batch)

    def _release(self, kept: DiskQueue, batch: list[tuple[bytes, Item]]) -> None:
        """What is on disk is confirmed and goes out."""
        if batch:
            crashpoint("bus.taken")
        confirmed: dict[tuple[bytes, str, int], int] = {}
        for peer, item in batch:
            assert item.header is not None
            confirmed[peer, item.header.source, item.header.epoch] = item.header.seq
            self._route(item)
        for (peer, source, epoch), seq in confirmed.items():
            self._send(peer, [words.encode(words.Confirm(source, epoch, seq))])
        needed = [one.needs_from for one in self._subscribers.values() if isinstance(one, Lossless)]
        kept.release(min((number for number in needed if number is not None), default=self._numbers.last + 1))

    def _known(self) -> list[Known]:
        return [Known(one.asked, one.done) for one in self._subscribers.values() if isinstance(one, Lossless)]

    # ---- beside
    async def _tick(self) -> None:
        while not self._stop.is_set():
            self._look_for_the_absent()
            if self._early and time.monotonic() - self._began > EARLY_S:
                self._say(self._early.pop())
            self._topics.tick(time.monotonic())
            await _wait(self._stop, TICK_S)

    def _look_for_the_absent(self) -> None:
        now = time.monotonic()
        for one in list(self._subscribers.values()):
            away = now - one.heard_at
            if isinstance(one, Lossy) and away > LOSSY_AWAY_S:
                del self._subscribers[one.asked.id]
            elif isinstance(one, Lossless) and not one.asked.durable and away > self._away_s:
                self._end(one, f"it was away for {away:.0f} s")
        for peer in [peer for peer, heard in self._heard.items() if now - heard > 2 * self._away_s]:
            del self._heard[peer]
            self._seen.pop(peer, None)

    def _make_room(self, socket: Any) -> bytes | None:
        """Directories and keys; returns the server key if there is one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._directory / "backlog", ignore_errors=True)
        if self._address.startswith("ipc://"):
            Path(self._address.removeprefix("ipc://")).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _server_key(socket, self._directory / "curve.json") if self._curve else None


def _size(parts: Sequence[Any]) -> int:
    return sum(len(part) for part in parts)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):  # wait_for may swallow a cancellation in 3.11
            await event.wait()
    except TimeoutError:
        return


def _server_key(socket: Any, path: Path) -> bytes:
    """The bus's key pair, the same after a restart, so that lines find their way back."""
    if path.exists():
        public, secret = msgspec.json.decode(path.read_bytes(), type=tuple[bytes, bytes])
    else:
        public, secret = zmq.curve_keypair()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode((public, secret)))
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    return bytes(public)


__all__ = ["Bus"]
