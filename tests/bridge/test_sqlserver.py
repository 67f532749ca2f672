"""The tables through a real Spark Thrift Server, as beeline, Hue and JDBC users reach them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.hive import Tables
from bridge.java import Java, find_java
from bridge.jvm import spark_home
from bridge.session import Session
from config.models import Hive
from tests.bridge.commits import Commits, a_config, a_plan, days
from tests.services.metastore import CHECKOUT, Metastore
from tests.services.postgres import free_port
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DATABASE = "through_sql"


@pytest.fixture
def warehouse(tmp_path: Path, metastore: Metastore) -> Path:
    """Tables with eight rows in Gold, told to the metastore service by a session that has ended since."""
    java = find_java()
    assert isinstance(java, Java), java
    config = a_config(tmp_path).model_copy(update={"hive": Hive(metastore_uri=metastore.uri)})
    session, commits = Session(tmp_path, config, java), Commits(tmp_path, a_plan())
    try:
        session.start()
        tables = Tables(session, DATABASE, str(commits.warehouse), tmp_path / "fallback")
        tables.prepare([a_plan()])
        tables.register([commits.add(days(4), tiers=("gold", "bronze"), rows=2)])
        tables.describe()
    finally:
        session.stop()
    return commits.warehouse


@pytest.fixture
def server(tmp_path: Path, metastore: Metastore, warehouse: Path):
    """The server's port; it is ended by its pid."""
    port = free_port()
    words = [
        "--metastore-uri",
        metastore.uri,
        "--warehouse",
        str(warehouse),
        "--port",
        str(port),
        "--memory",
        "512m",
    ]
    log = tmp_path / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge.sqlserver", *words, "--master", "local[1]", "--home", str(tmp_path / "sql")],
            cwd=CHECKOUT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: answers(process, port, log), timeout_s=240, what="the server listens")
        yield port
    finally:
        process.kill()
        process.wait(10)


def answers(process: subprocess.Popen, port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-2000:]
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_beeline_counts_what_was_registered_and_is_told_how_large_it_is(server: int):
    address = f"jdbc:hive2://127.0.0.1:{server}/{DATABASE}"
    queries = [
        "SELECT count(*) FROM gold_orders",
        "DESCRIBE FORMATTED gold_orders_files",
        "SELECT last_commit FROM assay_visible",
    ]
    words = [part for query in queries for part in ("-e", query)]

    done = subprocess.run(
        [f"{spark_home()}/bin/beeline", "-u", address, "--silent=true", "--outputformat=tsv2", *words],
        capture_output=True, text=True, timeout=400, check=False, env={**os.environ, "JAVA_HOME": str(find_java().home)},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    prompt = re.compile(r"^0: jdbc:\S+> ")
    said = [prompt.sub("", line).split("\t") for line in done.stdout.splitlines()]
    described = {row[0].strip(): row[1].strip() for row in said if len(row) > 1}
    assert said[said.index(["count(1)"]) + 1] == ["8"], said[:5]
    assert said[said.index(["last_commit"]) + 1] == ["1"]
    assert described["Type"] == "EXTERNAL" and described["Statistics"].endswith(" bytes, 8 rows")
    assert (
        "assay.lineage" in described["Table Properties"]
        and "discover.partitions=false" in described["Table Properties"]
    )
    assert described["Location"].endswith("/warehouse/gold_orders")
