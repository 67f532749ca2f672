"""What a connector says of itself: states, and what went wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from actors.connector import Connector, Job
from actors.novelty import Novelty
from core.batch import Resume
from core.errors import StoreUnavailable
from core.frame import Frame
from core.ledger import Counts
from core.ports import Attachment, Settled
from core.signals import Signal
from core.status import SourceFacts
from quality import compile_judge
from tests.sources.builders import files, jsonl_of
from tests.waiting import eventually

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Heard:
    """A line that keeps what is said on it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def send(self, frame: Frame) -> None:
        self.frames.append(frame)

    async def say(self, signal: Signal) -> None: ...

    async def post(self, topic: str, body: bytes) -> None: ...

    async def accept_boot(self) -> None: ...

    async def until_lost(self) -> None:
        await asyncio.Event().wait()


class Desk:
    """Writer and registry; the writer may be away."""

    def __init__(self, *, away: bool) -> None:
        self._away = away

    async def attach(self, source: str) -> Attachment:
        if self._away:
            raise StoreUnavailable("`writer` is not there now", "E905")
        return Attachment(boot="b", epoch=1, resume=Resume(), base=Counts())

    async def noticed(self, subject: str, fields: dict[str, str], source: str) -> None: ...


async def silence() -> AsyncIterator[Settled]:
    await asyncio.Event().wait()
    yield  # type: ignore[misc]


@asynccontextmanager
async def running(folder: Path, *, away: bool = False) -> AsyncIterator[tuple[Connector, Heard]]:
    line, desk = Heard(), Desk(away=away)
    given = files(folder, "*.jsonl", poll_interval_s=0.05)
    job = Job(facts=SourceFacts("things", "file", "things"), mode="event", follow=True, schema="things:1")
    connector = Connector(
        job, lambda: given.source(follow=True), compile_judge(b'{"type": "object"}'), line=line,
        settlements=silence(), desk=desk, novelty=Novelty("things", "things", desk),
    )  # fmt: skip
    task = asyncio.create_task(connector.run())
    try:
        yield connector, line
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def source_of(connector: Connector) -> dict[str, Any]:
    source: dict[str, Any] = connector.statistics()["source"]
    return source


async def test_a_glob_without_a_file_is_shown_as_waiting_until_one_comes(tmp_path: Path):
    async with running(tmp_path) as (connector, line):
        await eventually(lambda: source_of(connector)["state"] == "waiting")
        words = connector.statistics()["detail"]
        (tmp_path / "one.jsonl").write_bytes(jsonl_of([1]))
        await eventually(lambda: bool(line.frames) and source_of(connector)["state"] == "running")

    assert "*.jsonl" in words
    assert connector.statistics()["detail"] == "1 of 1 files"


async def test_what_went_wrong_last_says_when_in_rfc_3339(tmp_path: Path):
    async with running(tmp_path, away=True) as (connector, _):
        await eventually(lambda: source_of(connector)["last_error"] is not None)
        error = source_of(connector)["last_error"]

    assert error["code"] == "E905"
    assert RFC3339.fullmatch(error["at"]), error
