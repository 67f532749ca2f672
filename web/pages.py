"""Pages from templates. Values are escaped by Jinja2; nothing is marked safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse

HERE = Path(__file__).parent
STATIC = HERE / "static"
NAVIGATION = (("/", "Pipeline", "i-flow"), ("/sources", "Sources", "i-db"), ("/events", "Events", "i-list"))
"""Address, words, icon: only what exists."""

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer."""
    app = request.scope.get("app")
    signs_in = bool(app is not None and getattr(app.state, "signs_in", False))
    html = _templates.get_template(template).render(
        path=request.scope["path"], navigation=NAVIGATION, signs_in=signs_in, **values
    )
    return HTMLResponse(html, status)
