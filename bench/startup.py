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
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figure import Figure, table
from bench.program import CHECKOUT, OUT, Program, die_with_parent, running
from cli.samples import prepare
from config.load import load

CONFIG = CHECKOUT / "config" / "data_sources.yml"
RUNS = 3


def first_scored(program: Program) -> bool:
    """Whether any connector has judged a record."""
    return any(sum(said.get("scored", {}).values()) for said in program.stats.values())


async def measure(samples: Path, env: Mapping[str, str]) -> tuple[float, str]:
    """Seconds to the first tier in a new data directory that has its samples, and when each station was first heard."""
    root = OUT / "startup" / f"data-{secrets.token_hex(4)}"
    shutil.copytree(samples, root / "samples")
    began = time.monotonic()
    async with running(CONFIG, root, "--streaming", "--event-mode", "--port", "0", env=env) as program:
        await program.until(lambda: first_scored(program), 120)
        took = time.monotonic() - began
        heard = ", ".join(f"{name} {at - began:.1f}" for name, at in sorted(program.heard_at.items(), key=lambda one: one[1])
                          if not name.startswith("connector:") or name == "connector:flights")  # fmt: skip
    shutil.rmtree(root, ignore_errors=True)
    return took, heard


@asynccontextmanager
async def running_ray() -> AsyncIterator[dict[str, str]]:
    """A head node of our own on loopback; yields the environment that joins it."""
    temporary = Path("/tmp") / f"assay-bench-ray-{os.getpid()}"  # socket paths must be short
    port, token = _free_port(), secrets.token_hex(32)
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    words = [
        "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--ray-client-server-port={_free_port()}",
        f"--dashboard-agent-listen-port={_free_port()}", "--include-dashboard=false", "--num-cpus=2",
        f"--temp-dir={temporary}", "--object-store-memory=100000000", "--block",
    ]  # fmt: skip
    log = OUT / "ray.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        head = subprocess.Popen(
            [str(Path(sys.executable).with_name("ray")), *words], stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, **env, "PYTHONPATH": str(CHECKOUT)}, preexec_fn=die_with_parent,  # noqa: PLW1509 - one libc call, no thread of ours yet
        )  # fmt: skip
    try:
        await _until_started(head, log)
        yield {**env, "RAY_ADDRESS": f"127.0.0.1:{port}"}
    finally:
        head.terminate()
        await asyncio.to_thread(head.wait, 60)
        shutil.rmtree(temporary, ignore_errors=True)


async def _until_started(head: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while "Ray runtime started" not in log.read_text():
        if head.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"ray start failed:\n{log.read_text()[-2000:]}")
        await asyncio.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def several(samples: Path, env: Mapping[str, str], runs: int) -> tuple[float, str]:
    """The middle one of so many runs, with its breakdown; one run before does not count."""
    found = [await measure(samples, env) for _ in range(runs + 1)][1:]
    return sorted(found)[len(found) // 2]


async def _measure_both(runs: int) -> list[Figure]:
    samples = OUT / "startup" / "samples"
    shutil.rmtree(samples.parent, ignore_errors=True)
    prepare(load(CONFIG, data_dir=samples.parent), lambda text: None)
    cold, heard = await several(samples, {}, runs)
    async with running_ray() as env:
        warm, heard_warm = await several(samples, env, runs)
    first = "start to first tier"
    return [
        Figure(f"{first}, private Ray", cold, "s", 15, note=f"first heard: {heard}"),
        Figure(f"{first}, on a running Ray", warm, "s", 3, note=f"first heard: {heard_warm}"),
    ]


def main(quick: bool = False, *, runs: int = 0) -> list[Figure]:
    """Measure both ways."""
    return asyncio.run(_measure_both(runs or (1 if quick else RUNS)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    print(table(main(runs=parser.parse_args().runs)))
