"""Structured Streaming over plans of splits: batch by batch, trimmed by the coverage, ended in order or by a fault."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bridge.engine.chunks import Chunks, Done
from bridge.engine.file_stream import FileStream
from bridge.engine.stream import Stream
from bridge.engine.work import Work
from core.errors import ConfigError, StoreUnavailable
from tests.bridge.engine.parts import Directory, pair
from tests.bridge.engine.test_files import write_csv, write_jsonl
from tests.waiting import until

pytestmark = pytest.mark.slow


@dataclass
class Running:
    """A stream at work in a thread."""

    stream: Stream
    ended: Future[None]
    done: list[Done]

    def stop(self) -> None:
        self.stream.stop()
        self.ended.result(60)


def begin(
    spark: Any, directory: Directory, *, limit: int = 1 << 30, kind: type[FileStream] = FileStream
) -> Running:
    """A new epoch, as a micro-batch run begins it."""
    chunks: Chunks
    chunks, files = directory.chunks(follow=True)
    done: list[Done] = []
    stream = Stream(
        "things", chunks, kind(files, directory.root / "streams", limit), folder=directory.root / "checkpoint",
        trigger_s=0.2, alive=lambda: True, finished=lambda _, one: done.append(one),
    )  # fmt: skip
    # The planner's own memory is the one that the chunks tell what is committed.
    chunks._kind = stream._source
    return Running(stream, ThreadPoolExecutor(1).submit(stream.run, spark), done)


class Broken:
    """A reader that fails as no reader of ours should."""

    def __call__(self, rows: Iterator[Any]) -> Iterator[Any]:
        raise ValueError("a fault in the reader itself")


class BrokenStream(FileStream):
    """Its tasks fail."""

    def of_batch(self, *args: Any) -> Work | None:
        work = super().of_batch(*args)
        return work and replace(work, reader=Broken())


def test_a_stream_goes_on_from_the_coverage_whatever_spark_remembers(spark: Any, tmp_path: Path) -> None:
    actors, engine = pair(tmp_path, settle_s=0.1, poll_interval_s=0.05)
    inbox = tmp_path / "in"
    inbox.mkdir()
    write_jsonl(inbox / "a.jsonl", 1_000)
    running = begin(spark, engine, limit=30_000)
    until(lambda: engine.counts.read == 1_003, 120)
    write_csv(inbox / "b.csv", 300)
    until(lambda: engine.counts.read == 1_305, 60)
    running.stop()
    assert len(running.done) > 3, "a trigger's limit is kept"

    commits = tmp_path / "spark" / "checkpoint" / "commits"
    for number in sorted((int(path.name) for path in commits.iterdir() if path.name.isdigit()), reverse=True)[
        :2
    ]:
        (commits / str(number)).unlink()
    write_csv(inbox / "c.csv", 100)
    running = begin(spark, engine)
    until(lambda: engine.counts.read == 1_407, 60)
    running.stop()

    (tmp_path / "spark" / "checkpoint" / "offsets" / "0").unlink()
    shutil.rmtree(tmp_path / "spark" / "checkpoint" / "sources")
    with pytest.raises(ConfigError, match="E124"):
        begin(spark, engine).ended.result(60)
    shutil.rmtree(tmp_path / "spark" / "checkpoint")
    write_csv(inbox / "d.csv", 100)
    running = begin(spark, engine)
    until(lambda: engine.counts.read == 1_509, 60)
    running.stop()

    actors.by_actors()
    assert engine.rows() == actors.rows()
    assert engine.counts == actors.counts


def test_tasks_that_fail_end_the_stream_with_a_sentence_and_give_the_number_back(
    spark: Any, tmp_path: Path
) -> None:
    _, engine = pair(tmp_path, settle_s=0.1, poll_interval_s=0.05)
    (tmp_path / "in").mkdir()
    write_csv(tmp_path / "in" / "a.csv", 10)
    with pytest.raises(
        StoreUnavailable, match="E725 the stream of `things` failed: ValueError: a fault in the reader itself"
    ):
        begin(spark, engine, kind=BrokenStream).ended.result(60)
    assert engine.counts.read == 0
    assert not engine.committer.reservations.open

    running = begin(spark, engine)
    until(lambda: engine.counts.read == 12, 60)
    running.stop()
    assert threading.active_count() < 50
