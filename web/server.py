"""Serves the app inside a running loop. Whoever started it owns SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from core.errors import ConfigError
from web.listening import listen

CONNECTIONS = 512
MESSAGE_BYTES = 64 * 1024
STOP_S = 5


class Browser(WebSocketsSansIOProtocol):
    """A socket that can be cut off: a peer that does not read never takes a close frame either."""

    def connection_made(self, transport: Any) -> None:
        """Lend the app the transport's ``abort`` (as ``scope["state"]["abort"]``)."""
        super().connection_made(transport)
        # The default lets 64 KB pile up in front of a peer that has stopped reading.
        transport.set_write_buffer_limits(high=16 * 1024)
        self.app_state = {**self.app_state, "abort": transport.abort}


class Quiet(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@dataclass(frozen=True, slots=True)
class Serving:
    """A server at work."""

    port: int
    """The bound one."""
    stop: Callable[[], Awaitable[None]]
    """Close all sockets (code 1012) and return when that is done; safe twice."""


async def serve(app: ASGIApp, host: str, port: int) -> Serving:
    """Listen and serve: ``web.listening.listen``, then ``serve_on``."""
    return await serve_on(app, listen(host, port))


async def serve_on(app: ASGIApp, listener: socket.socket) -> Serving:
    """Start to serve on a bound socket, and own it; returns once requests are taken."""
    port = int(listener.getsockname()[1])
    server = Quiet(_config(app))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    while not server.started:
        if task.done():
            listener.close()
            await task
            raise ConfigError("the web server ended at its start; the log says why", "E601")
        await asyncio.sleep(0.005)

    async def stop() -> None:
        server.should_exit = True
        await asyncio.shield(task)

    return Serving(port, stop)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app, http="h11", ws=Browser, lifespan="off", log_config=None,
        log_level="warning", access_log=False, server_header=False,
        proxy_headers=False, ws_max_size=MESSAGE_BYTES, ws_per_message_deflate=False, ws_ping_interval=20.0,
        ws_ping_timeout=20.0, limit_concurrency=CONNECTIONS, timeout_keep_alive=5,
        timeout_graceful_shutdown=STOP_S, h11_max_incomplete_event_size=32 * 1024, backlog=256,
    )  # fmt: skip
