"""From a file and an environment to one frozen ``Config``: the sole reader of settings and environment.

All faults of a file are found before anything starts, each with its place. Relative paths stay relative to the
working directory; ``storage.root`` is settled here (flag, ``ASSAY_DATA``, the file, ``./data``), and
``${ASSAY_DATA}`` in the file always stands for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config import check, yaml_text
from config.complaints import complaints
from config.faults import ConfigErrors, Fault
from config.insert import Inserter
from config.models import Config
from config.places import Places
from config.secrets import plain_secrets, remember_secrets
from config.yaml_text import BROKEN, Document
from core.errors import ConfigError

log = logging.getLogger("assay.config")
DATA_ROOT = "ASSAY_DATA"


def load(path: Path, *, data_dir: Path | None = None, env: Mapping[str, str] | None = None) -> Config:
    """The settings of ``path``.

    Args:
        path: a YAML file (docs/configuration.md).
        data_dir: where data lie, over what environment and file say.
        env: the environment; the process's own when absent.

    Raises:
        ConfigErrors: with every fault of the file.
    """
    return load_with_places(path, data_dir=data_dir, env=env)[0]


def load_with_places(
    path: Path, *, data_dir: Path | None = None, env: Mapping[str, str] | None = None
) -> tuple[Config, Places]:
    """As ``load``, and where everything stands, for those who check more (rules, schemas)."""
    environment = dict(os.environ if env is None else env)
    document = yaml_text.read(path)
    root = _data_root(document, data_dir, environment)
    inserter = Inserter(document, {**environment, DATA_ROOT: str(root)})
    data = inserter.fill(document.data)
    config = _validated(document, data, inserter)
    remember_secrets(config)
    for warning in [*check.ignored(document, data), *_warnings(document, data, inserter, path)]:
        log.warning("%s", warning)
    storage = config.storage.model_copy(update={"root": root})
    return config.model_copy(update={"storage": storage}), document.places


def environment_root(data_dir: Path | None, env: Mapping[str, str] | None = None) -> Path | None:
    """Where data lie as flag or environment say, without a file."""
    named = data_dir or (os.environ if env is None else env).get(DATA_ROOT)
    return Path(named).expanduser() if named else None


def require_absolute(config: Config) -> None:
    """A job's working directory is a throw-away copy, so its data directory must be absolute.

    Raises:
        ConfigError: ``storage.root`` is relative.
    """
    root = config.storage.root
    if not root.is_absolute():
        raise ConfigError(
            f"the data directory `{root}` is relative, and a Ray job's working directory is thrown away;"
            " name an absolute one with `--data-dir` or `ASSAY_DATA`",
            "E148",
        )


def _data_root(document: Document, data_dir: Path | None, env: Mapping[str, str]) -> Path:
    named = environment_root(data_dir, env)
    if named is not None:
        return named
    storage = document.data.get("storage")
    written = storage.get("root") if isinstance(storage, dict) else None
    if not isinstance(written, str) or not written:
        return Path("data")
    # A look ahead with a document of its own: faults of this value are noted once, by the pass over the whole file.
    ahead = Document({}, document.places, [], document.plain)
    filled = Inserter(ahead, {**env, DATA_ROOT: "data"}).fill(written, ("storage", "root"))
    return Path(filled).expanduser() if isinstance(filled, str) and filled else Path("data")


def _validated(document: Document, data: Any, inserter: Inserter) -> Config:
    config: Config | None = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        found = complaints(error.errors(include_url=False), data, document.places, inserter.inserted)
        document.faults += [fault for fault in found if not fault.message.startswith("`sources` is missing")]
    check.check(document, data)
    if document.faults or config is None or data is BROKEN:
        raise ConfigErrors(document.faults or [_nothing(document)])
    return config


def _nothing(document: Document) -> Fault:
    return Fault(document.places.file, 1, 1, "E107", "no sources; add at least one below `sources:`")


def _warnings(document: Document, data: Any, inserter: Inserter, path: Path) -> list[Fault]:
    if not path.stat().st_mode & 0o044:
        return []
    faults = []
    for spot in plain_secrets(data):
        if spot not in inserter.inserted:
            message = (
                f"a secret stands in plain text and others may read the file; "
                f"write `${{NAME}}` or `${{file:PATH}}` instead, or run `chmod 600 {path}`"
            )
            faults.append(Fault(document.places.file, *document.places.at(*spot), "E130", message))
    return faults
