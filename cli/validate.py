"""``assay validate`` and ``--validate-config``: every fault of the settings, their schemas and rules; starts nothing."""

from __future__ import annotations

import argparse

from cli.compiling import compile_all
from cli.exits import OK
from cli.parser import config_arguments
from cli.settings import only
from config import load, logs
from core.redact import redact
from web.listening import refuse_strangers

NAME = "validate"
HELP = "Check a configuration, its schemas and rules. Takes no lock, starts nothing."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    config_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print that all is well, or raise every fault."""
    logs.configure(form=args.log_format)
    config, places = load.load_with_places(args.config, data_dir=args.data_dir)
    only(config, getattr(args, "source", []))
    compile_all(config, places)
    refuse_strangers(config.web)
    print(
        redact(f"config is valid: {_count(config.sources, 'source')}, {_count(config.datasets, 'dataset')}")
    )
    return OK


def _count(things: object, word: str) -> str:
    number = len(things)  # type: ignore[arg-type]
    return f"{number} {word}" + ("" if number == 1 else "s")
