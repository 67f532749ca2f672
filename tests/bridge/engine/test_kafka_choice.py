"""Who reads Kafka: micro-batches, and nobody else so far."""

from __future__ import annotations

import pytest

from bridge.engine.choice import choose
from config.models import Config, KafkaSettings
from core.errors import ConfigError

CONFIG = Config(
    sources={
        "orders": KafkaSettings(type="kafka", dataset="orders", topic="orders", bootstrap_servers="127.0.0.1:9092")
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "engine"), [("event", "auto"), ("batch", "auto"), ("batch", "actors"), ("batch", "spark")]
)
def test_other_modes_refuse_it_and_name_the_one_that_reads_it(mode: str, engine: str) -> None:
    with pytest.raises(ConfigError, match="`kafka` is read by `--streaming` only") as caught:
        choose(CONFIG, mode, engine, "no Java")

    assert caught.value.code == "E121" and "`orders`" in caught.value.message
