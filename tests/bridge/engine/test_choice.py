"""Who reads which source, and why; what cannot be read is refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.engine.choice import choose, lines
from bridge.java import Java
from config.models import Config
from core.errors import ConfigError

JAVA = Java(Path("/opt/java"), 17)


def a_config(folder: Path, large: str = "1 kB", **more: Any) -> Config:
    (folder / "small.csv").write_bytes(b"x" * 100)
    (folder / "large.csv").write_bytes(b"x" * 2_000)
    sources = {
        "small": {"type": "file", "path": str(folder / "small.csv"), "dataset": "d"},
        "large": {"type": "file", "path": str(folder / "l*.csv"), "dataset": "d"},
        "table": {"type": "sql", "url": "sqlite:///x.db", "table": "t", "key": ["id"], "dataset": "d"},
        **more,
    }
    return Config.model_validate({"sources": sources, "datasets": {"d": {}}, "spark": {"large": large}})


def engines(config: Config, mode: str, wanted: str = "auto", java: Any = JAVA) -> dict[str, str]:
    return {name: one.engine for name, one in choose(config, mode, wanted, java, "5 s").items()}


def test_auto_sends_what_is_large_to_spark_and_says_why(tmp_path: Path):
    chosen = choose(a_config(tmp_path), "batch", "auto", JAVA)
    assert {name: one.engine for name, one in chosen.items()} == {
        "small": "actors", "large": "spark", "table": "actors",
    }  # fmt: skip
    said = "\n".join(lines(chosen))
    assert "large: read by Spark (0.0 MB of local files, at least `spark.large` (1 kB))" in said
    assert "table: read by actors (Spark does not read `sql` in batch runs)" in said


def test_each_mode_and_flag_has_its_readers(tmp_path: Path):
    config = a_config(tmp_path)
    assert engines(config, "event") == dict.fromkeys(config.sources, "actors")
    assert engines(config, "batch", "actors") == dict.fromkeys(config.sources, "actors")
    assert engines(config, "batch", "spark") == {"small": "spark", "large": "spark", "table": "actors"}
    assert engines(config, "micro-batch") == {"small": "spark", "large": "spark", "table": "actors"}


def test_without_java_only_what_needs_it_is_refused(tmp_path: Path):
    none = "no Java was found"
    assert engines(a_config(tmp_path), "batch", "auto", none) == dict.fromkeys(
        ("small", "large", "table"), "actors"
    )
    for mode, wanted, instead in (
        ("micro-batch", "auto", "--event-mode"),
        ("batch", "spark", "--engine actors"),
    ):
        with pytest.raises(ConfigError, match=instead) as raised:
            choose(a_config(tmp_path), mode, wanted, none)
        assert raised.value.code == "E122"


def test_a_source_that_only_spark_reads_is_refused_elsewhere(tmp_path: Path):
    jdbc = {"type": "jdbc", "url": "jdbc:postgresql://db/shop", "table": "t", "key": ["id"], "dataset": "d"}
    config = a_config(tmp_path, orders=jdbc)
    assert engines(config, "batch")["orders"] == "spark"
    for mode, wanted in (("event", "auto"), ("micro-batch", "auto"), ("batch", "actors")):
        with pytest.raises(ConfigError, match="source `orders`: `jdbc` is read by a batch run") as raised:
            choose(config, mode, wanted, JAVA)
        assert raised.value.code == "E121"
