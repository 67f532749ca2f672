"""Who is let in, and what is told to those who are not (docs/web.md)."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from config.models import Web
from core.errors import ConfigError
from tests.web.conftest import BEARER, HOME, TOKEN, a_document
from web.app import create_app
from web.feed import StoredFeed
from web.guard import CSP
from web.tokens import CODE_S, GUESSES, SESSION_S, TokenStore, login_url, token_path

PAGES = ["/", "/sources", "/events"]
DATA = ["/api/v1/status", "/api/v1/events", "/metrics"]


@pytest.mark.parametrize("path", [*PAGES, *DATA, "/nowhere"])
async def test_without_a_token_everything_is_401(client, path):
    """Row 93; an unknown address is no exception, so nothing can be probed."""
    async with client() as visitor:
        answer = await visitor.get(path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "E620"


@pytest.mark.parametrize("path", PAGES)
async def test_visitor_without_a_session_is_told_where_the_token_is(client, path):
    async with client(accept="text/html") as visitor:
        answer = await visitor.get(path)

    assert answer.status_code == 401
    assert "state/token" in answer.text and TOKEN not in answer.text


@pytest.mark.parametrize("path", [*PAGES, *DATA])
async def test_bearer_opens_everything(client, path):
    async with client(**BEARER) as visitor:
        assert (await visitor.get(path)).status_code == 200


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic abc", "Bearer", "bearer  "])
async def test_wrong_bearer_is_401(client, header):
    async with client(authorization=header) as visitor:
        assert (await visitor.get("/api/v1/status")).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_health_is_open(client, path):
    async with client() as visitor:
        assert (await visitor.get(path)).status_code == 200


async def test_login_address_works_once_and_sets_a_strict_cookie(client, tokens):
    path = login_url(tokens, "127.0.0.1", 8080).removeprefix(HOME)
    async with client(accept="text/html") as visitor:
        first = await visitor.get(path)
        assert (first.status_code, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert (await visitor.get("/")).status_code == 200
    async with client(accept="text/html") as other:
        assert (await other.get(path)).status_code == 401


async def test_login_address_is_void_after_ten_minutes(client, tokens, clock):
    path = f"/login?code={tokens.login_code()}"
    clock[0] += CODE_S + 1

    async with client() as visitor:
        assert (await visitor.get(path)).status_code == 401


async def test_token_is_exchanged_for_a_session_that_ends(client, clock):
    async with client() as visitor:
        answer = await visitor.post("/login", data={"token": TOKEN}, headers={"origin": HOME})
        assert answer.status_code == 303
        assert (await visitor.get("/api/v1/status")).status_code == 200

        clock[0] += SESSION_S + 1

        assert (await visitor.get("/api/v1/status")).status_code == 401


async def test_logout_ends_the_session_at_the_server(client, tokens):
    async with client() as visitor:
        await visitor.get(f"/login?code={tokens.login_code()}")
        cookies = dict(visitor.cookies)
        assert (await visitor.post("/logout", headers={"origin": HOME})).status_code == 303

    async with client() as thief:
        thief.cookies.update(cookies)
        assert (await thief.get("/api/v1/status")).status_code == 401


async def test_guesses_are_limited_a_minute(client, clock):
    async with client() as visitor:
        for _ in range(GUESSES):
            assert (await visitor.post("/login", data={"token": "wrong"})).status_code == 401
        assert (await visitor.post("/login", data={"token": TOKEN})).status_code == 429

        clock[0] += 61

        assert (await visitor.post("/login", data={"token": TOKEN})).status_code == 303


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "https://127.0.0.1:8080", "http://127.0.0.1:9"]
)
async def test_forms_of_other_sites_are_refused(client, tokens, origin, path):
    async with client() as visitor:
        await visitor.get(f"/login?code={tokens.login_code()}")
        answer = await visitor.post(path, data={"token": TOKEN}, headers={"origin": origin})

    assert (answer.status_code, answer.json()["code"]) == (403, "E621")


@pytest.mark.parametrize(("site", "status"), [("same-origin", 303), ("cross-site", 403), ("same-site", 403)])
async def test_form_without_a_named_origin_is_ours_only_if_the_browser_says_so(client, site, status):
    """Our pages send no referrer, so that a browser sends their forms with ``Origin: null``."""
    async with client() as visitor:
        headers = {"origin": "null", "sec-fetch-site": site}
        assert (await visitor.post("/login", data={"token": TOKEN}, headers=headers)).status_code == status


@pytest.mark.parametrize(
    "host", ["a/b?", "evil.test", "127.0.0.1:8080/..", "127.0.0.1@evil.test", "", "a b", "127.0.0.1:port"]
)
async def test_host_that_is_not_ours_is_400(client, host):
    """Row 103, and pages that point their own name at this address."""
    async with client(**BEARER) as visitor:
        answer = await visitor.get("/api/v1/status", headers={"host": host})

    assert (answer.status_code, answer.json()["code"]) == (400, "E610")


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080"])
async def test_our_own_names_are_answered(client, host):
    async with client(**BEARER) as visitor:
        assert (await visitor.get("/api/v1/status", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/js/",
    ],
)
async def test_static_files_are_those_and_no_others(app, path):
    """Row 102. httpx tidies paths, so the scope is made by hand."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path.replace("%2e", ".").replace("%2f", "/"), "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"127.0.0.1:8080")], "scheme": "http", "root_path": "",
        "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)

    assert sent[0]["status"] in {401, 404}
    assert b"import" not in b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("path", ["/", "/livez", "/login", "/static/js/dom.js", "/nowhere", "/api/v1/status"])
