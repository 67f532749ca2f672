"""Lineage told from the commit log: what is said, that it is valid, and what deaths and absent endpoints do to it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from actors.lineage import FORGOTTEN, LineageFollower, run_of
from actors.lineage_sink import Lines
from config.models import Config
from core.batch import Reason
from core.errors import StoreUnavailable
from core.tiers import Tier
from store.commit import Committer
from tests.lineage.specification import faults
from tests.store.frames import Row, Sender, rows
from tests.store.stores import a_committer
from tests.waiting import eventually

START = 1_700_000_000_000_000
BROKEN = Reason("/qty", "positive", "major", "qty > 0", "-1", "must be positive")


def a_config(root: Path, **lineage: Any) -> Config:
    schema = root / "orders.json"
    schema.write_text(
        '{"type": "object", "properties": {"id": {"type": "integer", "description": "its number"}}}'
    )
    source = {"type": "file", "path": str(root / "in/*.jsonl"), "dataset": "orders"}
    rules = [
        {"id": "positive", "check": "id >= 0"},
        {"id": "named", "check": "id < 10", "severity": "critical"},
    ]
    return Config.model_validate({
        "storage": {"root": str(root)}, "sources": {"orders": source},
        "datasets": {"orders": {"schema": str(schema), "rules": rules}}, "lineage": {"enabled": True, **lineage},
    })  # fmt: skip


def a_commit(committer: Committer, sender: Sender) -> None:
    """Four Gold records and a Rejected one that broke a rule."""
    start = sender.seq * 100
    bad = Row(start + 50, tier=Tier.REJECTED, reasons=[BROKEN])
    committer.commit([sender.frame([*rows(4, start=start), bad])])


def told(root: Path) -> list[dict[str, Any]]:
    lines = (root / "state" / "lineage.ndjson").read_text().splitlines()
    return [json.loads(line) for line in lines]


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["eventType"], event["job"]["name"]) for event in events]


class Dies(Exception):
    """The process, at this point."""


class DiesAfter:
    """The real file; the process dies just after the n-th event is in it."""

    def __init__(self, root: Path, events: int) -> None:
        self._lines = Lines(root / "state" / "lineage.ndjson")
        self._left = events

    def send(self, event: bytes) -> None:
        self._lines.send(event)
        self._left -= 1
        if self._left == 0:
            raise Dies


async def test_a_run_and_its_commits_are_told_validly(tmp_path: Path):
    committer, sender = a_committer(tmp_path), Sender()
    follower = LineageFollower(a_config(tmp_path), tmp_path)
    follower.begin(["orders"], START)
    a_commit(committer, sender)
    a_commit(committer, sender)
    await follower.end({}, START + 1_000_000)

    events = told(tmp_path)
    running = events[2]
    given, gold = running["inputs"][0], running["outputs"][0]

    assert [fault for event in events for fault in faults(event)] == []
    assert kinds(events) == [
        ("START", "assay"), ("START", "assay.orders"), ("RUNNING", "assay.orders"), ("RUNNING", "assay.orders"),
        ("COMPLETE", "assay.orders"), ("COMPLETE", "assay"),
    ]  # fmt: skip
    assert given["inputFacets"]["dataQualityMetrics"]["rowCount"] == 5
    assert given["facets"]["schema"]["fields"] == [
        {"name": "id", "type": "integer", "description": "its number"}
    ]
    assert [
        (one["assertion"], one["success"], one["actual"], one.get("severity"))
        for one in given["inputFacets"]["dataQualityAssertions"]["assertions"]
    ] == [("not_rejected", False, "1", None), ("positive", False, "1", "warn"), ("named", True, "0", "error")]
    assert gold["name"].endswith("/warehouse/gold_orders")
    assert gold["outputFacets"]["outputStatistics"]["rowCount"] == 4
    assert gold["facets"]["dataQualityMetrics"]["columnMetrics"]["id"] == {
        "nullCount": 0, "count": 4, "min": 0, "max": 30,
    }  # fmt: skip
    assert {"name": "id", "type": "int64"} in gold["facets"]["schema"]["fields"]
    assert running["run"]["facets"]["parent"]["run"]["runId"] == events[0]["run"]["runId"]
    assert running["run"]["runId"] == run_of(events[0]["run"]["runId"], "orders")
    assert follower.statistics()["waiting"] == 0


@pytest.mark.parametrize("events", range(1, 8))
async def test_a_death_after_any_event_repeats_that_one_and_loses_none(tmp_path: Path, events: int):
    committer, sender, config = a_committer(tmp_path), Sender(), a_config(tmp_path)
    first = LineageFollower(config, tmp_path, DiesAfter(tmp_path, events))
    first.begin(["orders"], START)
    a_commit(committer, sender)
    a_commit(committer, sender)
    with pytest.raises(Dies):
        for _ in range(2):
            first.step()
            await first.end({}, START + 5)
            first.step()
            raise Dies  # it told less than that
    before = told(tmp_path)

    second = LineageFollower(config, tmp_path)
    second.begin(["orders"], START + 10)
    a_commit(committer, sender)
    await second.end({}, START + 20)

    all_ = told(tmp_path)
    assert all_[: len(before)] == before
    if len(before) == events:
        assert all_[events] == before[-1], "the event before the death comes again, as it was"
    commits = [json.dumps(event) for event in all_ if event["eventType"] == "RUNNING"]
    assert len(set(commits)) == 3
    assert kinds(all_)[-1] == ("COMPLETE", "assay")


async def test_a_run_that_said_no_end_has_failed(tmp_path: Path):
    committer, sender, config = a_committer(tmp_path), Sender(), a_config(tmp_path)
    gone = LineageFollower(config, tmp_path)
    gone.begin(["orders"], START)
    a_commit(committer, sender)

    following = LineageFollower(config, tmp_path)
    following.begin(["orders"], START + 7)
    a_commit(committer, sender)
    await following.end({"connector:orders": "E201 no file"}, START + 9)
    events = told(tmp_path)

    assert [fault for event in events for fault in faults(event)] == []
    assert [kind for kind, _ in kinds(events)] == ["START", "START", "RUNNING", "FAIL", "FAIL"] * 2
    assert events[4]["run"]["facets"]["errorMessage"]["message"] == f"driver: {FORGOTTEN}"
    assert events[8]["run"]["facets"]["errorMessage"]["message"] == "E201 no file"
    assert events[4]["run"]["runId"] != events[9]["run"]["runId"]


async def test_what_lies_behind_a_reserved_number_is_told_once_it_is_filled(tmp_path: Path):
    committer, sender = a_committer(tmp_path), Sender()
    follower = LineageFollower(a_config(tmp_path), tmp_path)
    follower.begin(["orders"], START)
    number = committer.reserve("bulk", 1)
    a_commit(committer, sender)
    follower.step()
    before = kinds(told(tmp_path))

    committer.release(number)
    follower.step()

    assert before == [("START", "assay"), ("START", "assay.orders")]
    assert kinds(told(tmp_path))[2:] == [("RUNNING", "assay.orders")]


async def test_what_was_committed_before_lineage_was_asked_for_is_not_told(tmp_path: Path):
    committer, sender = a_committer(tmp_path), Sender()
    a_commit(committer, sender)
    follower = LineageFollower(a_config(tmp_path), tmp_path)
    follower.begin(["orders"], START)
    await follower.end({}, START + 1, aborted=True)

    assert [kind for kind, _ in kinds(told(tmp_path))] == ["START", "START", "ABORT", "ABORT"]


def test_a_line_cut_short_by_a_death_is_removed(tmp_path: Path):
    path = tmp_path / "deep" / "events.ndjson"
    Lines(path).send(b'{"n":1}')
    with path.open("ab") as file:
        file.write(b'{"n":')

    Lines(path).send(b'{"n":2}')

    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'


def test_a_directory_that_refuses_is_said_and_tried_again(tmp_path: Path):
    path = tmp_path / "file" / "events.ndjson"
    path.parent.write_text("no directory")
    lines = Lines(path)

    with pytest.raises(StoreUnavailable) as error:
        lines.send(b"{}")
    path.parent.unlink()
    lines.send(b"{}")

    assert error.value.code == "E750"
    assert path.read_bytes() == b"{}\n"


@contextmanager
def an_endpoint(port: int, answers: dict[str, int]) -> Iterator[list[tuple[str | None, dict[str, Any]]]]:
    """A real HTTP server: what it was sent, with the Authorization; ``answers`` says by event type how it answers."""
    heard: list[tuple[str | None, dict[str, Any]]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append((self.headers["Authorization"], event))
            self.send_response(answers.get(event["eventType"], 201))
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", port), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_an_endpoint_that_is_away_delays_nothing_and_hears_all_later(
    tmp_path: Path, unused_tcp_port: int
):
    url = f"http://127.0.0.1:{unused_tcp_port}/api/v1/lineage"
    committer, sender = a_committer(tmp_path), Sender()
    follower = LineageFollower(a_config(tmp_path, url=url, api_key="open-sesame-42"), tmp_path)
    follower.begin(["orders"], START)
    a_commit(committer, sender)
    task = asyncio.create_task(follower.run())
    try:
        await eventually(lambda: follower.statistics()["state"] == "down")
        a_commit(committer, sender)
        with an_endpoint(unused_tcp_port, {"RUNNING": 422}) as heard:
            await eventually(lambda: len(heard) == 4 and follower.statistics()["waiting"] == 0)
            await eventually(lambda: follower.statistics()["state"] == "up")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [event["eventType"] for _, event in heard] == ["START", "START", "RUNNING", "RUNNING"]
    assert {key for key, _ in heard} == {"Bearer open-sesame-42"}
    assert follower.statistics()["refused"] == 2


async def test_an_endpoint_that_may_be_mended_is_asked_again(tmp_path: Path, unused_tcp_port: int):
    config = a_config(tmp_path, url=f"http://127.0.0.1:{unused_tcp_port}/")
    follower = LineageFollower(config, tmp_path)
    follower.begin(["orders"], START)
    with an_endpoint(unused_tcp_port, {"START": 503}) as heard:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="503"):
                follower.step()

    assert heard[0] == heard[1]
