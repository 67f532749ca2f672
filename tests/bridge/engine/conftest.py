"""One Spark session for a module's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bridge.java import Java, find_java
from bridge.session import Session
from config.models import Config, Spark, Storage


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session whose tasks read and judge; its metastore is never opened."""
    root = tmp_path_factory.mktemp("session")
    java = find_java()
    assert isinstance(java, Java), java
    config = Config(
        sources={}, storage=Storage(root=root), spark=Spark(master="local[2]", driver_memory="512m")
    )
    session = Session(root, config, java, working=True)
    session.start()
    yield session.spark
    session.stop()
