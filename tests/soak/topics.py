"""The kill loop of a Kafka topic: numbers arrive without end while stations of a streaming run are killed in turn."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.kafka import Kafka, a_kafka
from tests.soak.kills import Say, Trial, strike
from tests.system.orders import STREAMING, orders, send, verdict
from tests.system.site import Run
from tests.waiting import until

PARTITIONS = 3
ROUND = 300
"""Numbers of one transaction; a new one begins once the run has read most of what was sent."""


class Producer:
    """Sends number after number from a thread, never far ahead of what is stored."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._kafka, self._topic = kafka, topic
        self._over = threading.Event()
        self.sent = 0
        self.stored = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> int:
        """Returns how many were sent in all."""
        self._over.set()
        self._thread.join()
        return self.sent

    def _run(self) -> None:
        while not self._over.wait(0.2):
            if self.sent - self.stored < 5 * ROUND:
                numbers = range(self.sent, self.sent + ROUND)
                asyncio.run(send(self._kafka, self._topic, numbers, PARTITIONS, every=ROUND))
                self.sent += ROUND


def kill_topic(folder: Path, stations: str, *, kills: int, seed: int, say: Say = print) -> Trial:
    """Kill so many times, let it read to the end, count.

    Args:
        stations: struck in turn, joined by ``+``.
    """
    trial, chance, started = Trial(f"kafka {stations}", "memory", seed), random.Random(seed), time.monotonic()
    names = stations.split("+")
    with _broker() as kafka:
        topic = asyncio.run(kafka.create_topic("numbers", PARTITIONS))
        producer = Producer(kafka, topic)
        run = orders(folder, kafka, topic, records_per_trigger=500).start(*STREAMING)
        try:
            for number in range(kills):
                station, more = names[number % len(names)], chance.randrange(1, 2 * ROUND)
                wanted = producer.stored + more
                until(
                    lambda run=run, wanted=wanted: _stored(run, producer) >= wanted,
                    400,
                    0.02,
                    what=f"{more} more are stored",
                )
                run = _struck(run, station)
                trial.shares.append(producer.stored / max(1, producer.sent))
                say(
                    f"  kafka/{station}: kill {number + 1} of {kills}, {producer.stored} of {producer.sent} stored"
                )
            sent = producer.stop()
            until(lambda: _stored(run, producer) >= sent, 600, what=f"all {sent} are stored")
            code = run.stop(120)
        except BaseException as error:
            producer.stop()
            run.kill()
            raise AssertionError(f"{error}\n--- what the run printed last:\n{run.text()[-4000:]}") from error
    found = verdict(run.site, sent)
    trial.lost, trial.doubled, trial.imbalance = (
        found.lost,
        found.doubled + found.ids_doubled,
        found.imbalance,
    )
    trial.other = [f"aborted: {found.aborted}"] * bool(found.aborted) + [f"exit {code}"] * bool(code)
    trial.seconds = time.monotonic() - started
    return trial


def _struck(run: Run, station: str) -> Run:
    if station == "driver":
        run.kill()
        return run.site.start(*STREAMING)
    return strike(run, station)


def _stored(run: Run, producer: Producer) -> int:
    """Records that are committed, as the run says; what a run that has just begun says is 0."""
    assert run.process.poll() is None, f"the run ended early:\n{run.text()[-3000:]}"
    books = run.books()
    producer.stored = max(producer.stored, books["read"] - books["in_flight"])
    return books["read"] - books["in_flight"]


@contextmanager
def _broker() -> Iterator[Kafka]:
    yield from a_kafka()
