"""Seconds from ``main.py --streaming --event-mode`` to the first record with a tier, on the sample data.

    python -m bench.startup [--runs 3]

Measured from the start of the process to the first ``stats`` in which a connector has scored a record, heard by a
subscriber in another process. Once on a private Ray, which the program starts itself, and once on a Ray that runs
already (``ray start --head``, loopback, with a token). Hive is on where Java is; its JVM starts beside.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.figure import Figure, table
from bench.program import CHECKOUT, OUT, Program, running

CONFIG = CHECKOUT / "config" / "data_sources.yml"
RUNS = 3


def first_scored(program: Program) -> bool:
    """Whether any connector has judged a record."""
    return any(sum(said.get("scored", {}).values()) for said in program.stats.values())


async def measure(root: Path, env: Mapping[str, str]) -> tuple[float, str]:
    """Seconds to the first tier, and when each station was first heard."""
    for folder in ("commits", "state", "warehouse", "registry", "metastore"):
        shutil.rmtree(root / folder, ignore_errors=True)
    began = time.monotonic()
    async with running(CONFIG, root, "--streaming", "--event-mode", "--port", "0", env=env) as program:
        await program.until(lambda: first_scored(program), 120)
        took = time.monotonic() - began
        heard = ", ".join(f"{name} {at - began:.1f}" for name, at in sorted(program.heard_at.items(), key=lambda one: one[1])
                          if not name.startswith("connector:") or name == "connector:flights")  # fmt: skip
    return took, heard


@contextmanager
def running_ray() -> Iterator[dict[str, str]]:
    """A head node of our own on loopback; yields the environment that joins it."""
    token = secrets.token_hex(32)
    temporary = Path("/tmp") / f"assay-bench-ray-{os.getpid()}"  # socket paths must be short
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    port = _free_port()
    ray = Path(sys.executable).with_name("ray")
    whole = {**os.environ, **env, "PYTHONPATH": str(CHECKOUT)}
    words = [
        "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--ray-client-server-port={_free_port()}",
        f"--dashboard-agent-listen-port={_free_port()}", "--include-dashboard=false", "--num-cpus=2",
        f"--temp-dir={temporary}", "--object-store-memory=100000000", "--block",
    ]  # fmt: skip
    log = OUT / "ray.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        head = subprocess.Popen([str(ray), *words], env=whole, stdout=out, stderr=out, start_new_session=True)
    try:
        _until_started(head, log)
        yield {**env, "RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        head.terminate()
        head.wait(60)
        shutil.rmtree(temporary, ignore_errors=True)


def _until_started(head: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while "Ray runtime started" not in log.read_text():
        if head.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"ray start failed:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)
    time.sleep(5.0)  # its idle worker processes come up


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def several(root: Path, env: Mapping[str, str], runs: int) -> tuple[float, str]:
    """Median seconds, and the breakdown of that run."""
    found = sorted(asyncio.run(measure(root, env)) for _ in range(runs))
    middle = found[len(found) // 2]
    return median(took for took, _ in found) if runs % 2 else middle[0], middle[1]


def main(quick: bool = False, *, runs: int = 0) -> list[Figure]:
    """Measure; a first run, which writes the sample files, does not count."""
    runs = runs or (1 if quick else RUNS)
    root = OUT / "startup" / "data"
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "samples").exists():
        asyncio.run(measure(root, {}))
    cold, heard = several(root, {}, runs)
    with running_ray() as env:
        asyncio.run(measure(root, env))
        warm, heard_warm = several(root, env, runs)
    first = "start to first tier"
    return [
        Figure(f"{first}, private Ray", cold, "s", 15, note=f"first heard: {heard}"),
        Figure(f"{first}, on a running Ray", warm, "s", 3, note=f"first heard: {heard_warm}"),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    print(table(main(runs=parser.parse_args().runs)))
