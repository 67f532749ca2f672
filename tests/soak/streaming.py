"""Micro-batches that die at every named step, at the n-th passing of each; then the auditor."""

from __future__ import annotations

import time
from pathlib import Path

from core.crash import CRASHPOINTS
from tests.soak.kills import Trial, judge
from tests.system.site import flights

STREAMING = ("--no-web", "--streaming", "--trigger-interval", "1 second")
PLACES = [point for point in CRASHPOINTS if point.startswith(("engine.", "stream.", "staged."))]


def deaths(folder: Path, *, nth: int, rows: int, rate: float) -> Trial:
    """One run in which Spark's driver, a task and the writer die, once at each place."""
    trial, started = Trial("streaming", f"{nth}. time", 0), time.monotonic()
    site, died = flights(folder, rows, rate_limit=rate), folder / "died"
    places = ",".join(f"{place}:{nth}" for place in PLACES)
    run = site.start(*STREAMING, ASSAY_CRASH=places, ASSAY_CRASH_ONCE=str(died))
    try:
        run.until(lambda books: books["read"] >= rows and not books["in_flight"], 900, what="all is read")
        code = run.stop(120)
    except BaseException as error:
        run.kill()
        raise AssertionError(f"{error}\n--- what the run printed last:\n{run.text()[-4000:]}") from error
    trial.seconds = time.monotonic() - started
    judge(trial, site, run, code)
    trial.shares = [0.0] * len(list(died.iterdir()))
    if missing := sorted(set(PLACES) - {mark.name for mark in died.iterdir()}):
        trial.other.append(f"never came to {', '.join(missing)}")
    return trial
