"""/metrics and /api/v1: shapes that other programs read."""

from __future__ import annotations

import msgspec
import pytest

from core.redact import remember
from core.signals import signal
from tests.web.conftest import BEARER, a_document
from web.metrics import escaped


async def scrape(client) -> str:
    async with client(**BEARER) as visitor:
        answer = await visitor.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


async def test_metrics_have_the_promised_names(client, feed):
    said = {
        "station": "connector:flights", "kind": "connector", "events_total": 14, "scored": {"gold": 10},
        "rules": {"required": 2}, "delay_ms": {"p50": 100.0, "p95": 250.0},
        "bytes_read": 4096, "settled_at": 1700000000.5, "credit": {"used_bytes": 5, "capacity_bytes": 10},
    }  # fmt: skip
    feed.take("stats", msgspec.json.encode(said))
    text = await scrape(client)

    assert 'assay_source_events_total{source="flights"} 14' in text
    assert 'assay_events_scored_total{source="flights",tier="gold"} 10' in text
    assert 'assay_rejected_events_total{source="flights",rule="required"} 2' in text
    assert 'assay_ledger_imbalance_events{source="flights"} 0' in text
    assert 'assay_end_to_end_seconds{source="flights",quantile="0.95"} 0.25' in text
    assert 'assay_source_bytes_total{source="flights"} 4096' in text
    assert 'assay_source_last_success_timestamp_seconds{source="flights"} 1700000000.5' in text
    assert 'assay_queue_bytes{queue="flights"} 5' in text
    assert 'assay_queue_capacity_bytes{queue="flights"} 10' in text
    assert 'assay_station_up{station="bus"} 1' in text
    assert 'assay_store_up{store="files"} 1' in text
    assert "assay_ws_sockets 0" in text and "assay_build_info{" in text


@pytest.mark.parametrize(("state", "told"), [("ready", 1), ("down", 0), ("hanging", 0), ("off", None)])
async def test_store_that_is_switched_off_is_neither_up_nor_down(client, feed, state, told):
    feed.status({**a_document(), "stores": [{"name": "hive", "state": state, "waiting": 0}]})
    lines = [line for line in (await scrape(client)).splitlines() if line.startswith("assay_store_up{")]

    assert lines == ([] if told is None else [f'assay_store_up{{store="hive"}} {told}'])


async def test_each_metric_is_explained_once(client):
    lines = (await scrape(client)).splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]

    assert len(names) == len(set(names))
    assert {line.split("{")[0].split()[0] for line in lines if line and line[0] != "#"} == set(names)


async def test_imbalance_is_told_per_source(client, feed):
    feed.status(a_document(read=100, gold=90, in_flight=9))

    assert 'assay_ledger_imbalance_events{source="flights"} 1' in await scrape(client)


@pytest.mark.parametrize(
    ("raw", "said"), [('a"b', r"a\"b"), ("a\\b", r"a\\b"), ("a\nb", r"a\nb"), ("<script>", "<script>")]
)
def test_label_values_are_escaped(raw, said):
    assert escaped(raw) == said


async def test_status_is_the_document_and_nothing_more(client):
    async with client(**BEARER) as visitor:
        assert (await visitor.get("/api/v1/status")).json() == a_document()


async def test_events_come_as_lines(client, feed):
    for i in range(3):
        feed.take(
            "system", signal("assay.batch.committed", "flights", f"commit {i}", source="/stations/writer")
        )
    async with client(**BEARER) as visitor:
        answer = await visitor.get("/api/v1/events", params={"limit": "2"})
        refusal = await visitor.get("/api/v1/events", params={"limit": "-1"})

    assert [msgspec.json.decode(line)["data"]["message"] for line in answer.content.splitlines()] == [
        "commit 1",
        "commit 2",
    ]
    assert (refusal.status_code, refusal.json()["field"]) == (400, "limit")


@pytest.mark.parametrize("path", ["/api/v1/status", "/metrics", "/"])
async def test_secret_in_a_last_error_is_masked(client, feed, path):
    remember("hunter22-of-the-database")
    document = a_document()
    words = "cannot open `sqlite:///x.db?password=hunter22-of-the-database` as hunter22-of-the-database"
    document["sources"][0]["last_error"] = {"code": "E401", "message": words}
    document["stations"][0]["last_error"] = {"code": "E401", "message": words}
    feed.status(document)

    async with client(**BEARER) as visitor:
        answer = await visitor.get(path)
    assert answer.status_code == 200
    assert "hunter22" not in answer.text
    assert path != "/api/v1/status" or "cannot open" in answer.text
