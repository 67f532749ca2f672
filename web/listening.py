"""Where the page will be reached: settled before a run starts, and without loading what serves it."""

from __future__ import annotations

import errno
import ipaddress
import socket

from config.models import Web
from core.errors import ConfigError

BACKLOG = 256
"""Callers that may wait until somebody serves."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port`` (0: a free one). Callers wait until somebody serves on it.

    Raises:
        ConfigError: E600, the port is taken; E601, the address is not ours or may not be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)  # else two could be bound to one port
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on `{host}` is taken by another program; stop it, or choose one with `--port`",
                "E600",
            ) from error
        raise ConfigError(
            f"`{host}` port {port} cannot be served ({error.strerror or error}); set `web.host` and `web.port`",
            "E601",
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether an address to bind is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_strangers(settings: Web) -> None:
    """Refuse a page without tokens where others can reach it.

    Raises:
        ConfigError: E602.
    """
    if settings.auth == "none" and not is_loopback(settings.host):
        raise ConfigError(
            f"`web.auth: none` is for loopback only and `web.host` is `{settings.host}`; use `auth: token`",
            "E602",
        )
