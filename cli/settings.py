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
        compiled: compile the schema and rules of each dataset in use too, so that a fault there is found before anything starts.

    Raises:
        ConfigErrors: faults of the file.
        ConfigError: E146 an unknown ``--source``, E149 logging.
    """
    logs.configure(form=args.log_format, root=load.environment_root(args.data_dir))
    config, places = load.load_with_places(args.config, data_dir=args.data_dir)
    config = only(config, getattr(args, "source", []))
    if compiled:
        compile_all(config, places)
    own = Path(config.logging) if config.logging is not None else None
    logs.configure(own if own is not None and own.exists() else None, args.log_format, config.storage.root)
    changed = {key: getattr(args, key) for key in ("host", "port") if getattr(args, key, None) is not None}
    return config.model_copy(update={"web": config.web.model_copy(update=changed)})


def only(config: Config, names: list[str]) -> Config:
    """``config`` with the named sources and their datasets only; with everything when none is named.

    Raises:
        ConfigError: E146, a name that is no source.
    """
    for name in names:
        if name not in config.sources:
            raise ConfigError(f"`--source {name}`: no such source; {near(name, config.sources)}", "E146")
    if not names:
        return config
    sources = {name: source for name, source in config.sources.items() if name in names}
    used = {source.dataset for source in sources.values()}
    datasets = {name: dataset for name, dataset in config.datasets.items() if name in used}
    return config.model_copy(update={"sources": sources, "datasets": datasets})
