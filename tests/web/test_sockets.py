"""``/ws`` over a real server and real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.models import Web
from core.errors import ConfigError
from core.signals import signal
from tests.waiting import eventually
from tests.web.conftest import TOKEN, a_document
from web import sockets
from web.app import create_app
from web.channels import EVENT_QUEUE
from web.feed import LiveFeed
from web.server import Serving, serve
from web.sockets import Hub
from web.tokens import SESSION_S, TokenStore


class Stage:
    """A served app, and visitors to it."""

    def __init__(self, serving: Serving, feed: LiveFeed, hub: Hub, tokens: TokenStore) -> None:
        self.serving, self.feed, self.hub, self.tokens = serving, feed, hub, tokens
        self.home = f"http://127.0.0.1:{serving.port}"

    def visit(self, *, session: str | None = None, **changes: Any) -> connect:
        """A socket, by bearer, or as a page with a session."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        if session:
            headers = {"cookie": f"assay_{self.serving.port}={session}", "origin": self.home}
        given = {"additional_headers": headers, "subprotocols": ["assay.v1"], "compression": None, **changes}
        return connect(f"ws://127.0.0.1:{self.serving.port}/ws", **given)

    def say(self, message: str) -> None:
        """A signal is heard."""
        self.feed.take(
            "system", signal("assay.batch.committed", "flights", message, source="/stations/writer")
        )


@pytest.fixture
async def stage(feed: LiveFeed, tokens: TokenStore, tmp_path) -> AsyncIterator[Stage]:
    app = create_app(feed, settings=Web(), token=tokens, root=tmp_path)
    serving = await serve(app, "127.0.0.1", 0)
    yield Stage(serving, feed, app.state.hub, tokens)
    await serving.stop()


async def ask(peer: ClientConnection, **message: Any) -> None:
    await peer.send(msgspec.json.encode(message).decode())


async def told(peer: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    """The next message, of a kind if one is named."""
    async with asyncio.timeout(10):
        while True:
            message = msgspec.json.decode(await peer.recv(), type=dict[str, Any])
            if kind in {None, message["t"]}:
                return message


async def greeted(peer: ClientConnection) -> dict[str, Any]:
    await ask(peer, t="hello", v=1)
    return await told(peer, "welcome")


async def code_of(peer: ClientConnection) -> int:
    """The code it is closed with."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await peer.recv()
    assert peer.close_code is not None
    return peer.close_code


async def test_page_gets_a_snapshot_and_then_what_changes(stage):
    async with stage.visit() as peer:
        welcome = await greeted(peer)
        assert welcome["hz"] == 5 and welcome["epoch"]
        await ask(peer, t="sub", id="a", ch="flow", hz=10)
        snap = await told(peer, "snap")
        assert snap["data"]["ledger"]["read"] == 12

        stage.feed.status(a_document(read=20, gold=18))
        d = await told(peer, "d")

    assert d["data"]["ledger"]["read"] == 20
    assert (d["id"], d["prev"], d["seq"]) == ("a", snap["seq"], snap["seq"] + 1)


async def test_newer_state_replaces_older(stage):
    """Two hundred changes within one interval are one frame."""
    async with stage.visit() as peer:
        await greeted(peer)
        await ask(peer, t="sub", id="a", ch="flow", hz=2)
        await told(peer, "snap")
        for n in range(200):
            stage.feed.status(a_document(read=n + 2, gold=n))
        d = await told(peer, "d")

        assert d["data"]["ledger"]["read"] == 201
        assert stage.hub.merged == 199


async def test_events_come_in_order_and_filtered_at_the_server(stage):
    async with stage.visit() as peer:
        await greeted(peer)
        stage.say("before")
        await ask(peer, t="sub", id="e", ch="events", hz=10, filter={"q": "WANTED"})
        snap = await told(peer, "snap")
        assert snap["data"] == [] and snap["seq"] == 1

        stage.say("other")
        stage.say("wanted")
        frames = [await told(peer, "d")]
        while not frames[-1]["data"]:
            frames.append(await told(peer, "d"))

    assert [event["data"]["message"] for frame in frames for event in frame["data"]] == ["wanted"]
    assert frames[0]["prev"] == 1 and frames[-1]["seq"] == 3


async def test_events_that_fell_out_of_the_ring_are_told_as_a_gap(stage):
    async with stage.visit() as peer:
        await greeted(peer)
        await ask(peer, t="sub", id="e", ch="events", hz=1)
        await told(peer, "snap")
        for n in range(EVENT_QUEUE + 12):
            stage.say(f"event {n}")
        gap, d = await told(peer), await told(peer)

    assert (gap["t"], gap["missed"]) == ("gap", 12)
    assert len(d["data"]) == EVENT_QUEUE and d["prev"] == 12


async def test_events_go_on_since_a_number_of_this_life(stage):
    for n in range(5):
        stage.say(f"event {n}")
    async with stage.visit() as peer:
        epoch = (await greeted(peer))["epoch"]
        await ask(peer, t="sub", id="e", ch="events", since=3, resume={"epoch": epoch})
        same = await told(peer, "snap")
        await ask(peer, t="sub", id="e", ch="events", since=3, resume={"epoch": "another"})
        other = await told(peer, "snap")

    assert [event["n"] for event in same["data"]] == [4, 5]
    assert [event["n"] for event in other["data"]] == [1, 2, 3, 4, 5]


async def test_metrics_send_the_series_and_then_new_points(stage, clock):
    async with stage.visit() as peer:
        await greeted(peer)
        await ask(peer, t="sub", id="m", ch="metrics")
        assert len((await told(peer, "snap"))["data"]) == 1


async def test_resync_gives_everything_again(stage):
    async with stage.visit() as peer:
        await greeted(peer)
        await ask(peer, t="sub", id="a", ch="flow")
        await told(peer, "snap")
        await ask(peer, t="resync", id="a")

        assert (await told(peer, "snap"))["seq"] == 2


async def test_unsubscribed_is_silent_and_ping_is_answered(stage):
    async with stage.visit() as peer:
        await greeted(peer)
        await ask(peer, t="sub", id="a", ch="flow", hz=10)
        await told(peer, "snap")
        await ask(peer, t="unsub", id="a")
        await ask(peer, t="ping", ts=7)
        assert (await told(peer))["ts"] == 7

        stage.feed.status(a_document(read=99, gold=97))
        await ask(peer, t="ping", ts=8)

        assert await told(peer) == {"t": "pong", "ts": 8.0}


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
async def test_other_sites_are_4403(stage, origin):
    """Row 92, even with a good session."""
    session = stage.tokens.exchange(TOKEN)
    headers = {"cookie": f"assay_{stage.serving.port}={session}", "origin": origin}
    async with stage.visit(additional_headers=headers) as peer:
        assert await code_of(peer) == 4403


async def test_session_without_an_origin_is_4403(stage):
    session = stage.tokens.exchange(TOKEN)
    async with stage.visit(additional_headers={"cookie": f"assay_{stage.serving.port}={session}"}) as peer:
        assert await code_of(peer) == 4403


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"cookie": "assay=1"}])
async def test_without_a_token_it_is_4401(stage, headers):
    async with stage.visit(additional_headers=headers) as peer:
        assert await code_of(peer) == 4401


async def test_session_that_ends_closes_its_socket(stage, clock):
    """Row 94."""
    async with stage.visit(session=stage.tokens.exchange(TOKEN)) as peer:
        await greeted(peer)
        clock[0] += SESSION_S + 1

        assert await code_of(peer) == 4401


async def test_other_host_gets_no_handshake(stage):
    request = (
        "GET /ws HTTP/1.1\r\nHost: evil.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.serving.port)
    writer.write(request.encode())
    line = await reader.readline()
    writer.close()

    assert b" 403 " in line


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"t":"dance"}', "1", '{"t":"sub","filter":{"no":1}}', "\x00", '{"t":' * 5000]
)
async def test_what_is_no_message_is_4400(stage, text):
    """Row 95."""
    async with stage.visit() as peer:
        await greeted(peer)
        await peer.send(text)

        assert await code_of(peer) == 4400


async def test_bytes_and_a_missing_hello_are_4400(stage):
    async with stage.visit() as peer:
        await peer.send(b"\x00")
        assert await code_of(peer) == 4400
    async with stage.visit() as peer:
        await ask(peer, t="sub", id="a", ch="flow")
        assert await code_of(peer) == 4400


async def test_frame_over_64_kb_is_1009(stage):
    """Row 96."""
    async with stage.visit() as peer:
        await greeted(peer)
        await peer.send("x" * (65 * 1024))

        assert await code_of(peer) == 1009


async def test_unknown_channel_is_told_and_the_socket_stays(stage):
    """Row 97."""
    async with stage.visit() as peer:
        await greeted(peer)
        await ask(peer, t="sub", id="a", ch="secrets")
        assert (await told(peer, "ack"))["error"]["code"] == "unknown-channel"
        await ask(peer, t="cmd", id="b", name="source.pause")
        assert (await told(peer, "ack"))["error"]["code"] == "unknown-command"
        await ask(peer, t="ping", ts=1)

        assert (await told(peer))["t"] == "pong"


async def test_too_many_subscriptions_are_4429(stage):
    """Row 98."""
    async with stage.visit() as peer:
        await greeted(peer)
        with contextlib.suppress(ConnectionClosed):
            for n in range(1000):
                await ask(peer, t="sub", id=str(n), ch="flow")

        assert await code_of(peer) == 4429


async def test_flood_of_messages_is_4429(stage):
    async with stage.visit() as peer:
        await greeted(peer)
        with contextlib.suppress(ConnectionClosed):
            for n in range(sockets.ASKED_A_MINUTE + 10):
                await ask(peer, t="ping", ts=n)

        assert await code_of(peer) == 4429


async def test_other_protocol_is_4409(stage):
    async with stage.visit(subprotocols=None) as peer:
        assert await code_of(peer) == 4409
    async with stage.visit() as peer:
        await ask(peer, t="hello", v=2)
        assert await code_of(peer) == 4409


async def test_more_sockets_than_allowed_are_4429(stage, monkeypatch):
    monkeypatch.setattr(sockets, "SOCKETS", 2)
    async with stage.visit() as one, stage.visit() as two, stage.visit() as three:
        assert await code_of(three) == 4429
        await greeted(one)
        await greeted(two)


async def test_stuck_browser_costs_the_others_nothing(stage):
    """One peer that never reads: the others stay at their rate, and it is cut off after five seconds."""
    stuck = await a_stuck_peer(stage)
    moving = asyncio.create_task(keep_changing(stage.feed))
    try:
        async with stage.visit() as peer:
            await greeted(peer)
            await ask(peer, t="sub", id="a", ch="flow", hz=10)
            await told(peer, "snap")
            rates = []
            for _ in range(20):
                rates.append(await frames_within(peer, 0.5) * 2)
                if stage.hub.dropped:
                    break
            assert stage.hub.dropped == 1
            assert min(rates) >= 6, rates
            assert stage.hub.merged > 10
            await eventually(lambda: len(stage.hub.lanes) == 1)
    finally:
        moving.cancel()
        stuck.close()


async def a_stuck_peer(stage: Stage) -> socket.socket:
    """Subscribes sixteen times and then reads nothing; a small receive buffer fills soon."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(peer, ("127.0.0.1", stage.serving.port))
    request = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: assay.v1\r\n\r\n"
    )
    await loop.sock_sendall(peer, request.encode())
    assert b"101" in await loop.sock_recv(peer, 1024)
    await loop.sock_sendall(peer, masked('{"t":"hello","v":1}'))
    for n in range(16):
        await loop.sock_sendall(peer, masked(f'{{"t":"sub","id":"{n}","ch":"flow","hz":10}}'))
    return peer


