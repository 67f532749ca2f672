"""The flags of a run, and which of them go together."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from core.errors import ConfigError
from core.units import BadUnit, seconds

DEFAULT_TRIGGER = "10 seconds"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add every flag of docs/contracts.md §1."""
    from cli.parser import config_arguments

    config_arguments(parser)
    add = parser.add_argument
    add("--streaming", action="store_true", help="keep reading; alone: micro-batches")
    add(
        "--trigger-interval",
        metavar="TIME",
        type=_duration,
        help=f"of micro-batches (default: {DEFAULT_TRIGGER})",
    )
    add("--event-mode", action="store_true", help="with --streaming: every event at once")
    add("--web-only", action="store_true", help="show what is stored; read nothing")
    add("--source", action="append", default=[], metavar="NAME", help="only this source (repeatable)")
    add("--engine", choices=("auto", "actors", "spark"), default="auto", help="who reads in batch mode")
    add("--host", metavar="HOST", help="address of the page (default: web.host)")
    add("--port", metavar="PORT", type=_port, help="port of the page (default: web.port)")
    add("--no-web", action="store_true", help="no page")
    add("--validate-config", action="store_true", help="check the settings, start nothing")
    add("--dry-run", action="store_true", help="read and judge, write nothing, say what would land")
    add("--summary", type=Path, metavar="FILE", help="JSON lines; the last is the status document")
    add(
        "--max-reject-rate",
        metavar="SHARE",
        type=_share,
        help="exit 3 above this share of rejects, such as 0.1",
    )
    add("--since", metavar="WHEN", type=_instant, help="only event times from here on (ISO date or instant)")
    add("--until", metavar="WHEN", type=_instant, help="only event times before this (ISO date or instant)")
    add("--insecure-ray", action="store_true", help="join a Ray cluster that asks for no token")


def check(args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other.

    ``args.trigger_interval`` is afterwards text, the default where ``--streaming`` stands alone, else None.

    Raises:
        ConfigError: E120 a contradiction.
    """
    if args.web_only:
        for flag in ("event_mode", "streaming", "no_web", "dry_run"):
            if getattr(args, flag):
                _refuse(f"`--{flag.replace('_', '-')}` and `--web-only` conflict; leave one out")
    if args.event_mode and not args.streaming:
        _refuse("`--event-mode` needs `--streaming`; write `--streaming --event-mode`")
    if args.trigger_interval and not args.streaming:
        _refuse(
            "`--trigger-interval` needs `--streaming`; write `--streaming --trigger-interval '10 seconds'`"
        )
    if args.since is not None and args.until is not None and args.since >= args.until:
        _refuse("`--since` must be before `--until`")
    if args.streaming and not args.event_mode:
        args.trigger_interval = args.trigger_interval or DEFAULT_TRIGGER
    if args.event_mode and args.trigger_interval:
        _refuse(
            "`--trigger-interval` is of micro-batches, and `--event-mode` has none; leave one of them out"
        )
    if args.streaming and args.engine == "actors" and not args.event_mode:
        _refuse("micro-batches are Spark's; write `--streaming --event-mode` to read by actors")
    if args.event_mode and args.engine == "spark":
        _refuse("`--event-mode` reads by actors; leave `--engine spark` or `--event-mode` out")


def _refuse(message: str) -> None:
    raise ConfigError(message, "E120")


def _duration(text: str) -> str:
    try:
        seconds(text)
    except BadUnit as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port; write a whole number from 0 to 65535")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no share; write a number from 0 to 1, such as 0.1")
    return share


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        wanted = "write an ISO date or instant, such as `2013-02-01` or `2013-02-01T06:00:00Z`"
        raise argparse.ArgumentTypeError(f"`{text}` is no time; {wanted}") from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
