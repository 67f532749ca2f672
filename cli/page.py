"""The dashboard beside a run: the app, its server and the address that lets the user in."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

from config.models import Config
from web.app import create_app
from web.feed import Feed
from web.listening import listen
from web.server import Serving, serve_on
from web.tokens import TokenStore, login_url, shown_host


@dataclass(slots=True)
class Page:
    """A served dashboard."""

    serving: Serving

    @classmethod
    async def open(cls, config: Config, feed: Feed, listener: socket.socket | None = None) -> Page:
        """Serve, and print where to look.

        Args:
            listener: bound already, by ``web.listening.listen``.

        Raises:
            ConfigError: the port is taken, or the settings would let strangers in.
        """
        web, root = config.web, config.storage.root
        tokens = TokenStore.open(root) if web.auth == "token" else None
        app = create_app(feed, settings=web, token=tokens, root=root)
        serving = await serve_on(app, listener or listen(web.host, web.port))
        address = f"http://{shown_host(web.host)}:{serving.port}"
        if tokens:
            # Written past the redactor on purpose: this one line is for the person who started the run.
            print(
                f"dashboard: {login_url(tokens, web.host, serving.port)}  (signs in once; then {address})",
                file=sys.stderr,
                flush=True,
            )
        else:
            print(f"dashboard: {address}", file=sys.stderr, flush=True)
        return cls(serving)

    async def close(self) -> None:
        """Stop serving."""
        await self.serving.stop()
