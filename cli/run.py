"""``assay run``: batch, micro-batches and event mode. From settings to a plan, from a result to an exit code."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from cli import exits
from cli.lock import RunLock
from cli.parser import config_arguments
from cli.progress import Progress
from cli.run_flags import DEFAULT_TRIGGER
from cli.run_flags import arguments as run_arguments
from cli.settings import settings
from cli.summary import Summary
from cli.table import closing_table
from config.load import require_absolute
from config.models import Config
from core.ledger import Counts
from core.redact import known, redact
from core.span import Span
from core.units import seconds
from store.summary import stored_status

NAME = "run"
HELP = "Read the sources, judge every record and land it."
log = logging.getLogger("assay.run")

__all__ = ["HELP", "NAME", "arguments", "config_arguments", "run"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run until the sources are drained (batch) or until stopped (event)."""
    started = time.monotonic()
    config = settings(args, compiled=not args.web_only)
    if args.web_only:
        from cli.web_only import show_stored

        return asyncio.run(show_stored(config))
    if args.dry_run:
        from cli.dry_run import dry_run

        return asyncio.run(dry_run(config, _span(args)))
    if os.environ.get("RAY_ADDRESS"):
        require_absolute(config)
    with RunLock(config.storage.root):
        from cli.samples import prepare

        prepare(config, say)
        return _locked(args, config, started)


def _locked(args: argparse.Namespace, config: Config, started: float) -> int:
    from actors import topology
    from actors.plan import Plan
    from core.line import ipc_address

    root = config.storage.root.resolve()
    mode = mode_of(args)
    plan = Plan(
        config=config, root=root, mode=mode, sources=tuple(config.sources), bus_address=ipc_address(root),
        span=_span(args), cwd=str(Path.cwd()), secrets=known(), log_format=args.log_format,
        trigger_s=seconds(args.trigger_interval or DEFAULT_TRIGGER), by_spark=_by_spark(args, config, mode),
    )  # fmt: skip
    try:
        return asyncio.run(_drive(args, plan, stored_status(root), started))
    finally:
        topology.disconnect()


def mode_of(args: argparse.Namespace) -> str:
    """``batch``, ``micro-batch`` or ``event``."""
    if not args.streaming:
        return "batch"
    return "event" if args.event_mode else "micro-batch"


def _by_spark(args: argparse.Namespace, config: Config, mode: str) -> frozenset[str]:
    """The sources that Spark reads; says who reads what, unless there is nothing to choose."""
    from bridge.engine.choice import choose, lines
    from bridge.java import find_java

    chosen = choose(config, mode, args.engine, find_java(), args.trigger_interval or "")
    if mode == "micro-batch" or (mode == "batch" and args.engine != "actors"):
        for line in lines(chosen):
            say(line)
    return frozenset(name for name, one in chosen.items() if one.engine == "spark")


async def _drive(args: argparse.Namespace, plan: Any, stored: Mapping[str, Counts], started: float) -> int:
    from actors import topology
    from cli.driver import Driver
    from web.feed import LiveFeed
    from web.listening import listen, refuse_strangers

    feed = LiveFeed()
    summary = Summary(args.summary) if args.summary else None
    progress = Progress()
    first: list[float] = []

    def show(document: dict[str, Any]) -> None:
        progress.update(document)
        feed.status(document)
        if summary:
            summary.update(document, time.monotonic())
        if not first and document["run"]["read"]:
            first.append(time.monotonic() - started)
            log.info("first records after %.1f s", first[0])

    driver = Driver(plan, stored, show=show, hear=feed.take)
    driver.watch_signals()
    page = listener = None
    if not args.no_web:  # what is wrong with its address is said before anything starts
        refuse_strangers(plan.config.web)
        listener = listen(plan.config.web.host, plan.config.web.port)
    try:
        try:
            # In this thread, though it blocks for seconds: Ray's processes end with the thread that started them.
            topology.connect(insecure=args.insecure_ray)
        except SystemExit:  # Ray's own answer to a SIGTERM while it starts
            driver.stop()
        driver.watch_signals()  # again: Ray has set its own handlers, which would end the run with a crash
        driver.begin()
        if listener:
            await asyncio.to_thread(
                import_module, "cli.page"
            )  # takes a second, in which stations are heard already
            from cli.page import Page

            page = await Page.open(plan.config, feed, listener)
        document, result = await driver.run()
    finally:
        progress.close()
        if page:
            await page.close()
        elif listener:
            listener.close()
    if summary:
        summary.close(document)
    print(redact(closing_table(document, progress.rates(), _places(plan))))
    for line in _remarks(document, result):
        say(line)
    if driver.interrupted:
        return exits.INTERRUPTED
    return verdict(document, result["errors"], args.max_reject_rate)


def verdict(
    document: Mapping[str, Any], errors: Mapping[str, Mapping[str, Any]], max_reject_rate: float | None
) -> int:
    """The exit code of a finished run (docs/contracts.md §1): a sink that refuses outweighs a source that is away."""
    codes = {name: str(error["code"]) for name, error in errors.items()}
    if any(code.startswith("E7") for code in codes.values()):
        return exits.SINK_UNWRITABLE
    if any(name.startswith("connector:") and code[:2] in {"E2", "E3", "E4"} for name, code in codes.items()):
        return exits.SOURCE_UNREACHABLE
    if any(code.startswith(("E1", "E5")) for code in codes.values()):
        return exits.USAGE
    if codes or document["ledger"]["imbalance"]:
        return exits.FAILED
    run_ = document["run"]
    if max_reject_rate is not None and run_["read"] and run_["rejected"] / run_["read"] > max_reject_rate:
        return exits.TOO_MANY_REJECTS
    return exits.OK


def say(text: str) -> None:
    """One line for the user, beside the progress."""
    print(redact(text), file=sys.stderr, flush=True)


def _places(plan: Any) -> dict[str, str]:
    """Where each source's records landed, in words."""
    warehouse = plan.config.storage.warehouse or str(plan.config.storage.root / "warehouse")
    return {name: f"{warehouse}/*_{plan.config.sources[name].dataset}" for name in plan.sources}


def _remarks(document: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    lines = [f"assay: {name}: {error['code']} {error['message']}" for name, error in result["errors"].items()]
    for store in document["stores"]:
        if store["name"] == "hive" and store["state"] == "off":
            lines.append(
                "hive: off (no Java 17 or newer was found, or hive.enabled is false); the tables are there as files"
            )
        elif store["name"] == "files" and store["waiting"]:
            lines.append(
                f"files: {store['waiting']} rows wait in the fallback; they are stored, and move home later"
            )
        elif store["name"] == "aggregates" and store["waiting"]:
            why = f" ({store['last_error']['message']})" if store.get("last_error") else ""
            lines.append(
                f"aggregates: {store['waiting']} commits wait{why}; they are stored, and added by the next run"
            )
        elif store["name"] == "lineage" and store["waiting"]:
            lines.append(f"lineage: {store['waiting']} commits are not told yet; the next run tells them")
        elif store["waiting"]:
            lines.append(
                f"{store['name']}: {store['waiting']} commits wait; they are stored, and registered by the next run"
            )
    return lines


def _span(args: argparse.Namespace) -> Span | None:
    if args.since is None and args.until is None:
        return None
    return Span(_micros(args.since), _micros(args.until))


def _micros(when: datetime | None) -> int | None:
    return None if when is None else int(when.timestamp() * 1_000_000)
