"""Every kind of source, by the ``type`` of its settings. Loaded when first used: ``file`` never imports a driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from config.models import SourceSettings
from core.errors import ConfigError
from core.ports import Source
from core.signals import Signal
from core.span import Span

SOURCES = {"file": "actors.sources.file:FileSource", "sql": "actors.sources.sql:SqlSource"}

Fields = Mapping[str, frozenset[str]]
"""Property name -> the JSON Schema types it may have; empty where nothing is known."""


def make(
    name: str,
    settings: SourceSettings,
    *,
    follow: bool,
    span: Span | None,
    fields: Fields,
    say: Callable[[Signal], None],
) -> Source:
    """A source that is not opened yet.

    Args:
        name: the source's own name, for signals.
        follow: True: watch for ever; False: ``read`` returns None when all is read.
        span: bounds of a back-fill by event time, for sources that can ask less; the caller still drops the rest.
        fields: what the dataset's schema says; rows of text are encoded by it.
        say: told of signals, on the loop.

    Raises:
        ConfigError: E411 only Spark reads this kind.
    """
    if settings.type not in SOURCES:
        raise spark_only(name, settings.type)
    module, _, kind = SOURCES[settings.type].partition(":")
    made: Source = getattr(import_module(module), kind)(
        name, settings, follow=follow, span=span, fields=fields, say=say
    )
    return made


def spark_only(name: str, kind: str) -> ConfigError:
    """The refusal of a source that no actor reads."""
    how = (
        "micro-batches: run it with `--streaming`, without `--event-mode`" if kind == "kafka"
        else "batch runs: run it with `--engine spark` or `auto`, without `--streaming`"
    )  # fmt: skip
    return ConfigError(f"the source `{name}` has `type: {kind}`, which Spark reads in {how}", "E411")
