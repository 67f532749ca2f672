"""Tables behind JDBC by the real program: killed between two commits, beside a source that refuses the login."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.services.postgres import Postgres
from tests.system.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]}


def test_a_table_is_stored_once_though_its_reader_is_killed_and_another_source_refuses(
    postgres: Postgres, tmp_path: Path
) -> None:
    postgres.database("orders")
    postgres.psql(
        "CREATE TABLE orders (n bigint PRIMARY KEY); INSERT INTO orders SELECT generate_series(0, 2999)",
        "orders",
    )
    (tmp_path / "orders.json").write_text(json.dumps(SCHEMA))
    source = {
        "type": "jdbc", "dataset": "orders", "url": postgres.jdbc("orders"), "user": postgres.user, "table": "orders", "key": ["n"],
        "range_rows": 500, "num_partitions": 1, "tls": "verify", "tls_ca": str(postgres.tls.authority),
    }  # fmt: skip
    config = {
        "sources": {"orders": {**source, "password": postgres.password}, "locked": {**source, "password": "hunter2-hunter2"}},
        "datasets": {"orders": {"schema": str(tmp_path / "orders.json")}},
        "hive": {"enabled": False}, "web": {"port": 0}, "spark": {"driver_memory": "512m"},
    }  # fmt: skip
    site = Site(tmp_path, config)

    run = site.start("--no-web", ASSAY_CRASH="engine.committed:2", ASSAY_CRASH_ONCE=str(tmp_path / "once"))
    code = run.wait(500)

    said = run.text()
    assert code == 4, said
    assert (
        "orders: read by Spark" in said
        and f"E413 assay@127.0.0.1:{postgres.port}/orders refused the login" in said
    )
    assert "hunter2" not in said and postgres.password not in said
    assert any((tmp_path / "once").iterdir()), "nobody died"
    ids = [
        row for path in site.parquet()
        for row in pq.read_table(path, columns=["assay_id", "n"], partitioning=None).to_pylist()
    ]  # fmt: skip
    assert sorted(row["n"] for row in ids) == list(range(3000))
    assert len({row["assay_id"] for row in ids}) == 3000
    books = {one["name"]: one for one in run.status()["sources"]}
    assert books["orders"]["read"] == books["orders"]["committed"] == 3000
    assert books["locked"]["last_error"]["code"] == "E413"