def masked(text: str) -> bytes:
    """A client's text frame; a mask of zeros leaves the payload as it is."""
    return struct.pack("!BB4x", 0x81, 0x80 | len(text)) + text.encode()


async def keep_changing(feed: LiveFeed) -> None:
    document = a_document()
    # Some kilobytes a frame, as a run with many sources has: the kernel's own buffers are large.
    document["stations"] = [
        {"name": f"station-{n}", "state": "running", "pid": n, "restarts": 0} for n in range(200)
    ]
    while True:
        feed.status(document)
        await asyncio.sleep(0.05)


async def frames_within(peer: ClientConnection, seconds: float) -> int:
    frames = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await peer.recv()
                frames += 1
    return frames


async def test_stopping_closes_sockets_with_1012(feed, tokens, tmp_path):
    serving = await serve(create_app(feed, settings=Web(), token=tokens, root=tmp_path), "127.0.0.1", 0)
    stage = Stage(serving, feed, Hub(None, None, ""), tokens)  # type: ignore[arg-type]
    async with stage.visit() as peer:
        await greeted(peer)
        await asyncio.gather(serving.stop(), serving.stop())

        assert await code_of(peer) == 1012
    with pytest.raises((OSError, InvalidStatus)):
        async with stage.visit():
            pass


async def test_port_in_use_is_one_clear_line(stage):
    with pytest.raises(ConfigError) as refusal:
        await serve(lambda *_: None, "127.0.0.1", stage.serving.port)  # type: ignore[arg-type]

    assert refusal.value.code == "E600"
    assert str(stage.serving.port) in str(refusal.value) and "--port" in str(refusal.value)


@pytest.mark.parametrize("host", ["203.0.113.9", "no-such-host.invalid"])
async def test_address_that_is_not_ours_is_named(host):
    with pytest.raises(ConfigError) as refusal:
        await serve(lambda *_: None, host, 0)  # type: ignore[arg-type]

    assert refusal.value.code == "E601" and host in str(refusal.value)
