"""What a run is: told to every station once, when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.models import Config
from core.span import Span
from core.status import SourceFacts

STATIONS = ("bus", "registry", "writer", "bridge")
"""Beside one ``connector:<source>`` a source, and the supervisor that keeps them all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of Assay on one data directory."""

    config: Config
    root: Path
    mode: str
    """``batch``, ``micro-batch`` or ``event``"""
    sources: tuple[str, ...]
    bus_address: str
    """Where the bus listens, the same over all of its lives."""
    span: Span | None = None
    secrets: tuple[str, ...] = ()
    """Values that no log, signal or page may show."""
    cwd: str = "."
    """Where relative paths of the configuration start."""
    log_format: str = "text"
    trigger_s: float = 10.0
    """Seconds between micro-batches."""
    by_spark: frozenset[str] = frozenset()
    """Sources that Spark reads; connectors read the others."""

    @property
    def follow(self) -> bool:
        """Whether sources are watched for ever."""
        return self.mode != "batch"

    @property
    def connectors(self) -> tuple[str, ...]:
        """Station names of the sources."""
        return tuple(f"connector:{name}" for name in self.sources)

    def facts(self, source: str) -> SourceFacts:
        """Name, type and dataset of a source."""
        settings = self.config.sources[source]
        return SourceFacts(source, settings.type, settings.dataset)
