"""Micro-batches on the real program: deaths at every step, a checkpoint that lost its end, and modes in turn."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.soak.streaming import STREAMING, deaths
from tests.system.site import Site, flights, samples
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def checkpoint(site: Site) -> Path:
    return site.data / "state" / "spark" / "checkpoints" / "flights"


def test_a_death_at_any_step_of_a_micro_batch_costs_no_record(tmp_path: Path) -> None:
    """Of Spark's driver, of a task, of the writer; each once, and the stream goes on from the coverage."""
    trial = deaths(tmp_path, nth=1, rows=8_000, rate=1_000)
    assert trial.ok, trial.line()


@pytest.mark.soak
def test_modes_in_turn_on_one_directory_lose_and_double_nothing(tmp_path: Path) -> None:
    """Event, micro-batches whose checkpoint then loses its last commit, the JVM killed, a batch on Spark."""
    site = flights(tmp_path, 20_000, rate_limit=1_000)
    site.config["sources"]["customers"] = {
        "type": "sql", "url": f"sqlite:///{samples() / 'chinook' / 'chinook.db'}", "table": "customers",
        "key": ["customer_id"], "dataset": "customer_data",
    }  # fmt: skip
    site.config["datasets"]["customer_data"] = {"schema": "schemas/customer_data.json"}

    run = site.start("--no-web", "--streaming", "--event-mode")
    run.until(lambda books: books["read"] - books["in_flight"] > 3_000, what="event mode is at work")
    assert run.stop() == 0, run.text()[-3000:]

    run = site.start(*STREAMING)
    began = run.site.rows()
    run.until(
        lambda books: books["read"] - books["in_flight"] > began + 3_000, 400, what="micro-batches are, too"
    )
    assert run.status()["mode"] == "micro-batch"
    assert run.stop(120) == 0, run.text()[-3000:]
    assert "flights: read by Spark (micro-batches every 1 second)" in run.text()
    assert "customers: read by actors (micro-batches cannot read `sql`" in run.text()
    commits = checkpoint(site) / "commits"
    max((path for path in commits.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)).unlink()

    run = site.start(*STREAMING)
    done = run.site.rows()
    run.until(lambda books: books["read"] - books["in_flight"] > done + 1_000, 400, what="it goes on")
    jvm = run.pid_of("bridge.jvm")
    os.kill(jvm, signal.SIGKILL)
    run.until(lambda books: run.pid_of("bridge.jvm") not in {None, jvm}, 240, what="another JVM")
    killed = run.site.rows()
    run.until(
        lambda books: books["read"] - books["in_flight"] > killed + 500, 400, what="and so does the stream"
    )
    assert run.stop(120) == 0, run.text()[-3000:]

    site.config["sources"]["flights"]["rate_limit"] = None
    (checkpoint(site) / "metadata").unlink()
    run = site.start(*STREAMING)
    until(lambda: "E124" in run.text(), 200, what="half a checkpoint is refused")
    states = {one["name"]: one["state"] for one in run.status()["sources"]}
    assert states["customers"] in {"running", "starting"}, "the other source goes on"
    assert run.stop(120) == 2, run.text()[-3000:]
    assert "delete that folder" in run.text()
    shutil.rmtree(checkpoint(site))

    run = site.start("--no-web", "--engine", "spark")
    assert run.wait(400) == 0, run.text()[-3000:]
    assert run.books()["read"] == 20_000 + 59
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()
