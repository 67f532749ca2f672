"""Which kinds of source Spark can read, and what each is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bridge.engine.stream import StreamKind
from bridge.engine.work import Kind
from core.errors import ConfigError
from core.signals import Signal
from core.span import Span

KINDS = {
    "file": "bridge.engine.files",
    "jdbc": "bridge.engine.jdbc",
    "hive_table": "bridge.engine.hive_source",
    "kafka": "bridge.engine.kafka",
}
"""Type of a source's settings -> the module of its kind. Loaded when first used."""
STREAMS = frozenset({"file", "kafka"})
"""Types that micro-batches can read; others go on on actors, or in batch runs."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a kind is made from."""

    name: str
    """Of the source."""
    settings: Any
    """One of the models in config/models.py."""
    fields: Mapping[str, frozenset[str]]
    """Property -> the JSON types its schema allows; empty where nothing is known."""
    say: Callable[[Signal], None]
    """Told of signals, from any thread."""
    follow: bool = False
    """Micro-batches: look again and again."""
    span: Span | None = None
    """Of a back-fill; the tasks drop the rest in any case."""
    cores: int = 2
    """Tasks that run side by side."""
    folder: Path = Path()
    """For files of its own that may be lost: ``<root>/state/spark/streams/<source>``."""
    checkpoint: Path = Path()
    """Of the query that follows it."""
    limit_bytes: int = 256 << 20
    """Of one trigger or chunk, about."""
    root: Path = Path()
    """The data directory."""
    event_time: str | None = None
    """The field that ``span`` is about."""
    spark: Any = None
    """The session of this process, where the kind needs one before its first work."""


def batch(given: Given) -> Kind:
    """The kind for a batch run.

    Raises:
        ConfigError: E101 and others, its settings cannot be used.
    """
    made: Kind = _module(given).batch(given)
    return made


def stream(given: Given) -> StreamKind:
    """The kind for micro-batches.

    Raises:
        ConfigError: E121, micro-batches cannot read it.
    """
    if given.settings.type not in STREAMS:
        raise ConfigError(f"micro-batches cannot read sources of type `{given.settings.type}`", "E121")
    made: StreamKind = _module(given).stream(given)
    return made


def _module(given: Given) -> Any:
    return import_module(KINDS[given.settings.type])
