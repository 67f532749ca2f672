"""One Spark session for a module's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.java import Java, find_java
from bridge.session import Session
from config.models import Config, Spark, Storage


@contextmanager
def a_session(root: Path, **sources: Any) -> Iterator[Session]:
    """A session whose tasks read and judge, with the jars that these sources need."""
    java = find_java()
    assert isinstance(java, Java), java
    config = Config(
        sources=sources, storage=Storage(root=root), spark=Spark(master="local[2]", driver_memory="512m")
    )
    session = Session(root, config, java, working=True)
    session.start()
    try:
        yield session
    finally:
        session.stop()


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session of the module's own; its metastore is never opened."""
    with a_session(tmp_path_factory.mktemp("session")) as session:
        yield session.spark
