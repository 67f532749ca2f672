"""Aggregates whose process dies five times at each of its named places; then every value is compared."""

from __future__ import annotations

import time
from pathlib import Path

from core.crash import CRASHPOINTS
from tests.soak.kills import Trial
from tests.store.follow import killed_there

PLACES = [point for point in CRASHPOINTS if point.startswith("aggregates.")]


def deaths_there(folder: Path, point: str, times: int) -> Trial:
    """Commits, a death at ``point``, and again; after them all aggregates must be what plain Python makes of Gold."""
    trial, started = Trial("aggregates", point.partition(".")[2], 0), time.monotonic()
    trial.other = killed_there(folder, [point], times)
    trial.shares, trial.seconds = [0.0] * times, time.monotonic() - started
    return trial
