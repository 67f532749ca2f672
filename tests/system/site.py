"""A place to run Assay as users do: a configuration, input files, a data directory, and the real program."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import yaml

from tests.audit.audit import Input, Verdict, audit
from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SAMPLES = CHECKOUT / "tests" / ".out" / "samples"
STARTED: list[Run] = []
"""Every run of this test; what a failed test leaves is ended after it (conftest.py)."""


@lru_cache(maxsize=1)
def samples() -> Path:
    """The sample data, prepared once for all tests by the program's own code."""
    from cli.samples import prepare
    from config.load import load

    prepare(load(CHECKOUT / "config" / "data_sources.yml", data_dir=SAMPLES), lambda words: None)
    return SAMPLES / "samples"


@dataclass
class Site:
    """One data directory with its configuration."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def file(self) -> Path:
        return self.folder / "site.yml"

    def write(self) -> Site:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(yaml.safe_dump(self.config))
        return self

    def start(self, *flags: str, **environment: str) -> Run:
        """Start ``main.py`` here; relative schema paths mean the checkout's."""
        self.write()
        log = self.folder / "run.log"
        words = [sys.executable, "main.py", "--config", str(self.file), "--data-dir", str(self.data), *flags]
        with log.open("ab") as out:
            process = subprocess.Popen(
                words, cwd=CHECKOUT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "NO_COLOR": "1", **environment},
            )  # fmt: skip
        run = Run(self, process, log)
        STARTED.append(run)
        return run

    def command(
        self, *words: str, timeout_s: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Another command of the program on this configuration, to its end."""
        self.write()
        return subprocess.run(
            [sys.executable, "main.py", *words, "--config", str(self.file), "--data-dir", str(self.data)],
            cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout_s, check=False,
            env={**os.environ, "NO_COLOR": "1", **environment},
        )  # fmt: skip

    def rows(self) -> int:
        """Rows in committed parquet files, of all tables."""
        return sum(pq.read_metadata(path).num_rows for path in self.parquet())

    def parquet(self) -> list[Path]:
        """The committed files of records."""
        found = (self.data / "warehouse").glob("*_*/year=*/month=*/day=*/*.parquet")
        return sorted(path for path in found if "_by_" not in path.parts[-5])

    def raw(self, dataset: str = "flights") -> list[bytes]:
        """``assay_raw`` of every stored row of a dataset, sorted."""
        found: list[bytes] = []
        for path in self.parquet():
            if path.relative_to(self.data / "warehouse").parts[0].partition("_")[2] == dataset:
                found += pq.read_table(path, columns=["assay_raw"], partitioning=None).column(0).to_pylist()
        return sorted(found)

    def audit(self, inputs: list[Input] | None = None) -> Verdict:
        """The auditor's verdict on what is stored, against the files of ``in/`` unless others are given."""
        given = [Input.parse(f"flights={self.folder}/in/*.csv")] if inputs is None else inputs
        return audit(self.data, given, summary=self.data / "state" / "status.json")


@dataclass
class Run:
    """The program at work."""

    site: Site
    process: subprocess.Popen[bytes]
    log: Path

    def status(self) -> dict[str, Any]:
        """``state/status.json`` as the run last wrote it; {} before that, or when it is another run's."""
        try:
            return json.loads((self.site.data / "state" / "status.json").read_bytes())
        except (OSError, ValueError):
            return {}

    def pid_of(self, station: str) -> int | None:
        """The pid of a station that is up."""
        for one in self.status().get("stations", ()):
            if (
                one["name"] == station
                and one.get("pid")
                and one["state"] not in {"restarting", "starting", "waiting"}
            ):
                return int(one["pid"])
        return None

    def read_share(self, expected: int) -> float:
        """Records committed or in flight, as a share of all."""
        return self.status().get("ledger", {}).get("read", 0) / expected

    def books(self) -> dict[str, int]:
        """The ledger of its status; all 0 before there is one."""
        return defaultdict(int, self.status().get("ledger", {}))

    def until(
        self, condition: Callable[[dict[str, int]], Any], timeout_s: float = 120, what: str = ""
    ) -> Any:
        """Wait until the ledger is as wished; fails at once when the run has ended."""

        def looked() -> Any:
            assert self.process.poll() is None, (
                f"the run ended early ({self.process.returncode}):\n{self.text()[-3000:]}"
            )
            return condition(self.books())

        return until(looked, timeout_s, what=what or "the ledger")

    def wait(self, timeout_s: float = 180) -> int:
        """Its exit code."""
        return self.process.wait(timeout_s)

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL of the driver; returns when no process of this run is left.

        Ray's two agents, which hold nothing, see the end of their node only after a minute; here they are helped.
        """
        family = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() in {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}:
                    process.kill()
        gone(family)

    def text(self) -> str:
        """All it printed."""
        return self.log.read_text(errors="replace")


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below ``pid``."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def gone(family: list[psutil.Process], within_s: float = 30) -> None:
    """Wait until none of these is left."""
    try:
        until(lambda: not any(alive(one) for one in family), within_s)
    except AssertionError:
        raise AssertionError(
            f"not ended after {within_s} s: {[one for one in family if alive(one)]}"
        ) from None


def end_all() -> None:
    """End the runs that are still there, with all their processes."""
    while STARTED:
        run = STARTED.pop()
        if run.process.poll() is None:
            run.kill()


def alive(process: psutil.Process) -> bool:
    """Whether it still runs (a zombie does not)."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def flights(
    folder: Path, rows: int, *, queue: str = "memory", rate_limit: float | None = None, hive: Any = False,
    aggregates: list[dict[str, Any]] | None = None,
) -> Site:  # fmt: skip
    """A site that reads the first ``rows`` flights from one CSV file; without aggregates unless some are given."""
    given = yaml.safe_load((CHECKOUT / "config" / "data_sources.yml").read_text())
    path = folder / "in" / "flights.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (samples() / "flights" / "flights.csv").open("rb") as whole, path.open("wb") as part:
        for _, line in zip(range(rows + 1), whole, strict=False):
            part.write(line)
    source = {key: value for key, value in given["sources"]["flights"].items() if key != "sample"}
    source |= {"path": str(path.parent / "*.csv"), "rate_limit": rate_limit, "chunk_rows": 1000}
    config = {
        "sources": {"flights": source}, "datasets": {"flights": given["datasets"]["flights"] | {"aggregates": aggregates or []}},
        "bus": {"queue": queue}, "hive": {"enabled": hive}, "web": {"port": 0},
    }  # fmt: skip
    return Site(folder, config)


def all_samples(folder: Path, *, hive: Any = False) -> Site:
    """A site with the seven sample sources of the shipped configuration, their files shared by all tests."""
    samples()
    text = (CHECKOUT / "config" / "data_sources.yml").read_text().replace("${ASSAY_DATA}", str(SAMPLES))
    config = yaml.safe_load(text)
    config |= {"hive": {"enabled": hive}, "web": {"port": 0}, "storage": {}}
    return Site(folder, config)


def row_ids(path: Path) -> list[int]:
    """The ``row_id`` column of a CSV file."""
    with path.open(newline="") as file:
        return [int(row["row_id"]) for row in csv.DictReader(file)]
