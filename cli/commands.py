"""The sub-commands: a name, the module that runs it, and its line in the overview. Modules load when used."""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from typing import Protocol, cast


class Command(Protocol):
    """What a module in this table offers."""

    NAME: str
    HELP: str

    def arguments(self, parser: ArgumentParser) -> None:
        """Add its flags."""

    def run(self, args: Namespace) -> int:
        """Do it; returns the exit code (``cli/exits.py``)."""


COMMANDS = {
    "run": ("cli.run", "read, judge and land records (what runs when no command is named)"),
    "validate": ("cli.validate", "check a configuration, its schemas and rules; start nothing"),
    "status": ("cli.status", "ledger and health of the running system or of the data directory"),
    "judge": ("cli.judge", "judge JSON lines from stdin against a schema"),
    "parity": ("cli.parity", "read the same sources in every mode, and compare the tables row for row"),
    "fsck": ("cli.fsck", "check what is on disk, and mend it"),
}

NOT_YET = ("audit", "backtest", "reconcile", "replay", "schema", "suggest")
"""Commands of a later version."""


def load(name: str) -> Command:
    """The module behind a name."""
    return cast(Command, importlib.import_module(COMMANDS[name][0]))
