"""The settings of ``spark:`` reach the session, and tasks run on a standalone cluster that has none of our code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import jars
from bridge.java import Java, find_java
from bridge.session import Session
from bridge.settings import spark_settings
from config.models import Config, JdbcSettings, Spark, Storage
from tests.bridge.engine.parts import pair
from tests.bridge.engine.test_files import write_csv, write_jsonl
from tests.services.standalone import a_cluster


@pytest.mark.slow
@pytest.mark.timeout(600)  # three JVMs
def test_a_standalone_cluster_reads_what_actors_read_with_the_settings_given(tmp_path: Path) -> None:
    java = find_java()
    assert isinstance(java, Java), java
    with a_cluster(tmp_path / "cluster") as master:
        given = Spark(
            master=master, driver_memory="600m", executor_memory="512m", shuffle_partitions=3,
            conf={"spark.cores.max": "2", "spark.sql.files.maxPartitionBytes": "12345678"},
        )  # fmt: skip
        config = Config(sources={}, storage=Storage(root=tmp_path / "session"), spark=given)
        session = Session(tmp_path / "session", config, java, working=True)
        try:
            session.start()
            spark = session.spark
            told = {name: spark.conf.get(name) for name in ("spark.master", "spark.driver.memory", "spark.executor.memory",
                    "spark.sql.shuffle.partitions", "spark.sql.files.maxPartitionBytes")}  # fmt: skip
            assert list(told.values()) == [master, "600m", "512m", "3", "12345678"]
            assert 500e6 < spark._jvm.java.lang.Runtime.getRuntime().maxMemory() < 650e6

            actors, engine = pair(tmp_path)
            (tmp_path / "in").mkdir()
            write_jsonl(tmp_path / "in" / "a.jsonl", 1_000)
            write_csv(tmp_path / "in" / "b.csv", 1_000)
            actors.by_actors()
            engine.by_spark(spark)
            assert engine.rows() == actors.rows()
            assert len(engine.rows()) > 2_000

            def where_code_is(rows: Iterator[Any]) -> Iterator[Any]:
                import pyarrow as pa

                import core

                list(rows)
                yield pa.RecordBatch.from_pydict({"path": [str(next(iter(core.__path__)))]})

            ((path,),) = spark.range(1).coalesce(1).mapInArrow(where_code_is, "path string").collect()
            assert "assay.zip" in path, "the code came with the job, not from a checkout"
        finally:
            session.stop()


def test_only_a_source_that_needs_jars_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "LIB", tmp_path)
    (tmp_path / "jdbc").mkdir()
    for name in ("b.jar", "a.jar", "a.txt"):
        (tmp_path / "jdbc" / name).touch()
    source = JdbcSettings.model_validate(
        {"type": "jdbc", "dataset": "things", "url": "jdbc:postgresql://h/d", "table": "t", "key": ["id"]}
    )
    ours = f"{tmp_path}/jdbc/a.jar,{tmp_path}/jdbc/b.jar"
    assert jars.jar_settings(Config(sources={})) == {}
    assert jars.jar_settings(Config(sources={"t": source})) == {"spark.jars": ours}
    named = Config(sources={"t": source}, spark=Spark(conf={"spark.jars": "/mine.jar"}))
    assert spark_settings(tmp_path, named)["spark.jars"] == f"{ours},/mine.jar"
