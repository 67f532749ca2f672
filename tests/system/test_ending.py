"""How a run ends: by signal, by a second one on its directory, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.system.site import Site, descendants, flights, gone
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EVENT = ("--no-web", "--streaming", "--event-mode")


def told(site: Site) -> dict[str, object]:
    """What `status --json` says."""
    said = site.command("status", "--json")
    assert said.returncode == 0, said.stderr
    document: dict[str, object] = json.loads(said.stdout)
    return document


def test_one_run_from_event_mode_over_sigterm_to_a_batch_that_doubles_nothing(tmp_path: Path) -> None:
    site = flights(tmp_path, 6_000, rate_limit=300)
    run = site.start(*EVENT)
    run.until(lambda books: books["committed"] or books["gold"] > 0, what="something is committed")
    family = descendants(run.process.pid)
    assert any("raylet" in one.name() for one in family)

    second = site.command("run", "--no-web")
    assert second.returncode == 75, second.stderr
    assert f"process {run.process.pid} on {os.uname().nodename}" in second.stderr

    running = told(site)
    assert (running["state"], running["mode"]) == ("running", "event")
    assert {one["name"] for one in running["stations"]} >= {
        "bus",
        "writer",
        "registry",
        "supervisor",
        "connector:flights",
    }

    run.process.send_signal(signal.SIGTERM)
    assert run.wait(120) == 0, run.text()[-3000:]
    gone(family)
    stored = told(site)
    assert stored["state"] == "done"
    assert stored["ledger"] == run.books() | {"imbalance": 0, "in_flight": 0}
    assert 0 < stored["ledger"]["read"] < 6_000, "it was stopped in the middle"
    assert site.rows() == stored["ledger"]["read"]

    site.config["sources"]["flights"]["rate_limit"] = None
    batch = site.start("--no-web")
    assert batch.wait(240) == 0, batch.text()[-3000:]
    assert batch.books()["read"] == 6_000
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()


def test_sigint_ends_in_order_with_130(tmp_path: Path) -> None:
    site = flights(tmp_path, 3_000, rate_limit=300)
    run = site.start("--no-web")
    run.until(lambda books: books["read"] > 0 and books["in_flight"] > 0, what="something is on its way")
    family = descendants(run.process.pid)
    run.process.send_signal(signal.SIGINT)
    assert run.wait(120) == 130, run.text()[-3000:]
    gone(family)
    assert "Traceback" not in run.text()
    books = run.books()
    assert books["in_flight"] == books["imbalance"] == 0
    assert site.rows() == books["read"]


def test_sigint_while_ray_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    site = flights(tmp_path, 100)
    run = site.start("--no-web")
    until(
        lambda: any("gcs_server" in one.name() for one in descendants(run.process.pid)),
        120,
        what="Ray starts",
    )
    family = descendants(run.process.pid)
    run.process.send_signal(signal.SIGINT)
    assert run.wait(120) == 130, run.text()[-3000:]
    gone(family)
    assert "Traceback" not in run.text()
