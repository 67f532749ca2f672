"""From parsed flags to the settings of this process: the file, overridden by flags, logging set up."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.compiling import compile_all
from config import load, logs
from config.complaints import near
from config.models import Config
from core.errors import ConfigError


def settings(args: argparse.Namespace, *, compiled: bool = False) -> Config:
    """The configuration a command works with; logging is configured as a side effect.

    Args:
        args: with ``config``, ``data_dir``, ``log_format``; ``source``, ``host`` and ``port`` where a command has them.
        compiled: compile each dataset's schema and rules too, so that a fault there is found before anything starts.

    Raises:
        ConfigErrors: faults of the file.
        ConfigError: E146 an unknown ``--source``, E149 logging.
    """
    logs.configure(form=args.log_format)
    config, places = load.load_with_places(args.config, data_dir=args.data_dir)
    if compiled:
        compile_all(config, places)
    if config.logging is not None and Path(config.logging).exists():
        logs.configure(Path(config.logging), args.log_format)
    config = only(config, getattr(args, "source", []))
    changed = {key: getattr(args, key) for key in ("host", "port") if getattr(args, key, None) is not None}
    return config.model_copy(update={"web": config.web.model_copy(update=changed)})


def only(config: Config, names: list[str]) -> Config:
    """``config`` with the named sources only; all of them when none is named.

    Raises:
        ConfigError: E146, a name that is no source.
    """
    for name in names:
        if name not in config.sources:
            raise ConfigError(f"`--source {name}`: no such source; {near(name, config.sources)}", "E146")
    if not names:
        return config
    return config.model_copy(
        update={"sources": {name: config.sources[name] for name in config.sources if name in names}}
    )
