"""The doors in front of every route, as plain ASGI: errors, headers, Host, body size, sign-in.

Outermost first: ``Faults`` (a crash becomes an id), ``Headers``, ``Hosts`` (names we answer to), ``Bodies``
(size and time), ``SignedIn`` (deny unless listed). All decide by ``scope["path"]``, the path that is routed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import secrets
import socket
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers as RequestHeaders
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import problem
from web.tokens import TokenStore

logger = logging.getLogger("assay.web")

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
OPEN = frozenset({"/livez", "/readyz", "/login"})
BODY_BYTES = 64 * 1024
BODY_S = 10.0
HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>\d{1,5}))?")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
WILDCARDS = frozenset({"0.0.0.0", "::", ""})


class Faults:
    """A crash in a handler: the visitor gets an id, the log gets the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            number = secrets.token_hex(4)
            logger.exception("E900 request to %s failed, error id %s", scope["path"], number)
            if started:
                raise
            detail = f"Assay made a mistake. Its log has more under the error id {number}."
            answer = problem(Request(scope), 500, detail, code="E900", error_id=number)
            await answer(scope, receive, send)


class Headers:
    """Security headers on every answer; nothing but static files may be stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers[name] = value
                headers.setdefault("cache-control", _cache(scope["path"], message["status"]))
            await send(message)

        return await self._app(scope, receive, dressed)


def _cache(path: str, status: int) -> str:
    if path.startswith("/static/") and status in {200, 206, 304}:
        return "public, max-age=31536000, immutable" if path.startswith("/static/vendor/") else "no-cache"
    return "no-store"


class Hosts:
    """Only names that are ours: a page of another site that points its name at us reads nothing."""

    def __init__(self, app: ASGIApp, bound: str) -> None:
        self._app = app
        self._anywhere = bound in WILDCARDS
        own = {socket.gethostname(), socket.getfqdn()} if self._anywhere else {bound}
        self._names = {name.lower() for name in own} | LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self.allows(RequestHeaders(scope=scope).getlist("host")):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
            return None
        answer = problem(Request(scope), 400, "The Host header does not name this server.", code="E610")
        return await answer(scope, receive, send)

    def allows(self, hosts: Iterable[str]) -> bool:
        """Whether there is exactly one Host and it is well-formed and ours."""
        given = list(hosts)
        match = HOST.fullmatch(given[0]) if len(given) == 1 else None
        if match is None:
            return False
        name = (match["v6"] or match["name"]).lower()
        return name in self._names or (self._anywhere and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Bodies:
    """A request's body: 64 KB at most, within ten seconds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = RequestHeaders(scope=scope).get("content-length", "0")
        taken = 0

        async def measured() -> Message:
            nonlocal taken
            async with asyncio.timeout(BODY_S):
                message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_BYTES:
                raise TooLarge
            return message

        try:
            if not declared.isdigit() or int(declared) > BODY_BYTES:
                raise TooLarge
            await self._app(scope, measured if scope["method"] in {"POST", "PUT", "PATCH"} else receive, send)
        except TooLarge:
            detail = f"The body may have at most {BODY_BYTES:,} bytes."
            await problem(Request(scope), 413, detail, code="E611")(scope, receive, send)
        except TimeoutError:
            detail = f"The body did not arrive within {BODY_S:.0f} s."
            await problem(Request(scope), 408, detail, code="E611")(scope, receive, send)
        return None


class TooLarge(Exception):
    """A body went over its limit."""


class SignedIn:
    """Everything but the listed paths wants a session or a bearer token; without a store all are let in."""

    def __init__(self, app: ASGIApp, tokens: TokenStore | None) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The socket answers for itself: a browser can only read close codes of an accepted one.
        if scope["type"] != "http" or scope["path"] in OPEN or scope["path"].startswith("/static/"):
            return await self._app(scope, receive, send)
        request = Request(scope)
        if self._tokens is not None and who(request, self._tokens) is None:
            answer = problem(
                request, 401, "Sign in, or send the token as `Authorization: Bearer …`.", code="E620"
            )
            answer.headers["www-authenticate"] = "Bearer"
            return await answer(scope, receive, send)
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"} and not same_origin(request):
            answer = problem(request, 403, "This request came from another site.", code="E621")
            return await answer(scope, receive, send)
        return await self._app(scope, receive, send)


def who(connection: HTTPConnection, tokens: TokenStore) -> str | None:
    """``token`` (bearer), ``session`` (cookie) or None."""
    scheme, _, offered = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and tokens.is_token(offered.strip()):
        return "token"
    session = connection.cookies.get(cookie_name(connection))
    return "session" if session and tokens.is_session(session) else None


def cookie_name(connection: HTTPConnection) -> str:
    """One cookie a port: cookies do not tell ports apart, and two runs may share a host."""
    server: Any = connection.scope.get("server")
    return f"assay_{server[1] if server else 0}"


def same_origin(connection: HTTPConnection) -> bool:
    """Whether the Origin is this server's own; none at all is a program, not a page.

    A form of a page with ``Referrer-Policy: no-referrer`` is sent with ``Origin: null``; then the browser's own
    word (``Sec-Fetch-Site``, which no page can set) must say that it is ours.
    """
    origin, site = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
    if origin is None:
        return site in {None, "none", "same-origin"}
    if origin == "null":
        return site == "same-origin"
    scheme = "https" if connection.scope["scheme"] in {"https", "wss"} else "http"
    return origin == f"{scheme}://{connection.headers.get('host', '')}"
