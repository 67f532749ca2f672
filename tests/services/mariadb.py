"""A real MariaDB on a free loopback port, with TLS, made for the tests and thrown away after them.

The fixture ``mariadb`` is started once a session of tests, by the first test that asks for it. Each test makes a
database of its own: ``mariadb.database("mine")``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.services.certificates import Certificates, certificates
from tests.services.postgres import free_port
from tests.waiting import until

OWNER = "assay"
PASSWORD = "not-4-production"
QUICK = (
    "--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--sync-frm=0",
    "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--key-buffer-size=1M", "--performance-schema=OFF",
    "--aria-pagecache-buffer-size=8M", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-doublewrite=0",
    "--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin",
)  # fmt: skip


@dataclass
class MariaDb:
    """One server; ``folder`` holds its data directory, socket and log."""

    folder: Path
    port: int
    tls: Certificates
    user: str = OWNER
    password: str = PASSWORD
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it on its data directory and wait until it answers."""
        words = [
            f"--datadir={self.folder / 'data'}", f"--port={self.port}", f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}", f"--tmpdir={self.folder}", f"--ssl-ca={self.tls.authority}",
            f"--ssl-cert={self.tls.certificate}", f"--ssl-key={self.tls.key}",
            f"--init-file={self.folder / 'users.sql'}",
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("mariadbd"), "--no-defaults", *QUICK, *words], cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, **as_owner(),
            )  # fmt: skip
        until(self._answers, timeout_s=90, what=f"MariaDB answers; its log: {log.name}")

    def stop(self) -> None:
        """End it, by its pid. Safe twice."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def _answers(self) -> bool:
        assert self.process and self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        return self._sql("SELECT 1", None).returncode == 0

    def sql(self, statements: str, database: str | None = None) -> list[list[str]]:
        """Run statements; rows of text. A failed one fails the test with what the server said."""
        done = self._sql(statements, database)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def _sql(self, statements: str, database: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("mariadb"), "--no-defaults", "-N", "-B", "-h", self.host, "-P", str(self.port), "-u", self.user,
             "--protocol=tcp", f"--ssl-ca={self.tls.authority}", *([database] if database else [])],
            input=statements, env={**os.environ, "MYSQL_PWD": self.password},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def database(self, name: str) -> str:
        """Make an empty database; one that is there is dropped. Returns its name."""
        self.sql(f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}`")
        return name

    def jdbc(self, database: str = "") -> str:
        """``jdbc:mariadb://host:port/database``; user and password go beside it."""
        return f"jdbc:mariadb://{self.host}:{self.port}/{database}"


def program(name: str) -> str:
    """One of the server's programs; Debian keeps the server itself in ``sbin``."""
    found = shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    assert found, f"`{name}` was not found: install the package mariadb-server (make services does)"
    return found


def as_owner() -> dict[str, int]:
    """Words for ``subprocess``: as root the server runs as the user ``mysql``, who has no other files here."""
    if os.geteuid() != 0:
        return {}
    who = pwd.getpwnam("mysql")
    return {"user": who.pw_uid, "group": who.pw_gid, "umask": 0o077}


def a_mariadb() -> Iterator[MariaDb]:
    """A server of one's own; ended and removed when the generator is."""
    base = Path(tempfile.mkdtemp(prefix="assay-mariadb-"))  # pytest's own folders shut other users out
    owner = as_owner()
    try:
        base.chmod(0o755)
        tls = certificates(base)
        (base / "users.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{OWNER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{OWNER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        if owner:
            for path in (base, *base.iterdir()):
                os.chown(path, owner["user"], owner["group"])
        subprocess.run(
            [program("mariadb-install-db"), "--no-defaults", f"--datadir={base / 'data'}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"],
            cwd="/", check=True, capture_output=True, timeout=120, **owner,
        )  # fmt: skip
        server = MariaDb(base, free_port(), tls)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """The session's server."""
    yield from a_mariadb()
