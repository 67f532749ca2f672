"""The program as a job on a running Ray: submit, look, subscribe, stop."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.cluster import ENDED, Cluster, cluster, documented_subscriber
from tests.system.site import Run, Site, flights
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

STATIONS = {"bus", "registry", "writer", "bridge", "supervisor", "connector:flights"}


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """One cluster for all tests here."""
    with cluster() as made:
        yield made


def job_words(site: Site, *flags: str) -> list[str]:
    """The entry point of a job."""
    site.write()
    return ["python", "main.py", "--config", str(site.file), "--data-dir", str(site.data), "--no-web", *flags]


def test_a_batch_job_succeeds_and_uploads_no_data(tmp_path: Path, head: Cluster) -> None:
    site = flights(tmp_path, 3_000)
    said = head.submit("batch", *job_words(site))
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Job 'batch' succeeded" in said.stdout
    assert "the books balance" in said.stdout, "the closing table is in the job's log"
    assert site.rows() == 3_000
    verdict = site.audit()
    assert verdict.ok, verdict.as_dict()
    (package,) = head.packages()
    assert (package / "main.py").is_file()
    assert not {".venv", "data", "lib", ".git", "build"} & {one.name for one in package.iterdir()}
    size = sum(one.stat().st_size for one in package.rglob("*") if one.is_file())
    assert size < 20 << 20, f"{size:,} bytes; Ray refuses 500 MB, and each start uploads them"


def test_a_relative_data_directory_is_refused_in_one_line(tmp_path: Path, head: Cluster) -> None:
    site = flights(tmp_path, 10)
    words = job_words(site)
    words[words.index("--data-dir") + 1] = "data"
    said = head.submit("relative", *words)
    assert said.returncode == 1, said.stdout + said.stderr
    assert "failed with exit code 2" in said.stdout.lower() or "exit code 2" in said.stdout, said.stdout
    assert "E148" in said.stdout
    assert "the data directory `data` is relative" in said.stdout
    assert "Traceback" not in said.stdout


def test_an_event_mode_job_is_seen_heard_and_stopped(tmp_path: Path, head: Cluster) -> None:
    site = flights(tmp_path, 20_000, rate_limit=200)
    said = head.submit("events", *job_words(site, "--streaming", "--event-mode"), wait=False)
    assert said.returncode == 0, said.stdout + said.stderr
    seen = Run(site, None, tmp_path / "none")  # type: ignore[arg-type]

    def moving(more_than: int = 0) -> bool:
        assert head.job("events") not in ENDED, head.logs("events")[-3000:]
        return seen.books()["gold"] > more_than

    until(moving, 120, 0.5, what="records are committed")

    until(lambda: {name for name, state in head.actors().items() if state == "ALIVE"} >= STATIONS, 30, 0.5,
          what="the actors in the dashboard")  # fmt: skip
    with pytest.raises(urllib.error.HTTPError, match="401"):
        head.get("/api/v0/actors", token=False)

    listener = tmp_path / "listener.py"
    listener.write_text(documented_subscriber())
    assert head.submit("listener", "env", "PYTHONPATH=.", "python", str(listener), wait=False).returncode == 0
    until(
        lambda: "flights." in head.logs("listener") or head.job("listener") in ENDED,
        120,
        0.5,
        what="a heard record",
    )
    first = head.logs("listener").splitlines()
    assert any(line.startswith("flights.") and "'row_id': " in line for line in first), "\n".join(first)[
        -3000:
    ]
    assert head.ray("job", "stop", "listener").returncode == 0

    status = head.ray("job", "status", "events")
    assert "RUNNING" in status.stdout + status.stderr
    logs = head.ray("job", "logs", "events")
    assert "flights: epoch 1" in logs.stdout, logs.stdout[-3000:]
    stopped = head.ray("job", "stop", "events")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    until(lambda: head.job("events") in ENDED, 90, 0.5, what="the job ends")
    assert head.job("events") == "STOPPED"
    until(lambda: "ALIVE" not in head.actors().values(), 30, 0.5, what="no actor is left")
    books = seen.books()
    assert books["in_flight"] == books["imbalance"] == 0, books
    assert seen.status()["state"] == "done"
    assert site.rows() == books["read"]
