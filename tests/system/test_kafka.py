"""A Kafka topic through ``--streaming`` on the real program, its driver killed in the midst."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.services.kafka import Kafka
from tests.system.orders import STREAMING, orders, send, verdict
from tests.system.site import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def stored(run: Run, rows: int, what: str) -> None:
    run.until(lambda books: books["read"] - books["in_flight"] >= rows, 400, what=what)


def test_every_message_is_stored_once_though_the_run_is_killed(kafka: Kafka, tmp_path: Path) -> None:
    """A second source, whose topic is not there, waits and says so; the first one goes on."""
    topic = asyncio.run(kafka.create_topic("orders", partitions=3))
    asyncio.run(send(kafka, topic, range(3_000), 3))
    site = orders(tmp_path, kafka, topic, records_per_trigger=900)
    site.config["sources"]["nowhere"] = {**site.config["sources"]["orders"], "topic": "no-such-topic"}

    run = site.start(*STREAMING)
    stored(run, 500, "some is stored")
    run.kill()
    asyncio.run(send(kafka, topic, range(3_000, 4_000), 3))
    run = site.start(*STREAMING)
    stored(run, 4_000, "all is stored")
    run.until(lambda books: source(run, "nowhere")["state"] == "waiting", what="the other one waits")
    waiting = source(run, "nowhere")["last_error"]

    assert waiting["code"] == "E431" and "no-such-topic" in waiting["message"]
    assert run.stop(120) == 0, run.text()[-3000:]
    assert verdict(site, 4_000).ok, verdict(site, 4_000)


def source(run: Run, name: str) -> dict[str, Any]:
    return next(one for one in run.status()["sources"] if one["name"] == name)
