"""A Ray cluster of one node for jobs, on free ports of the loopback, with its own token and directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.site import CHECKOUT, alive, descendants, gone
from tests.waiting import until

BIN = Path(sys.executable).parent
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


@dataclass
class Cluster:
    """A running head node."""

    folder: Path
    address: str
    environment: dict[str, str]

    def ray(self, *words: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """``ray …`` as a user types it, in the checkout."""
        return subprocess.run(
            [str(BIN / "ray"), *words], cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout_s, check=False,
            env=self.environment | {"RAY_ADDRESS": self.address},
        )  # fmt: skip

    def submit(self, name: str, *entrypoint: str, wait: bool = True) -> subprocess.CompletedProcess[str]:
        """``ray job submit --working-dir .``"""
        how = () if wait else ("--no-wait",)
        return self.ray(
            "job", "submit", *how, "--submission-id", name, "--working-dir", ".", "--", *entrypoint
        )

    def get(self, path: str, *, token: bool = True) -> Any:
        """A JSON document of the dashboard's REST interface."""
        headers = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"} if token else {}
        with urllib.request.urlopen(
            urllib.request.Request(self.address + path, headers=headers), timeout=20
        ) as answer:
            return json.load(answer)

    def job(self, name: str) -> str:
        """The status of a job."""
        return str(self.get(f"/api/jobs/{name}")["status"])

    def logs(self, name: str) -> str:
        """All that a job printed."""
        return str(self.get(f"/api/jobs/{name}/logs")["logs"])

    def actors(self) -> dict[str, str]:
        """Name -> state of the actors in the namespace ``assay``, the newest life of each."""
        found = self.get("/api/v0/actors?limit=1000&detail=1")["data"]["result"]["result"]
        mine = [one for one in found if one["ray_namespace"] == "assay"]
        return {one["name"]: one["state"] for one in sorted(mine, key=lambda one: one["state"] != "DEAD")}

    def packages(self) -> list[Path]:
        """The uploaded working directories, unpacked."""
        return sorted(self.folder.glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/"))


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """``ray start --head``, ended with all its processes (``ray stop`` would end those of others too)."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets want a short path
    ports = free_ports(6)
    environment = {
        **os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "token", "NO_COLOR": "1",
        "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_JOB_STOP_WAIT_TIME_S": "60", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    environment.pop("RAY_ADDRESS", None)
    names = ("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port",
             "ray-client-server-port", "metrics-export-port")  # fmt: skip
    words = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    log = folder / "head.log"
    with log.open("wb") as out:
        head = subprocess.Popen(
            [str(BIN / "ray"), "start", "--head", "--block", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
             "--node-ip-address=127.0.0.1", "--num-cpus=2", f"--object-store-memory={80 << 20}", f"--temp-dir={folder}",
             *words],
            cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, env=environment,
        )  # fmt: skip
    made = Cluster(folder, f"http://127.0.0.1:{ports[1]}", environment)
    family = []
    try:
        until(lambda: answers(made, head, log), 120, 0.3, what="the dashboard answers")
        yield made
    finally:
        family = descendants(head.pid)
        head.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(20)
        for process in family:
            if alive(process):
                process.kill()
        if head.poll() is None:
            head.kill()
            head.wait()
        gone(family)
        shutil.rmtree(folder, ignore_errors=True)


def answers(made: Cluster, head: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether jobs can be submitted."""
    assert head.poll() is None, log.read_text(errors="replace")[-3000:]
    try:
        made.get("/api/jobs/")
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def documented_subscriber() -> str:
    """The ten lines of docs/subscribing.md."""
    return re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "subscribing.md").read_text(), re.S)[0]
