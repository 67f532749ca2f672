"""SIGKILL of each station once, several in one run, with frames in flight; the matrices are `make soak`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.soak.kills import Trial, judge, kill_loop
from tests.system.site import flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("stations", "queue", "rows"),
    [
        ("connector+bus+writer+registry+supervisor", "memory", 20_000),
        ("connector+bus+writer", "disk", 15_000),
        ("driver", "memory", 6_000),
    ],
)
def test_killed_stations_cost_no_record(tmp_path: Path, stations: str, queue: str, rows: int) -> None:
    trial = kill_loop(tmp_path, stations, queue, kills=stations.count("+") + 1, seed=3, rows=rows, rate=1_500)
    assert trial.ok, trial.line()


def test_a_jvm_killed_while_registrations_wait_costs_no_record_and_registers_all(tmp_path: Path) -> None:
    site = flights(tmp_path, 6_000, rate_limit=400, hive=True)
    given, later = tmp_path / "in" / "flights.csv", tmp_path / "in" / "later.csv"
    lines = given.read_bytes().splitlines(keepends=True)
    given.write_bytes(b"".join(lines[:1_001]))
    run = site.start("--no-web", "--streaming", "--event-mode")

    def waiting() -> int:
        return next((one["waiting"] for one in run.status().get("stores", ()) if one["name"] == "hive"), -1)

    run.until(lambda books: run.pid_of("bridge.jvm") and waiting() == 0, 240, what="Hive has what there is")
    pid = run.pid_of("bridge.jvm")
    os.kill(pid, signal.SIGSTOP)  # else a quick Hive may leave no moment at which a registration waits
    later.write_bytes(lines[0] + b"".join(lines[1_001:]))
    run.until(
        lambda books: waiting() > 0 and books["in_flight"], what="registrations wait, frames are in flight"
    )
    os.kill(pid, signal.SIGKILL)
    run.until(lambda books: run.pid_of("bridge.jvm") not in {None, pid}, 240, what="another JVM")
    run.until(
        lambda books: books["read"] == 6_000 and not books["in_flight"] and not waiting(),
        what="all is registered",
    )
    assert next(one for one in run.status()["stations"] if one["name"] == "bridge.jvm")["restarts"] == 1
    trial = Trial("jvm", "memory", 0)
    judge(trial, site, run, run.stop(120))
    assert trial.ok, f"{trial.line()}\n{run.text()[-3000:]}"
