"""A real PostgreSQL on a free loopback port, made for the tests and thrown away after them.

The fixture ``postgres`` is started once a session of tests, by the first test that asks for it. Each test makes a
database of its own: ``postgres.database("mine")``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.services.certificates import Certificates, certificates
from tests.waiting import until

OWNER = "assay"
PASSWORD = "not-4-production"
QUICK = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "32MB",
    "max_connections": "60", "unix_socket_directories": "", "listen_addresses": "127.0.0.1",
}  # fmt: skip


@dataclass
class Postgres:
    """One server; ``folder`` is its data directory, which only its own user may read."""

    folder: Path
    port: int
    tls: Certificates
    """What it shows to clients that ask for TLS; others may come without."""
    user: str = OWNER
    password: str = PASSWORD
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, **options: str) -> None:
        """Start it on its data directory and wait until it answers.

        Args:
            options: further settings, such as ``log_statement="all"``.
        """
        tls = {"ssl": "on", "ssl_cert_file": str(self.tls.certificate), "ssl_key_file": str(self.tls.key)}
        said = {**QUICK, **tls, "port": str(self.port), **options}
        words = [word for key, value in said.items() for word in ("-c", f"{key}={value}")]
        with (self.folder.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("postgres"), "-D", str(self.folder), *words], cwd="/", stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, **as_owner(),
            )  # fmt: skip
        until(self._answers, timeout_s=60, what=f"PostgreSQL answers; its log: {log.name}")

    def stop(self) -> None:
        """End it, by its pid; connections are cut. Safe twice."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # "fast": open transactions are rolled back
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(10)

    def _answers(self) -> bool:
        assert self.process and self.process.poll() is None, (self.folder.parent / "server.log").read_text()[
            -2000:
        ]
        return self._psql("SELECT 1", "postgres").returncode == 0

    def psql(self, sql: str, database: str = "postgres") -> list[list[str]]:
        """Run statements; rows of text. A failed one fails the test with what the server said."""
        done = self._psql(sql, database)
        assert done.returncode == 0, done.stderr
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        words = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-F",
            "\x1f",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            self.host,
            "-p",
            str(self.port),
        ]
        return subprocess.run(
            [program("psql"), *words, "-U", self.user, "-d", database, "-f", "-"], input=sql,
            env={**os.environ, "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "5"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def database(self, name: str) -> str:
        """Make an empty database; one that is there is dropped with its connections. Returns its name."""
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.psql(f'CREATE DATABASE "{name}"')
        return name

    def url(self, database: str = "postgres") -> str:
        """``postgresql://user:password@host:port/database``."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def jdbc(self, database: str = "postgres") -> str:
        """``jdbc:postgresql://host:port/database``; user and password go beside it."""
        return f"jdbc:postgresql://{self.host}:{self.port}/{database}"


def program(name: str) -> str:
    """The newest of the server's programs: Debian keeps them beside the path."""
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))
    assert found, f"`{name}` was not found: install the package postgresql (make services does)"
    return found


def as_owner() -> dict[str, int]:
    """Words for ``subprocess``: the server refuses to run as root, so then it runs as the user ``postgres``."""
    if os.geteuid() != 0:
        return {}
    who = pwd.getpwnam("postgres")
    return {"user": who.pw_uid, "group": who.pw_gid, "umask": 0o077}


def free_port() -> int:
    """A loopback port that nobody listens at now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def a_postgres(**options: str) -> Iterator[Postgres]:
    """A server of one's own, with settings of one's own; ended and removed when the generator is."""
    base = Path(tempfile.mkdtemp(prefix="assay-postgres-"))  # pytest's own folders shut other users out
    owner = as_owner()
    try:
        base.chmod(0o755)
        tls = certificates(base)
        if owner:
            for path in (base, tls.key):
                os.chown(path, owner["user"], owner["group"])
        secret = base / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [program("initdb"), "-D", str(base / "data"), "-U", OWNER, "-A", "scram-sha-256", "--pwfile", str(secret),
             "-E", "UTF8", "--locale=C", "--no-sync"],
            cwd="/", check=True, capture_output=True, timeout=120, **as_owner(),
        )  # fmt: skip
        server = Postgres(base / "data", free_port(), tls)
        try:
            server.start(**options)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's server."""
    yield from a_postgres()
