"""``assay status``: the ledger and health of the running system, or of the data directory when none runs."""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
from pathlib import Path
from typing import Any

from cli.exits import OK
from cli.parser import config_arguments
from cli.settings import settings
from cli.table import status_table
from config.load import environment_root
from config.models import Config, Storage
from core.errors import ConfigError
from core.ledger import Counts
from core.redact import redact, redact_value

NAME = "status"
HELP = "The ledger and health of the running system, or of the data directory when none runs. Takes no lock."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the status document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the status; 0 also when nothing was ever stored."""
    config = _config(args)
    shown = redact_value(document(config))
    if args.json:
        print(json.dumps(shown, ensure_ascii=False))
    else:
        print(redact(status_table(shown, config.storage.root)))
    return OK


def _config(args: argparse.Namespace) -> Config:
    """The settings; with a data directory named, their faults hide nothing of what lies there."""
    try:
        return settings(args)
    except ConfigError as error:
        root = environment_root(args.data_dir)
        if root is None:
            raise
        print(redact(f"assay: {error}; shown is what `{root}` holds"), file=sys.stderr)
        return Config(sources={}, storage=Storage(root=root))


def is_running(root: Path) -> bool:
    """Whether a living run holds the data directory."""
    try:
        with (root / "state" / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def document(config: Config) -> dict[str, Any]:
    """The status (docs/contracts.md §4): told by the running system, else folded from what is stored."""
    root = config.storage.root
    if is_running(root):
        told = _told(root / "state" / "status.json")
        if told is not None:
            return told
    from core.status import SourceFacts, stored_document

    facts = [SourceFacts(name, source.type, source.dataset) for name, source in config.sources.items()]
    return stored_document(_stored(root), facts, _refused(root))


def _told(path: Path) -> dict[str, Any] | None:
    """What the running system wrote last; None before it wrote anything."""
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document


def _stored(root: Path) -> dict[str, Counts]:
    if not (root / "commits").is_dir():
        return {}
    from store.summary import stored_status

    return dict(stored_status(root))


def _refused(root: Path) -> dict[str, dict[str, int]]:
    if not (root / "commits").is_dir():
        return {}
    from store.summary import stored_refused

    return stored_refused(root)
