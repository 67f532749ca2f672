"""An app a test, over a feed that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from config.models import Web
from core.ledger import Counts
from core.status import SourceFacts, StatusBoard, source_object
from web.app import create_app
from web.feed import LiveFeed
from web.tokens import TokenStore

TOKEN = "t0ken-for-tests-0123456789abcdef"
BEARER = {"authorization": f"Bearer {TOKEN}"}
HOME = "http://127.0.0.1:8080"


def a_document(
    state: str = "running", name: str = "flights", in_flight: int = 2, **counts: int
) -> dict[str, Any]:
    """A status document with one source, made by the real board."""
    facts = SourceFacts(name, "file", "flights")
    board = StatusBoard(mode="event", sources=[facts], stored={}, started_at=0.0)
    books = Counts(**(counts or {"read": 12, "gold": 10}))
    said = source_object(facts, books, state=state, in_flight=in_flight)
    board.take({"station": f"connector:{name}", "kind": "connector", "state": state, "source": said})
    names = ["bus", "registry", "writer"]
    stations = [{"name": one, "state": "running", "pid": 1, "restarts": 0} for one in names]
    board.take({"station": "supervisor", "kind": "supervisor", "stations": stations})
    board.take({"station": "writer", "kind": "writer", "state": "running"})
    return board.document()


@pytest.fixture
def clock() -> list[float]:
    """Monotonic seconds; a test moves element 0."""
    return [1000.0]


@pytest.fixture
def feed(clock: list[float]) -> LiveFeed:
    """A feed that has heard one document."""
    feed = LiveFeed(monotonic=lambda: clock[0], wall=lambda: 1_800_000_000.0)
    feed.status(a_document())
    return feed


@pytest.fixture
def tokens(clock: list[float]) -> TokenStore:
    """A store with a known token."""
    return TokenStore(TOKEN, clock=lambda: clock[0])


@pytest.fixture
def app(feed: LiveFeed, tokens: TokenStore, tmp_path: Path) -> Starlette:
    """The app with token auth on loopback."""
    return create_app(feed, settings=Web(), token=tokens, root=tmp_path)


@pytest.fixture
def client(app: Starlette) -> Callable[..., httpx.AsyncClient]:
    """Makes a visitor; with headers that every request carries."""

    def make(**headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 5000))
        return httpx.AsyncClient(transport=transport, base_url=HOME, headers=headers)

    return make
