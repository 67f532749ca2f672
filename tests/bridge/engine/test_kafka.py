"""Kafka through Structured Streaming, on a real broker: every record once, whatever became of the checkpoint."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from bridge.engine.chunks import Chunks
from bridge.engine.kafka import KafkaKind
from bridge.engine.stream import Stream
from config.models import FileSettings, KafkaSettings
from core.errors import AssayError
from tests.bridge.engine.conftest import a_session
from tests.bridge.engine.parts import Directory
from tests.services.kafka import Kafka, Message
from tests.store.stores import stored_rows
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spark(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session with Kafka's connector."""
    with a_session(tmp_path_factory.mktemp("session"), things=reading(kafka, "any")) as session:
        yield session.spark


def reading(kafka: Kafka, topic: str, **more: Any) -> KafkaSettings:
    given = {
        "type": "kafka",
        "dataset": "things",
        "topic": topic,
        "bootstrap_servers": kafka.bootstrap,
        **more,
    }
    return KafkaSettings.model_validate(given)


def things(first: int, stop: int, partitions: int = 2) -> list[Message]:
    return [Message(b'{"id": %d}' % n, b"k%d" % n, n % partitions) for n in range(first, stop)]


@dataclass
class Reading:
    """One source, read again and again into one data directory."""

    folder: Path
    settings: KafkaSettings
    spark: Any
    checkpoint: Path = field(init=False)
    into: Directory = field(init=False)

    def __post_init__(self) -> None:
        self.checkpoint = self.folder / "checkpoint"
        self.into = Directory(self.folder, cast(FileSettings, self.settings))

    def read(self, rows: int) -> Stream:
        """Start the query anew and let it run until so many rows are stored."""
        stream, kind = self.stream()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                stream.run(self.spark)
            except BaseException as error:  # told to the test
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            until(lambda: failed or self.rows() >= rows, timeout_s=90, what=f"{rows} rows are stored")
        finally:
            stream.stop()
            thread.join(60)
            kind.close()
        if failed:
            raise failed[0]
        return stream

    def stream(self) -> tuple[Stream, KafkaKind]:
        self.into.epoch += 1
        resume = self.into.resume
        kind = KafkaKind(
            "things", self.settings, say=self.into.signals.append, checkpoint=self.checkpoint
        )  # fmt: skip
        kind.restore(resume)
        job = replace(self.into.job(), mode="micro-batch")
        chunks = Chunks(job, kind, self.into, resume)
        return Stream(
            "things", chunks, kind, folder=self.checkpoint, trigger_s=0.2, alive=lambda: True,
            finished=lambda number, done: self.into.done.append(done),
        ), kind  # fmt: skip

    def rows(self) -> int:
        counts = self.into.counts
        return counts.gold + counts.silver + counts.bronze + counts.rejected

    def refused(self) -> AssayError:
        with pytest.raises(AssayError) as caught:
            self.read(1 << 30)
        return caught.value

    def coverage(self) -> dict[str, list[tuple[int, int]]]:
        return {name: list(ranges) for name, ranges in self.into.resume.coverage.items()}


def ids(root: Path) -> list[int]:
    """Of the messages that are stored, from their own bytes."""
    raw = [row["assay_raw"] for row in stored_rows(root)]
    return sorted(json.loads(one)["id"] for one in raw if one and one != b"{")


