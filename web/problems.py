"""An error's answer: a small page for people, problem+json (RFC 9457) for programs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from web.pages import page


def problem(request: Request, status: int, detail: str, *, code: str | None = None, **extra: Any) -> Response:
    """The answer to a request that went wrong; never a stack trace, never what the visitor sent."""
    title = HTTPStatus(status).phrase
    if wants_page(request):
        if status == 401:
            return page(request, "login.html", status=401, refused=None)
        return page(
            request, "problem.html", status=status, number=status, title=title, detail=detail, code=code
        )
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    if code:
        body["code"] = code
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


def wants_page(request: Request) -> bool:
    """Whether a person looks: a browser's GET outside the API."""
    path = request.scope["path"]
    asks = request.method in {"GET", "HEAD", "POST"} and "text/html" in request.headers.get("accept", "")
    return asks and not path.startswith("/api/") and path not in {"/metrics", "/livez", "/readyz"}


async def refused(request: Request, error: Exception) -> Response:
    """Starlette's own refusals (404, 405 …) in our words."""
    assert isinstance(error, HTTPException)
    words = {
        404: "There is nothing at this address.",
        405: "This address does not take that method.",
    }
    answer = problem(request, error.status_code, words.get(error.status_code, error.detail))
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer
