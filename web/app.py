"""The web app: every route on one page. It is given its world and knows neither Ray nor stations."""

from __future__ import annotations

import secrets
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from config.models import Web
from core.errors import ConfigError
from web import metrics, pages
from web.channels import Screen
from web.feed import Feed
from web.guard import Bodies, Faults, Headers, Hosts, SignedIn, cookie_name, same_origin
from web.health import not_ready
from web.listening import refuse_strangers
from web.problems import problem, refused
from web.sockets import Hub
from web.tokens import SESSION_S, TokenStore


def create_app(feed: Feed, *, settings: Web, token: TokenStore | None, root: Path) -> Starlette:
    """The app.

    Args:
        feed: where the numbers come from.
        settings: host (whose name is answered to) and auth.
        token: who may come in; may be None only with ``auth: none``.
        root: the data directory, named on the settings page.

    Raises:
        ConfigError: E602, ``auth: none`` on an address others can reach, or no token with ``auth: token``.
    """
    refuse_strangers(settings)
    if settings.auth == "token" and token is None:
        raise ConfigError("`web.auth: token` needs a token; open one with `TokenStore.open(root)`", "E602")
    tokens = token if settings.auth == "token" else None
    app = Starlette(
        routes=ROUTES,
        exception_handlers={HTTPException: refused},
        middleware=[
            Middleware(Faults),
            Middleware(Headers),
            Middleware(Hosts, settings.host),
            Middleware(Bodies),
            Middleware(SignedIn, tokens),
        ],
    )
    app.state.feed, app.state.tokens, app.state.root = feed, tokens, root
    app.state.signs_in = tokens is not None
    app.state.hub = Hub(Screen(feed), tokens, epoch=secrets.token_hex(6))
    return app


# --- pages


async def pipeline(request: Request) -> Response:
    """``/``: is it flowing, where is it stuck, is anything lost."""
    return pages.page(request, "pipeline.html", title="Pipeline")


async def sources(request: Request) -> Response:
    """``/sources``: every source's books."""
    return pages.page(request, "sources.html", title="Sources")


async def events(request: Request) -> Response:
    """``/events``: what happened; the filter lives in the query string."""
    return pages.page(request, "events.html", title="Events")


# --- sign-in


async def login(request: Request) -> Response:
    """``GET /login?code=…`` signs in once; without a code it asks for the token, which comes by POST."""
    tokens: TokenStore | None = request.app.state.tokens
    if tokens is None:
        return RedirectResponse("/", 303)
    if request.method != "POST" and "code" not in request.query_params:
        return pages.page(request, "login.html", refused=None)
    if request.method == "POST" and not same_origin(request):
        return problem(request, 403, "This request came from another site.", code="E621")
    address = request.client.host if request.client else "unknown"
    if not tokens.may_try(address):
        return _not_let_in(request, 429, "Too many tries; wait a minute.")
    if request.method == "POST":
        session = tokens.exchange(await _field(request, "token"))
    else:
        session = tokens.redeem(request.query_params["code"])
    if session is None:
        tokens.refuse(address)
        wrong = (
            "That is not the token." if request.method == "POST" else "This address was used or is too old."
        )
        return _not_let_in(request, 401, wrong)
    _end_session(request, tokens)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        cookie_name(request), session, max_age=int(SESSION_S), httponly=True, samesite="strict",
        secure=request.scope["scheme"] == "https",
    )  # fmt: skip
    return answer


async def logout(request: Request) -> Response:
    """``POST /logout`` ends the session here and in the browser."""
    tokens: TokenStore | None = request.app.state.tokens
    answer = RedirectResponse("/login", 303)
    if tokens is not None:
        _end_session(request, tokens)
    answer.delete_cookie(cookie_name(request), httponly=True, samesite="strict")
    return answer


def _end_session(request: Request, tokens: TokenStore) -> None:
    tokens.end(request.cookies.get(cookie_name(request), ""))


def _not_let_in(request: Request, status: int, words: str) -> Response:
    return pages.page(request, "login.html", status=status, refused=words)


async def _field(request: Request, name: str) -> str:
    """A field of a posted form; empty if it is not there."""
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=10)
    except ValueError:
        return ""
    return fields.get(name, [""])[0].strip()


# --- for programs


async def status(request: Request) -> Response:
    """``/api/v1/status``: the document of ``assay status --json``, nothing more."""
    document = {key: value for key, value in _feed(request).snapshot().items() if key != "live"}
    return _json(document)


async def api_events(request: Request) -> Response:
    """``/api/v1/events?limit=``: the newest signals, oldest first, as NDJSON."""
    limit = request.query_params.get("limit", "500")
    if not limit.isdecimal() or not 1 <= int(limit) <= 500:
        return problem(request, 400, "`limit` is a number from 1 to 500.", code="E612", field="limit")
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in _feed(request).events(int(limit)))
    headers = {"content-disposition": 'attachment; filename="assay-events.ndjson"'}
    return Response(lines, media_type="application/x-ndjson", headers=headers)


async def livez(request: Request) -> Response:
    """The loop runs."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """The pipeline is fit for work, or why not."""
    reasons = not_ready(_feed(request).snapshot())
    return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def prometheus(request: Request) -> Response:
    """``/metrics``."""
    hub: Hub = request.app.state.hub
    text = metrics.metrics(
        _feed(request).snapshot(),
        version=_version(),
        sockets=len(hub.lanes),
        merged=hub.merged,
        dropped=hub.dropped,
    )
    return Response(text, media_type=metrics.CONTENT_TYPE)


async def socket(websocket: WebSocket) -> None:
    """``/ws``: see docs/web.md."""
    hub: Hub = websocket.app.state.hub
    await hub.serve(websocket)


def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")


def _version() -> str:
    try:
        return installed("assay")
    except PackageNotFoundError:
        return "checkout"


ROUTES = [
    Route("/", pipeline),
    Route("/sources", sources),
    Route("/data_sources", lambda _: RedirectResponse("/sources", 308)),
    Route("/events", events),
    Route("/login", login, methods=["GET", "POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/api/v1/status", status),
    Route("/api/v1/events", api_events),
    Route("/livez", livez),
    Route("/readyz", readyz),
    Route("/metrics", prometheus),
    WebSocketRoute("/ws", socket),
    Mount("/static", GZipMiddleware(StaticFiles(directory=pages.STATIC), minimum_size=1000), name="static"),
]
