"""The broker that other tests rely on."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer

from tests.services.kafka import Kafka, Message

pytestmark = pytest.mark.slow


async def test_what_was_sent_can_be_read_and_a_tombstone_stays_one(kafka: Kafka) -> None:
    topic = await kafka.create_topic("kept", partitions=2)
    sent = [Message(b"%d" % n, b"k", n % 2, (("h", None),)) for n in range(100)]

    await kafka.send(topic, [*sent, Message(None, b"k", 0)])

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        got = [await consumer.getone() for _ in range(101)]
    finally:
        await consumer.stop()
    assert [one.value for one in got if one.partition == 1] == [b"%d" % n for n in range(1, 100, 2)]
    assert [one.value for one in got if one.partition == 0][-1] is None