async def aborted(kafka: Kafka, topic: str) -> None:
    """Ten records that a transaction took back, and one that it kept."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id="t")
    await producer.start()
    await producer.begin_transaction()
    for n in range(10):
        await producer.send(topic, b'{"id": %d}' % (9000 + n), partition=0)
    await producer.abort_transaction()
    async with producer.transaction():
        await producer.send(topic, b'{"id": 5000}', partition=0)
    await producer.stop()


def test_every_record_is_stored_once_whatever_becomes_of_the_checkpoint(
    kafka: Kafka, spark: Any, tmp_path: Path
) -> None:
    topic = asyncio.run(kafka.create_topic("every", partitions=2))
    reading_ = Reading(tmp_path, reading(kafka, topic, records_per_trigger=150), spark)

    asyncio.run(
        kafka.send(
            topic, [*things(0, 400), Message(None, b"gone", 0), Message(b"{", None, 1, (("h", b"v"),))]
        )
    )
    reading_.read(402)
    assert len(reading_.into.done) >= 3, "the limit of a trigger cuts the backlog"

    asyncio.run(aborted(kafka, topic))
    reading_.read(403)
    last = max(int(one.name) for one in (reading_.checkpoint / "commits").glob("[0-9]*"))
    (reading_.checkpoint / "commits" / str(last)).unlink()
    asyncio.run(kafka.send(topic, things(400, 500)))
    reading_.read(503)

    shutil.rmtree(reading_.checkpoint)
    asyncio.run(kafka.send(topic, things(500, 600)))
    reading_.read(603)

    rows = {row["assay_id"]: row for row in stored_rows(tmp_path)}
    assert len(rows) == 603 == len(stored_rows(tmp_path))
    assert ids(tmp_path) == [*range(600), 5000]
    assert reading_.coverage() == {"0": [(0, 314)], "1": [(0, 301)]}, "ends of transactions are covered, too"
    assert reading_.into.counts.duplicate == 0
    first = json.loads(rows["things.1.0"]["assay_position"])
    assert first | {"timestamp": 0} == {
        "topic": topic,
        "partition": 1,
        "offset": 0,
        "timestamp": 0,
        "key": "k1",
    }
    gone = rows["things.0.200"]
    assert [reason["rule"] for reason in gone["assay_reasons"]] == ["tombstone"] and gone["assay_raw"] is None
    broken = rows["things.1.200"]
    assert broken["assay_raw"] == b"{" and json.loads(broken["assay_position"])["headers"] == [["h", "v"]]


def test_a_checkpoint_that_does_not_fit_is_refused(kafka: Kafka, spark: Any, tmp_path: Path) -> None:
    one, other = (asyncio.run(kafka.create_topic(name)) for name in ("fits", "fits-not"))
    asyncio.run(kafka.send(one, things(0, 10, 1)))
    right = Reading(tmp_path / "right", reading(kafka, one), spark)
    right.read(10)

    elsewhere = Reading(tmp_path / "elsewhere", reading(kafka, other), spark)
    elsewhere.checkpoint = right.checkpoint
    ahead = Reading(tmp_path / "ahead", reading(kafka, one), spark)
    ahead.checkpoint = right.checkpoint

    assert [elsewhere.refused().code, ahead.refused().code] == ["E123", "E123"]
    assert "ahead of the tables" in str(ahead.refused()) and "delete that folder" in str(ahead.refused())
    (right.checkpoint / "metadata").unlink()
    assert right.refused().code == "E124"


def test_who_is_away_is_named(kafka: Kafka, spark: Any, tmp_path: Path) -> None:
    unknown = Reading(tmp_path / "a", reading(kafka, "nowhere"), spark).refused()
    away = reading(kafka, "nowhere", bootstrap_servers="127.0.0.1:1")
    nobody = Reading(tmp_path / "b", away, spark).refused()

    assert unknown.code == "E431" and "`nowhere`" in unknown.message and kafka.bootstrap in unknown.message
    assert nobody.code == "E430" and "127.0.0.1:1" in nobody.message


def test_records_that_are_gone_are_said(kafka: Kafka, spark: Any, tmp_path: Path) -> None:
    """By default the source stops; told to skip, it says how many are lost and goes on."""
    topic = asyncio.run(kafka.create_topic("lost"))
    reading_ = Reading(tmp_path, reading(kafka, topic), spark)
    asyncio.run(kafka.send(topic, things(0, 10, 1)))
    reading_.read(10)
    asyncio.run(kafka.send(topic, things(10, 30, 1)))
    asyncio.run(deleted(kafka, topic, 20))

    stopped = reading_.refused()
    reading_.settings = reading(kafka, topic, on_data_loss="skip")
    reading_.read(20)

    assert stopped.code == "E432" and "offset 10 is next" in stopped.message
    assert [one.type for one in reading_.into.signals] == ["assay.source.skipped"]
    assert "10 are lost" in reading_.into.signals[0].data["message"]
    assert ids(tmp_path) == [*range(10), *range(20, 30)]
    assert reading_.coverage() == {"0": [(0, 30)]}


async def deleted(kafka: Kafka, topic: str, before: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})
    await admin.close()
