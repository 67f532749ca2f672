"""A real Hive Metastore service (2.3.10) on the tests' PostgreSQL, started the way docs/hive.md tells users to.

The fixture ``metastore`` is started once a session of tests. Tests that stop, kill or hold it start it again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.services.postgres import Postgres, free_port
from tests.waiting import until

CHECKOUT = Path(__file__).resolve().parent.parent.parent
DATABASE = "hive_metastore"


@dataclass
class Metastore:
    """One service: ``uri`` stays the same however often it is started."""

    home: Path
    postgres: Postgres
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def uri(self) -> str:
        return f"thrift://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process, "it was never started"
        return self.process.pid

    def init(self) -> None:
        """Make its tables."""
        done = subprocess.run(
            self._words("init"), cwd=CHECKOUT, env=self._environment(), capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, wait: bool = True) -> None:
        """Start it; ``wait`` until its port is open."""
        with (self.home / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._words("run"), cwd=CHECKOUT, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        if wait:
            until(self.listens, timeout_s=90, what=f"the metastore listens; its log: {log.name}")

    def listens(self) -> bool:
        """Whether its port is open."""
        assert self.process and self.process.poll() is None, (self.home / "service.log").read_text()[-2000:]
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def send(self, what: signal.Signals) -> None:
        """A signal to the service."""
        os.kill(self.pid, what)

    def stop(self) -> None:
        """End it at once, by its pid. Safe twice."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def _words(self, what: str) -> list[str]:
        return [
            sys.executable, "-m", "bridge.metastore", what, "--url", self.postgres.jdbc(DATABASE), "--user",
            self.postgres.user, "--home", str(self.home), "--warehouse", str(self.home / "warehouse"),
            "--port", str(self.port), "--bind", "127.0.0.1",
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "METASTORE_PASSWORD": self.postgres.password}


@pytest.fixture(scope="session")
def metastore(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metastore]:
    """The session's metastore."""
    postgres.database(DATABASE)
    service = Metastore(tmp_path_factory.mktemp("metastore"), postgres, free_port())
    service.init()
    try:
        service.start()
        yield service
    finally:
        service.stop()
