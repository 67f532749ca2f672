"""A standalone Spark cluster of one worker on loopback, from pyspark's own jars; ended by its processes' ids."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.find_spark_home import _find_spark_home

from tests.waiting import until


@contextmanager
def a_cluster(folder: Path, *, cores: int = 2, memory: str = "1g") -> Iterator[str]:
    """``spark://127.0.0.1:port``, once a worker has registered."""
    folder.mkdir(parents=True, exist_ok=True)
    running: list[subprocess.Popen[bytes]] = []
    try:
        said = _start(running, folder / "master.log", "master.Master", "--port", "0", "--webui-port", "0")
        found = until(
            lambda: re.search(r"Starting Spark master at (spark://\S+)", said.read_text()),
            what=f"a master; see {said}",
        )
        master = str(found[1])
        _start(
            running, folder / "worker.log", "worker.Worker", "--cores", str(cores), "--memory", memory, "--webui-port", "0",
            "--work-dir", str(folder / "work"), master,
        )  # fmt: skip
        until(lambda: "Registering worker" in said.read_text(), timeout_s=90, what=f"a worker; see {said}")
        yield master
    finally:
        for process in reversed(running):
            os.killpg(process.pid, signal.SIGTERM)  # its own group: the executors that it started, too
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def _start(running: list[subprocess.Popen[bytes]], log: Path, part: str, *words: str) -> Path:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output:
        running.append(subprocess.Popen(
            [f"{_find_spark_home()}/bin/spark-class", f"org.apache.spark.deploy.{part}", "--host", "127.0.0.1", *words],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=log.parent,
            env=environment | {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m", "SPARK_NO_DAEMONIZE": "1"},
        ))  # fmt: skip
    return log
