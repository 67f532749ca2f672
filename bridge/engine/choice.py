"""Who reads which source: connectors on actors, or Spark. Decided once, before anything starts, and said."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.sources.table import SOURCES
from bridge.engine.kinds import KINDS, STREAMS
from bridge.java import Java
from config.models import Config
from core.errors import ConfigError
from core.units import size_bytes

Engine = Literal["actors", "spark"]

ENDLESS = frozenset({"kafka"})
"""Kinds that only micro-batches read: there is no end to read up to."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who reads a source, and why."""

    engine: Engine
    why: str


def choose(config: Config, mode: str, wanted: str, java: Java | str, trigger: str = "") -> dict[str, Choice]:
    """Source -> who reads it.

    Args:
        mode: ``batch``, ``micro-batch`` or ``event``.
        wanted: ``auto``, ``actors`` or ``spark`` (batch mode).
        java: which Java, or why there is none.
        trigger: how often micro-batches come, in words.

    Raises:
        ConfigError: E122 Spark is needed and has no Java; E121 this mode cannot read a source.
    """
    asked = _Asked(config, mode, wanted, java, trigger)
    chosen = {name: asked.choice(name, settings) for name, settings in config.sources.items()}
    if isinstance(java, str) and (needy := [name for name, one in chosen.items() if one.engine == "spark"]):
        raise ConfigError(
            f"`{needy[0]}` is to be read by Spark ({chosen[needy[0]].why}), but {java}; install Java 17 or newer, or use "
            + ("`--event-mode`" if mode == "micro-batch" else "`--engine actors`"), "E122",
        )  # fmt: skip
    return chosen


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for, and what there is."""

    config: Config
    mode: str
    wanted: str
    java: Java | str
    trigger: str

    def choice(self, name: str, settings: Any) -> Choice:
        """For one source.

        Raises:
            ConfigError: E121.
        """
        kind = settings.type
        if self.mode == "micro-batch":
            if kind in STREAMS:
                return Choice("spark", f"micro-batches every {self.trigger}")
            return _by_actors(name, kind, f"micro-batches cannot read `{kind}`: every event at once")
        if self.mode == "event":
            return _by_actors(name, kind, "event mode")
        if self.wanted == "actors":
            return _by_actors(name, kind, "`--engine actors`")
        if kind not in KINDS or kind in ENDLESS:
            return _by_actors(name, kind, f"Spark does not read `{kind}` in batch runs")
        if self.wanted == "spark":
            return Choice("spark", "`--engine spark`")
        return (
            self._by_size(settings)
            if kind == "file"
            else Choice("spark", f"`{kind}` is read in ranges side by side")
        )

    def _by_size(self, settings: Any) -> Choice:
        large = self.config.spark.large
        size = size_of(settings.path)
        words = f"{size / 1e6:,.1f} MB of local files"
        if size < size_bytes(large):
            return Choice("actors", f"{words}, less than `spark.large` ({large})")
        if isinstance(self.java, str):
            return Choice("actors", f"{words}, and {self.java}")
        return Choice("spark", f"{words}, at least `spark.large` ({large})")


def _by_actors(name: str, kind: str, why: str) -> Choice:
    if kind in SOURCES:
        return Choice("actors", why)
    there = "`--streaming`" if kind in STREAMS else "a batch run with `--engine spark`"
    raise ConfigError(
        f"source `{name}`: `{kind}` is read by {there} only ({why}); choose that, or the other sources with `--source`",
        "E121",
    )  # fmt: skip


def size_of(pattern: str) -> int:
    """Bytes of all files that a glob names; those that are gone meanwhile do not count."""
    total = 0
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - three times as fast as Path.glob
        try:
            total += Path(path).stat().st_size
        except OSError:
            continue
    return total


def lines(chosen: Mapping[str, Choice]) -> list[str]:
    """One line a source, for people."""
    words = {"spark": "Spark", "actors": "actors"}
    return [f"{name}: read by {words[one.engine]} ({one.why})" for name, one in chosen.items()]
