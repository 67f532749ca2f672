"""A Spark session with Hive support, in a JVM of our own. Blocking: callers give it a thread."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bridge.code import code_zip, is_local
from bridge.java import Java
from bridge.jvm import Jvm
from bridge.settings import spark_settings, write_start_files
from config.models import Config
from core.errors import StoreUnavailable


class Session:
    """One session at a time in one process; after ``stop`` another may start.

    All calls but ``stop``, ``pid`` and ``alive`` belong to one thread.

    Args:
        root: the data directory.
        config: whole.
        java: which Java, from ``find_java``.
        working: Spark reads and judges records here, too; else it only serves the tables, and is kept small.
    """

    def __init__(self, root: Path, config: Config, java: Java, *, working: bool = False) -> None:
        self._working = working
        self._root = root.absolute()
        self._config = config
        self._java = java
        self._jvm: Jvm | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._gateway: Any = None
        self._spark: Any = None

    @property
    def pid(self) -> int | None:
        """Of the JVM; None before it was started."""
        return self._jvm.pid if self._jvm else None

    @property
    def alive(self) -> bool:
        """Whether the JVM is there."""
        return self._jvm is not None and self._jvm.alive

    @property
    def spark(self) -> Any:
        """The ``pyspark.sql.SparkSession``."""
        if self._spark is None:
            raise StoreUnavailable("the Spark session is not up", "E721")
        return self._spark

    def start(self) -> None:
        """Start the JVM and a session in it: 5-15 s. The metastore is not asked for anything yet.

        Raises:
            StoreUnavailable: E721.
        """
        settings = spark_settings(self._root, self._config, working=self._working)
        properties = write_start_files(self._root, settings)
        shutil.rmtree(self._scratch / "local", ignore_errors=True)  # what a killed JVM left
        (self._scratch / "local").mkdir()
        with self._lock:
            if self._stopped:
                raise StoreUnavailable("the Spark session was ended before it was up", "E721")
            self._jvm = Jvm(self._java, properties, self._scratch / "jvm.out")
        port, secret = self._jvm.gateway()
        with self.translated():
            self._connect(port, secret)

    def open(self) -> None:
        """Open the metastore: 2-6 s the first time.

        Raises:
            StoreUnavailable: E723 it does not answer, E724 the embedded one is another process's.
        """
        self.rows("SHOW DATABASES")

    def _connect(self, port: int, secret: str) -> None:
        from pyspark import SparkConf, SparkContext
        from pyspark.java_gateway import launch_gateway
        from pyspark.logger import PySparkLogger
        from pyspark.sql import SparkSession

        for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
            # It prints each refused statement with its whole Java trace; the error we raise says what matters.
            PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
        os.environ |= {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # of the tasks
        try:
            self._gateway = launch_gateway()
        finally:
            del os.environ["PYSPARK_GATEWAY_PORT"], os.environ["PYSPARK_GATEWAY_SECRET"]
        context = SparkContext(conf=SparkConf(_jvm=self._gateway.jvm), gateway=self._gateway)
        if self._working and not is_local(self._config.spark.master):
            context.addPyFile(str(code_zip(self._scratch / "code")))
        self._spark = SparkSession(context)

    @property
    def _scratch(self) -> Path:
        return self._root / "state" / "spark"

    def sql(self, text: str) -> Any:
        """Run one statement; returns the DataFrame.

        Raises:
            StoreUnavailable: the statement failed, or the JVM is gone.
        """
        with self.translated():
            return self.spark.sql(text)

    def rows(self, text: str) -> list[Any]:
        """Run one statement and fetch its rows."""
        return self.fetch(self.sql(text))

    def fetch(self, frame: Any) -> list[Any]:
        """The rows of a DataFrame, all in memory."""
        with self.translated():
            return list(frame.collect())

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what pyspark and py4j raise into ``StoreUnavailable`` with one sentence."""
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            yield
        except StoreUnavailable:
            raise
        except Exception as error:  # a JVM that dies half-way shows as any type at all
            if not self._alive_soon():
                raise StoreUnavailable("Spark's JVM is gone; it is started again", "E722") from error
            if isinstance(error, PySparkException | Py4JError | OSError | EOFError):
                raise _as_unavailable(str(error)) from error
            raise

    def _alive_soon(self) -> bool:
        """Whether the JVM is there, after giving a dying one a moment to be gone."""
        with suppress(subprocess.TimeoutExpired):
            if self._jvm is not None:
                self._jvm.process.wait(0.2)
        return self.alive

    def stop(self, grace_s: float = 5.0) -> None:
        """End session and JVM for good. From any thread, safe twice: a call under way in another thread fails."""
        with self._lock:
            self._stopped = True
        if self._jvm is not None:
            self._jvm.stop(grace_s)
        if self._gateway is not None:
            with suppress(Exception):  # its sockets are gone with the JVM
                self._gateway.shutdown()
        self._gateway = self._spark = None
        _forget()


def _forget() -> None:
    """Make pyspark ready for another JVM: it keeps one for the life of the process otherwise."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    context = SparkContext._active_spark_context
    if context is not None and context._accumulatorServer is not None:
        context._accumulatorServer.shutdown()
    SparkContext._active_spark_context = SparkContext._gateway = SparkContext._jvm = None
    SparkSession._instantiatedSession = None


def _as_unavailable(text: str) -> StoreUnavailable:
    if "XSDB6" in text or "Another instance of Derby" in text:
        return StoreUnavailable(
            "the embedded metastore is open in another process: end that run first, or use a metastore service "
            "(`hive.metastore_uri`)", "E724",
        )  # fmt: skip
    if found := _UNREADABLE.search(text):
        bad = unquote(found[1])
        return StoreUnavailable(
            f"a file of the tables cannot be read: `{bad}`; if it is none of Assay's, move it away or begin its name "
            "with `_`, else run `assay fsck`", "E730", {"path": bad},
        )  # fmt: skip
    if _METASTORE.search(text):
        return StoreUnavailable(f"the Hive metastore does not answer: {_line(text)}", "E723")
    return StoreUnavailable(f"Spark refused: {_line(text)}", "E725")


_METASTORE = re.compile(
    r"HiveMetaStoreClient|MetaException|TTransportException|Could not connect to meta store"
)


_UNREADABLE = re.compile(r"FAILED_READ_FILE\.[A-Z_]+\][^\n]*?file:(?://)?(/\S+?)\.?(?:\s|$)")


def _line(text: str) -> str:
    """The line of a Java trace that says most: the last cause, shortened."""
    causes = [line.strip() for line in text.splitlines() if "Caused by" in line or "Exception" in line]
    return (causes[-1] if causes else text.strip().splitlines()[0] if text.strip() else "no message")[:300]
