"""Hive tables as sources: by the rows of Parquet files, or by a key; every row once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.models import HiveTableSettings
from core.errors import AssayError
from core.span import Span
from tests.bridge.engine.conftest import a_session
from tests.bridge.engine.tables import TableDirectory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = "SELECT id, concat('n', id) AS name, id * 1.10BD AS qty, timestamp '2026-11-19 00:00:00' + id * interval '1' minute AS at"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session with the embedded metastore and two tables: Parquet by day, and text."""
    with a_session(tmp_path_factory.mktemp("session")) as session:
        session.sql("CREATE DATABASE sales")
        session.sql(
            "CREATE TABLE sales.things (id BIGINT, name STRING, qty DECIMAL(12,2), at TIMESTAMP) PARTITIONED BY (day INT, country STRING) STORED AS PARQUET"
        )
        session.sql("SET hive.exec.dynamic.partition.mode=nonstrict")
        session.sql(
            f"INSERT INTO sales.things PARTITION (day, country) {ROWS}, cast(id DIV 1440 AS INT) AS day, 'a b' AS country FROM range(2500)"
        )
        session.sql(
            "CREATE TABLE sales.lines (id BIGINT, name STRING, qty DECIMAL(12,2), at TIMESTAMP) STORED AS TEXTFILE"
        )
        session.sql(f"INSERT INTO sales.lines {ROWS} FROM range(-5, 995)")
        yield session.spark


def settings(**more: Any) -> HiveTableSettings:
    return HiveTableSettings.model_validate(
        {"type": "hive_table", "dataset": "things", "table": "sales.things", **more}
    )


def directory(folder: Path, spark: Any, **more: Any) -> TableDirectory:
    return TableDirectory(folder, settings(**more), spark=spark)


def test_rows_of_parquet_files_with_their_partition_and_then_only_new_files(
    spark: Any, tmp_path: Path
) -> None:
    found = directory(tmp_path / "data", spark, where="day < 2")
    assert sum(done.rows for done in found.by_spark(spark)) == 2500
    assert len(set(found.ids())) == 2500
    (row,) = (row for row in found.rows() if b'"id":17,' in row["assay_raw"])
    assert (
        row["assay_raw"]
        == b'{"id":17,"name":"n17","qty":18.70,"at":"2026-11-19T00:17:00Z","day":0,"country":"a b"}'
    )
    position = json.loads(row["assay_position"])
    assert (position["table"], position["row"]) == ("sales.things", row["assay_ordinal"])
    assert position["file"].startswith("day=0/country=a b/part-")
    assert found.by_spark(spark) == []

    spark.sql(
        f"INSERT INTO sales.things PARTITION (day, country) {ROWS}, 1 AS day, 'c' AS country FROM range(3000, 3010)"
    )
    spark.sql(
        f"INSERT INTO sales.things PARTITION (day, country) {ROWS}, 7 AS day, 'c' AS country FROM range(4000, 4010)"
    )
    assert sum(done.rows for done in found.by_spark(spark)) == 10, "of the partitions that `where` names"
    again = directory(tmp_path / "again", spark, where="day < 2")
    again.by_spark(spark, limit_bytes=1)  # a commit a file
    assert again.rows() == found.rows()
    assert len(again.done) >= 3


def test_a_back_fill_of_files_and_the_rest_later(spark: Any, tmp_path: Path) -> None:
    found = directory(tmp_path, spark, where="country = 'a b'")
    found.by_spark(spark, Span(20_777 * 86_400_000_000, None))
    assert len(found.ids()) == 1060
    found.by_spark(spark)
    assert len(set(found.ids())) == found.counts.read == 2500
    assert found.counts.duplicate == 0


def test_a_table_of_text_is_read_by_its_key(spark: Any, tmp_path: Path) -> None:
    found = directory(tmp_path / "data", spark, table="sales.lines", key=("id",), range_rows=300)
    chunks, kind = found.chunks()
    work = kind.plan(1 << 30)
    assert work is not None and work.tasks == 5, "one is of negative keys"
    chunks.do(spark, work, "job/0")
    kind.close()
    assert sorted(json.loads(row["assay_raw"])["id"] for row in found.rows()) == list(range(-5, 995))
    assert found.by_spark(spark) == []
    spark.sql(f"INSERT INTO sales.lines {ROWS} FROM range(995, 1000)")
    (done,) = found.by_spark(spark)
    assert done.rows == 5 and len(set(found.ids())) == 1005


def test_what_cannot_be_read_is_said(spark: Any, tmp_path: Path) -> None:
    wrong = [
        ({"table": "sales.thinsg"}, "E404", "`sales.thinsg`"),
        ({"columns": ("nmae",)}, "E405", "`nmae`"),
        ({"key": ("idd",)}, "E406", "`idd`"),
        ({"key": ("name",)}, "E440", "`name`"),
        ({"table": "sales.lines"}, "E440", "name a `key`"),
        ({"where": "qty > 1"}, "E405", "`day`, `country`"),
        ({"where": "day >"}, "E405", "`where`"),
    ]
    for change, code, words in wrong:
        with pytest.raises(AssayError) as refused:
            directory(tmp_path, spark, **change).by_spark(spark)
        assert (refused.value.code, words in str(refused.value)) == (code, True), (change, str(refused.value))