async def test_every_answer_carries_the_headers(client, path):
    async with client(**BEARER) as visitor:
        headers = (await visitor.get(path)).headers

    assert headers["content-security-policy"] == CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")
    assert "server" not in headers


def test_csp_lets_no_inline_script_through():
    assert "script-src 'self';" in CSP and "unsafe-eval" not in CSP
    assert "unsafe-inline" not in CSP.replace("style-src-attr 'unsafe-inline'", "")


@pytest.mark.parametrize("path", ["/livez", "/api/v1/status", "/"])
async def test_wrong_method_is_405_and_says_which(client, path):
    async with client(**BEARER) as visitor:
        answer = await visitor.delete(path)

    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/logout", 405)])
async def test_person_gets_a_page_for_what_is_not_there(client, path, status):
    async with client(**BEARER, accept="text/html,*/*") as visitor:
        answer = await visitor.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert str(status) in answer.text


async def test_large_body_is_413(client):
    async with client() as visitor:
        answer = await visitor.post("/login", content=b"token=" + b"x" * 70_000)

    assert (answer.status_code, answer.json()["code"]) == (413, "E611")


async def test_large_body_without_a_length_is_413_too(client):
    async def drip():
        for _ in range(80):
            yield b"x" * 1000

    async with client() as visitor:
        assert (await visitor.post("/login", content=drip())).status_code == 413


async def test_crash_shows_an_id_and_no_trace(app: Starlette, client, caplog):
    async def crash(request):
        raise RuntimeError("secret inside")

    app.router.routes.insert(0, Route("/crash", crash))
    async with client(**BEARER) as visitor:
        answer = await visitor.get("/crash")

    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert answer.json()["error_id"] in caplog.text


async def test_names_of_sources_are_text(client, feed):
    """Row 101: the page is a shell; data come as JSON and are written by textContent."""
    feed.status(a_document(name="<script>alert(1)</script>"))
    async with client(**BEARER) as visitor:
        assert "alert(1)" not in (await visitor.get("/")).text
        assert (await visitor.get("/api/v1/status")).headers["content-type"] == "application/json"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "assay.example.test", "::"])
def test_no_auth_on_an_address_others_reach_is_refused(feed, host):
    with pytest.raises(ConfigError) as refusal:
        create_app(feed, settings=Web(host=host, auth="none"), token=None, root=Path())

    assert refusal.value.code == "E602" and host in str(refusal.value)


async def test_no_auth_on_loopback_lets_all_in(feed, tmp_path):
    app = create_app(feed, settings=Web(auth="none"), token=None, root=tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOME) as visitor:
        assert (await visitor.get("/")).status_code == 200


def test_token_auth_without_a_token_is_a_mistake(feed):
    with pytest.raises(ConfigError, match="E602"):
        create_app(feed, settings=Web(), token=None, root=Path())


def test_token_is_made_once_and_only_its_owner_reads_it(tmp_path):
    TokenStore.open(tmp_path)
    first = token_path(tmp_path).read_text()
    store = TokenStore.open(tmp_path)

    assert stat.S_IMODE(token_path(tmp_path).stat().st_mode) == 0o600
    assert store.is_token(first.strip()) and not store.is_token("")


def test_emptied_token_file_is_named(tmp_path):
    TokenStore.open(tmp_path)
    token_path(tmp_path).write_text("")

    with pytest.raises(ConfigError, match="E603"):
        TokenStore.open(tmp_path)


async def test_ready_says_why_not(client, feed, clock):
    document = a_document()
    document["stations"] = [one for one in document["stations"] if one["name"] != "bus"]
    feed.status(document)
    clock[0] += 60
    async with client() as visitor:
        answer = await visitor.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["nothing heard for 60 s", "station `bus` has not spoken yet"]


async def test_stored_state_is_served_and_ready(tmp_path, tokens):
    app = create_app(StoredFeed(a_document(state="stopped")), settings=Web(), token=tokens, root=tmp_path)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=HOME, headers=BEARER
    ) as visitor:
        assert (await visitor.get("/readyz")).status_code == 200
        assert (await visitor.get("/api/v1/status")).json() == a_document(state="stopped")
