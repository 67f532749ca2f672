"""SIGKILL of each station once, with frames in flight; the matrices are `make soak`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.soak.kills import Trial, judge, kill_loop
from tests.system.site import flights
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("station", "queue"),
    [
        *(
            (station, "memory")
            for station in ("connector", "bus", "writer", "registry", "supervisor", "driver")
        ),
        *((station, "disk") for station in ("connector", "bus", "writer")),
    ],
)
def test_a_killed_station_costs_no_record(tmp_path: Path, station: str, queue: str) -> None:
    trial = kill_loop(tmp_path, station, queue, kills=1, seed=3, rows=6_000, rate=1_500)
    assert trial.ok, trial.line()


def test_a_jvm_killed_while_registrations_wait_costs_no_record_and_registers_all(tmp_path: Path) -> None:
    site = flights(tmp_path, 6_000, rate_limit=600, hive=True)
    run = site.start("--no-web")

    def waiting() -> int:
        return next((one["waiting"] for one in run.status().get("stores", ()) if one["name"] == "hive"), 0)

    pid = run.until(
        lambda books: run.pid_of("bridge.jvm") if waiting() and books["in_flight"] else None, what="waits"
    )
    os.kill(pid, signal.SIGKILL)
    until(
        lambda: run.pid_of("bridge.jvm") not in {None, pid} or run.process.poll() is not None,
        120,
        what="a new JVM",
    )
    trial = Trial("jvm", "memory", 0)
    judge(trial, site, run, run.wait(300))
    assert trial.ok, f"{trial.line()}\n{run.text()[-3000:]}"
    assert waiting() == 0, run.status()["stores"]
    assert next(one for one in run.status()["stations"] if one["name"] == "bridge.jvm")["restarts"] >= 1
