"""The kill loop: a throttled run of real flights, SIGKILL after SIGKILL, then the auditor.

Each kill comes between 10 and 90 % of the records, with frames in flight, and only after the run has made progress
since the kill before (no progress within a minute is a finding by itself).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.audit.audit import Input, audit
from tests.system.site import Run, Site, flights
from tests.waiting import until

STATIONS = ("connector", "bus", "writer", "jvm", "driver")
NAMES = {"connector": "connector:flights", "bus": "bus", "writer": "writer", "jvm": "bridge.jvm", "registry": "registry",
         "supervisor": "supervisor", "bridge": "bridge"}  # fmt: skip
Say = Callable[[str], None]


@dataclass
class Trial:
    """What one kill loop did."""

    station: str
    queue: str
    seed: int
    shares: list[float] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    imbalance: int = 0
    other: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.imbalance or self.other)

    def line(self) -> str:
        """One line of the table."""
        at = " ".join(f"{share:.0%}" for share in self.shares)
        verdict = "ok" if self.ok else f"FAILED {self.other}"
        return (
            f"{self.station:<10} {self.queue:<7} kills {len(self.shares):>2}  lost {self.lost}  doubled {self.doubled}"
            f"  imbalance {self.imbalance}  {self.seconds:5.0f} s  seed {self.seed}  at {at}  {verdict}"
        )


def kill_loop(
    folder: Path, station: str, queue: str, *, kills: int, seed: int, rows: int, rate: float, say: Say = print
) -> Trial:
    """Run, kill so many times, let it end, count. ``station``: one, or several in turn joined by ``+``."""
    trial, chance, started = Trial(station, queue, seed), random.Random(seed), time.monotonic()
    site = flights(folder, rows, queue=queue, rate_limit=rate, hive="jvm" in station)
    run = site.start("--no-web")
    try:
        run = _strikes(trial, run, chance, kills, rows, say)
        code = run.wait(600)
    except BaseException as error:
        run.kill()
        raise AssertionError(f"{error}\n--- what the run printed last:\n{run.text()[-4000:]}") from error
    trial.seconds = time.monotonic() - started
    judge(trial, site, run, code)
    return trial


def _strikes(trial: Trial, run: Run, chance: random.Random, kills: int, rows: int, say: Say) -> Run:
    """All kills of a trial; the run that goes on after the last."""
    committed, stations = 0, trial.station.split("+")
    for number in range(kills):
        station = stations[number % len(stations)]
        target = 0.1 + 0.8 * (number + chance.random() * 0.8) / kills
        until(lambda run=run, station=station, target=target, committed=committed: _due(run, station, rows, target, committed), 240, 0.02,
              what=f"kill {number + 1}: {target:.0%} committed, some in flight, after progress")  # fmt: skip
        books = run.status()["ledger"]
        committed = books["read"] - books["in_flight"]
        trial.shares.append(committed / rows)
        run = strike(run, station)
        say(f"  {station}/{trial.queue}: kill {number + 1} of {kills} at {trial.shares[-1]:.0%}")
    return run


def _due(run: Run, station: str, rows: int, target: float, committed: int) -> bool:
    if run.process.poll() is not None:
        raise AssertionError(f"the run ended early:\n{run.text()[-3000:]}")
    if station == "jvm" and pid(run, NAMES["jvm"]) is None:
        return False
    books = run.status().get("ledger", {})
    stored = books.get("read", 0) - books.get("in_flight", 0)
    return stored > committed and books.get("in_flight", 0) > 0 and stored >= target * rows


def strike(run: Run, station: str) -> Run:
    """Kill it; for the driver, start the next run."""
    if station == "driver":
        run.kill()
        return run.site.start("--no-web")
    name = NAMES[station]
    victim = until(lambda: pid(run, name), 120, what=f"`{name}` is up")
    os.kill(victim, signal.SIGKILL)
    until(lambda: pid(run, name) != victim, 60, what=f"the death of `{name}` is noticed")
    return run


def pid(run: Run, name: str) -> int | None:
    """The pid to strike: of a station that is up; of the JVM also while it starts, when registrations wait."""
    if name != NAMES["jvm"]:
        return run.pid_of(name)
    found = (one.get("pid") for one in run.status().get("stations", ()) if one["name"] == name)
    return next(found, None)


def judge(trial: Trial, site: Site, run: Run, code: int) -> None:
    """The auditor's counts, and what the run says of itself."""
    verdict = audit(
        site.data,
        [Input.parse(f"flights={site.folder}/in/*.csv")],
        summary=site.data / "state" / "status.json",
    )
    counts: dict[str, int] = {}
    for (kind, _), count in verdict.counts.items():
        counts[kind] = counts.get(kind, 0) + count
    trial.lost = counts.pop("missing", 0)
    trial.doubled = sum(counts.pop(kind, 0) for kind in ("doubled", "id-doubled", "two-tiers"))
    trial.imbalance = run.status()["ledger"]["imbalance"]
    trial.other = [f"{kind}: {count}" for kind, count in counts.items()] + ([f"exit {code}"] if code else [])
