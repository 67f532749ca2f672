"""One ZeroMQ socket on the running loop, drained in bursts.

``zmq.asyncio`` makes a future for every message and part; at thousands of frames a second that costs more than
the frames themselves. Here the socket's descriptor wakes the loop once, and all that has arrived is handed over
in one go. Sends never wait: high-water marks are off, and both ends keep their own bounds by credit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import zmq

BURST = 256
"""Messages taken in a row before others on the loop have their turn."""


class Wire:
    """A non-blocking socket; ``hear(parts)`` is called for every message, in order."""

    def __init__(self, socket: zmq.Socket[Any], hear: Callable[[list[zmq.Frame]], None]) -> None:
        self._socket = socket
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._fd = int(socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self._drain)
        self._drain_soon()

    def send(self, parts: Sequence[Any]) -> bool:
        """Hand a message over; large parts are not copied. False when the peer is gone."""
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT, copy=False)
        except (zmq.Again, zmq.ZMQError) as failed:
            if isinstance(failed, zmq.Again) or failed.errno == zmq.EHOSTUNREACH:
                return False
            raise
        # A send may swallow the descriptor's edge, so look once more before going to sleep.
        self._drain_soon()
        return True

    def close(self, linger_ms: int = 200) -> None:
        """Stop hearing and let go of the socket; what was handed over has ``linger_ms`` to leave."""
        if not self._socket.closed:
            self._loop.remove_reader(self._fd)
            self._socket.close(linger_ms)

    def _drain_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._due = False
        for _ in range(BURST):
            if self._socket.closed:
                return
            try:
                parts = self._socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._hear(parts)
        self._drain_soon()


def socket_of(kind: int, **options: int | bytes) -> zmq.Socket[Any]:
    """A socket with no high-water marks and quick reconnects, on the process's own context."""
    socket: zmq.Socket[Any] = zmq.Context.instance().socket(kind)
    settings: dict[str, int | bytes] = {
        "SNDHWM": 0, "RCVHWM": 0, "LINGER": 200, "RECONNECT_IVL": 50, "RECONNECT_IVL_MAX": 250,
        "TCP_KEEPALIVE": 1, "HANDSHAKE_IVL": 5000, **options,
    }  # fmt: skip
    for name, value in settings.items():
        socket.setsockopt(getattr(zmq, name), value)
    return socket
