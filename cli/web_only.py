"""``--web-only``: the page over what is stored. Reads nothing, takes no lock."""

from __future__ import annotations

import asyncio
import signal

from cli import exits
from cli.page import Page
from cli.status import document
from config.models import Config
from web.feed import StoredFeed

LOOK_AGAIN_S = 2.0


async def show_stored(config: Config) -> int:
    """Serve until SIGINT or SIGTERM, looking at the data directory every two seconds."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    feed = StoredFeed(await asyncio.to_thread(document, config))
    page = await Page.open(config, feed)
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            feed.status(await asyncio.to_thread(document, config))
    await page.close()
    return exits.OK
