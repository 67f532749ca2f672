"""The page in a real browser, over a real server and a feed that moves."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from config.models import Web
from tests.web.conftest import TOKEN, a_document
from tests.web.simulated import Run, keep_moving
from web.app import create_app
from web.feed import LiveFeed
from web.server import Serving, serve
from web.tokens import TokenStore, login_url

pytestmark = pytest.mark.slow

OUT = Path(__file__).parents[1] / ".out"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {
    "1440-dark": (1440, 900, "dark"),
    "1440-light": (1440, 900, "light"),
    "390-light": (390, 844, "light"),
}


class Show:
    """A served run and a browser in front of it."""

    def __init__(self, browser: Browser, feed: LiveFeed, serving: Serving, tokens: TokenStore) -> None:
        self.browser, self.feed, self.serving, self.tokens = browser, feed, serving, tokens
        self.home = f"http://127.0.0.1:{serving.port}"
        self.troubles: list[str] = []
        self.moving: asyncio.Task[None] | None = None

    def move(self) -> None:
        """Let the run go."""
        self.moving = asyncio.create_task(keep_moving(Run(self.feed)))

    async def halt(self) -> None:
        """Stop the run; the server stays."""
        if self.moving:
            self.moving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.moving

    async def page(self, size: str = "1440-light", **changes: Any) -> Page:
        """A page signed in by the one-time address."""
        width, height, scheme = SIZES[size]
        context = await self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **changes
        )
        page = await context.new_page()
        page.on(
            "console",
            lambda line: self.troubles.append(line.text) if line.type in {"error", "warning"} else None,
        )
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        await page.goto(login_url(self.tokens, "127.0.0.1", self.serving.port))
        return page


@pytest.fixture
async def show(tmp_path: Path) -> AsyncIterator[Show]:
    feed, tokens = LiveFeed(), TokenStore(TOKEN)
    serving = await serve(create_app(feed, settings=Web(), token=tokens, root=tmp_path), "127.0.0.1", 0)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        show = Show(browser, feed, serving, tokens)
        yield show
        await show.halt()
        await browser.close()
    await serving.stop()


@pytest.mark.parametrize("size", SIZES)
async def test_page_is_live_fits_and_complains_about_nothing(show: Show, size: str):
    show.move()
    page = await show.page(size)
    await expect(page.locator("#link")).to_contain_text("live", timeout=15_000)
    await expect(page.locator(".source")).to_have_count(7)
    read = page.locator("#ledger-line")
    before = await read.text_content()
    await expect(read).not_to_have_text(before or "", timeout=5000)

    assert re.fullmatch(r"[\d,]+ read = [\d,]+ saved \+ [\d,]+ in flight", await read.text_content() or "")
    await expect(page.locator("#ledger-word")).to_have_text("Balanced")
    await expect(page.locator("#verdict")).to_contain_text("planes failed")
    await expect(page.locator(".node")).to_have_count(15)
    await expect(page.locator("#tier-chart canvas")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("#events time").count() > 0
    tops = await page.evaluate(
        "['.flow', '.cards', '.log'].map(s => document.querySelector(s).getBoundingClientRect().top)"
    )
    tiers = await page.evaluate("document.querySelector('.side').getBoundingClientRect().top")
    assert tops == sorted(tops) and tops[0] <= tiers, "the flow comes first, whatever the width"
    OUT.mkdir(exist_ok=True)
    await page.screenshot(path=OUT / f"dashboard-{size}.png", full_page=size.startswith("390"))
    assert show.troubles == []


@pytest.mark.parametrize("path", ["/sources", "/events?level=warning&q=locked"])
async def test_other_pages_are_live_and_fit_a_phone(show: Show, path: str):
    show.move()
    page = await show.page("390-light")
    await page.goto(show.home + path)
    await expect(page.locator("#link")).to_contain_text("live", timeout=15_000)
    await expect(page.get_by_text("locked").first).to_be_visible(timeout=15_000)

    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert show.troubles == []


async def test_silence_and_a_lost_connection_are_said(show: Show):
    show.move()
    page = await show.page()
    await expect(page.locator("#link")).to_contain_text("live", timeout=15_000)

    await show.halt()
    await expect(page.locator("#notice")).to_contain_text("Nothing new. Last update", timeout=10_000)
    assert await page.evaluate("document.body.dataset.stale") == "yes"

    await show.serving.stop()
    await expect(page.locator("#notice")).to_contain_text("No connection", timeout=10_000)


async def test_loss_is_red_and_named(show: Show):
    show.feed.status(a_document(read=100, gold=90, in_flight=9))
    page = await show.page()

    await expect(page.locator("#ledger-word")).to_have_text("Unbalanced", timeout=15_000)
    await expect(page.locator("#ledger-line")).to_have_text("100 read = 90 saved + 9 in flight + 1 missing")
    await expect(page.locator("#verdict")).to_have_text("1 record is missing in flights")


@pytest.mark.parametrize("size", ["1440-light", "390-light"])
async def test_number_of_seven_digits_leaves_its_sparkline_alone(show: Show, size: str):
    millions = {"read": 19_999_998, "gold": 9_999_999, "in_flight": 9_999_999}
    show.feed.status(a_document(**millions))
    page = await show.page(size)
    tile = page.locator("#tile-in_flight")
    await expect(tile.locator("b")).to_have_text("9,999,999", timeout=15_000)
    await expect(page.locator("#verdict")).to_have_text("9,999,999 records on their way to a commit")

    edges = await tile.evaluate(
        """box => { const right = part => { const words = document.createRange(); words.selectNodeContents(part);
        return words.getBoundingClientRect().right; };
        return [right(box.querySelector("dd")), box.querySelector("canvas").getBoundingClientRect().left,
                box.getBoundingClientRect().right]; }"""
    )
    assert edges == sorted(edges)


async def test_markup_in_a_name_is_text(show: Show):
    """Row 101."""
    name = "<img src=x onerror=document.title='owned'>"
    show.feed.status(a_document(name=name))
    page = await show.page()

    await expect(page.locator(".source h3 span").first).to_have_text(name, timeout=15_000)
    assert await page.locator("img").count() == 0
    assert "owned" not in await page.title()


async def test_held_view_stands_still_and_catches_up(show: Show):
    show.move()
    page = await show.page()
    await expect(page.locator("#link")).to_contain_text("live", timeout=15_000)
    await page.locator("#hold").click()
    await expect(page.locator("#link")).to_have_text("held")
    line = page.locator("#ledger-line")
    before = await line.text_content()
    seen = show.feed.version()
    while show.feed.version() < seen + 200:
        await show.feed.on_change(show.feed.version())
    assert await line.text_content() == before

    await page.locator("#hold").click()

    await expect(line).not_to_have_text(before or "", timeout=5000)


async def test_graph_is_a_table_too_and_keys_reach_everything(show: Show):
    show.move()
    page = await show.page(reduced_motion="reduce")
    await expect(page.locator(".node")).to_have_count(15, timeout=15_000)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.locator("#as-table").focus()
    await page.keyboard.press("Enter")

    await expect(page.locator("#flow-table tbody tr")).to_have_count(15)
    await expect(page.locator("#flow-table")).to_contain_text("Event bus")
    unnamed = "[...document.querySelectorAll('button,a')].filter(e => e.offsetParent && !(e.ariaLabel || e.textContent.trim())).length"
    assert await page.evaluate(unnamed) == 0


async def test_visitor_signs_in_with_the_token_and_out_again(show: Show):
    context = await show.browser.new_context()
    page = await context.new_page()
    await page.goto(show.home)
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    await page.get_by_label("Token").fill(TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Pipeline")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()

    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
