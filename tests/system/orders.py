"""Numbered orders in a Kafka topic, and a site that reads them: every number must be stored once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from aiokafka import AIOKafkaProducer

from tests.services.kafka import Kafka
from tests.system.site import Site

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]}
STREAMING = ("--no-web", "--streaming", "--trigger-interval", "1 second")


def orders(folder: Path, kafka: Kafka, topic: str, *, records_per_trigger: int = 1000) -> Site:
    """A site whose source ``orders`` reads a topic, without Hive."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orders.json").write_text(json.dumps(SCHEMA))
    source = {
        "type": "kafka", "dataset": "orders", "bootstrap_servers": kafka.bootstrap, "topic": topic,
        "records_per_trigger": records_per_trigger,
    }  # fmt: skip
    config = {
        "sources": {"orders": source}, "datasets": {"orders": {"schema": str(folder / "orders.json")}},
        "hive": {"enabled": False}, "web": {"port": 0}, "spark": {"driver_memory": "512m"},
    }  # fmt: skip
    return Site(folder, config)


async def send(
    kafka: Kafka, topic: str, numbers: Iterable[int], partitions: int, *, every: int = 500
) -> None:
    """Send numbers in transactions of ``every``; behind each one another that is taken back."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"to-{topic}")
    await producer.start()
    try:
        waiting = list(numbers)
        while waiting:
            some, waiting = waiting[:every], waiting[every:]
            async with producer.transaction():
                for n in some:
                    await producer.send(topic, b'{"n": %d}' % n, b"%d" % n, n % partitions)
            await producer.begin_transaction()
            for n in some[:20]:
                await producer.send(topic, b'{"n": %d, "aborted": true}' % n, b"%d" % n, n % partitions)
            await producer.abort_transaction()
    finally:
        await producer.stop()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is stored of numbers that were sent."""

    lost: int
    doubled: int
    aborted: int
    ids_doubled: int
    imbalance: int

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.aborted or self.ids_doubled or self.imbalance)


def verdict(site: Site, sent: int) -> Verdict:
    """Count the tables against ``0 … sent - 1``; from the bytes as received, with none of Assay's code."""
    found: Counter[int] = Counter()
    aborted = 0
    for raw in site.raw("orders"):
        message = json.loads(raw)
        aborted += "aborted" in message
        found[message["n"]] += "aborted" not in message
    ids = Counter(
        one
        for path in site.parquet()
        for one in pq.read_table(path, columns=["assay_id"], partitioning=None)["assay_id"].to_pylist()
    )
    status = json.loads((site.data / "state" / "status.json").read_bytes())
    return Verdict(
        lost=sum(n not in found for n in range(sent)),
        doubled=sum(count - 1 for count in found.values() if count > 1),
        aborted=aborted,
        ids_doubled=sum(count - 1 for count in ids.values()),
        imbalance=int(status["ledger"]["imbalance"]),
    )
