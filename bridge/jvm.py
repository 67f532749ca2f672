"""The JVM that Spark runs in: started by us, so that its pid is known at once and its death is seen.

It ends when its standard input ends, which is when this process does, however this process dies.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from bridge.java import Java
from core.errors import StoreUnavailable

START_TIMEOUT_S = 180.0
NICE = 10


def lower_priority() -> None:
    """Nice this thread down; what it starts inherits that. The pipeline comes first, the tables after it."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Jvm:
    """One JVM with Spark's Python gateway in it.

    Args:
        java: which Java.
        properties: Spark's property file.
        output: where its standard output and error go (replaced at each start).
    """

    def __init__(self, java: Java, properties: Path, output: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="assay-jvm-"))
        self._output = output
        with output.open("wb") as said:
            self.process = subprocess.Popen(
                [f"{spark_home()}/bin/spark-submit", "--properties-file", str(properties), "pyspark-shell"],
                stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
                env=os.environ | {
                    "JAVA_HOME": str(java.home), "SPARK_CONNECT_MODE": "0", "SPARK_LOCAL_IP": "127.0.0.1",
                    "_PYSPARK_DRIVER_CONN_INFO_PATH": str(self._folder / "gateway"),
                },
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the JVM itself: the start scripts ``exec``."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    def gateway(self, timeout_s: float = START_TIMEOUT_S) -> tuple[int, str]:
        """Port and secret of the gateway; waits for the JVM to write them.

        Raises:
            StoreUnavailable: it ended before, or took longer than ``timeout_s``.
        """
        end = time.monotonic() + timeout_s
        pause = threading.Event()
        try:
            while not (self._folder / "gateway").is_file():
                if not self.alive:
                    raise StoreUnavailable(
                        f"Spark's JVM ended at its start: {self._last_words()}", "E721", {"exit": self.process.returncode}
                    )  # fmt: skip
                if time.monotonic() > end:
                    raise StoreUnavailable(f"Spark's JVM did not start within {timeout_s:.0f} s", "E721")
                pause.wait(0.05)
            data = (self._folder / "gateway").read_bytes()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        port, length = struct.unpack(">ii", data[:8])
        return port, data[8 : 8 + length].decode()

    def _last_words(self) -> str:
        lines = self._output.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def stop(self, grace_s: float = 5.0) -> None:
        """End it: its input ends, after ``grace_s`` it is killed. Safe twice, and when it is dead."""
        if self.process.stdin:
            with suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


def spark_home() -> str:
    """Where pyspark keeps its scripts and jars."""
    from pyspark.find_spark_home import _find_spark_home

    return str(_find_spark_home())
