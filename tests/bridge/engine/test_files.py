"""Spark's tasks and the connector give the same rows: ids, positions, tiers, scores, reasons, typed columns."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridge.engine import files
from core.span import Span
from tests.bridge.engine.parts import pair
from tests.waiting import until

pytestmark = pytest.mark.slow


def records(n: int, seed: int = 1) -> list[dict[str, Any]]:
    """n things of three days, some of them wrong in one way or another."""
    chance = random.Random(seed)
    made = []
    for number in range(n):
        one: dict[str, Any] = {
            "id": number, "name": chance.choice(["a", "Zoë", None, "x" * 30]), "qty": chance.choice([1, 2.5, -1, None]),
            "at": f"2026-11-{chance.randint(19, 21)}T{chance.randint(0, 23):02d}:00:00Z", "new": chance.randint(0, 3),
        }  # fmt: skip
        if chance.random() < 0.1:
            one.pop(chance.choice(["id", "at"]))
        made.append(one)
    return made


def write_jsonl(path: Path, n: int, seed: int = 1) -> None:
    lines = [json.dumps(one).encode() for one in records(n, seed)]
    lines[n // 2 : n // 2] = [b"", b"   ", b"{not json", b'{"id": 1, "id": 2}', b'{"id": "\xff"}\r']
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))


def write_csv(path: Path, n: int, *, quoted: int | None = None) -> None:
    """``quoted``: from this row on, names are in quotes and hold line endings."""
    lines = ["id,name,qty,at"]
    for at, one in enumerate(records(n)):
        name = f'"{at},\r\n""said"""' if quoted is not None and at >= quoted else one["name"] or ""
        lines.append(
            f"{one.get('id', '')},{name},{one['qty'] if one['qty'] is not None else ''},{one.get('at', '')}"
        )
    lines[n // 2 : n // 2] = ["", "1,2", "1,2,3,4,5,6"]
    path.write_text("\n".join(lines) + "\n", newline="")


def write_parquet(path: Path, n: int, *, group: int = 500) -> None:
    pq.write_table(pa.Table.from_pylist(records(n)), path, row_group_size=group)


@pytest.fixture
def small_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are cut, small as they are."""
    monkeypatch.setattr(files, "SMALLEST_SPLIT", 20_000)
    monkeypatch.setattr(files, "LARGEST_SPLIT", 20_000)


@pytest.mark.usefixtures("small_splits")
def test_every_kind_of_file_gives_the_rows_of_the_actors(spark: Any, tmp_path: Path) -> None:
    actors, engine = pair(tmp_path)
    inbox = tmp_path / "in"
    inbox.mkdir()
    write_jsonl(inbox / "a.jsonl", 3_000)
    write_csv(inbox / "b.csv", 3_000)
    write_csv(inbox / "c.csv", 3_000, quoted=1_000)
    write_parquet(inbox / "d.parquet", 3_000)
    (inbox / "empty.csv").write_bytes(b"")
    (inbox / "header.csv").write_bytes(b"id,name,qty,at\n")
    (inbox / "e.xyz").write_bytes(b"what is it?")
    (inbox / "f.parquet").write_bytes(b"PAR1 cut short")
    (inbox / "g.csv").write_bytes(b"id,id\n1,2\n")

    actors.by_actors()
    engine.by_spark(spark)

    assert engine.rows() == actors.rows()
    assert len(engine.rows()) > 12_000
    assert engine.quarantined() == actors.quarantined()
    assert {what for what, _, _ in engine.quarantined()} == {"e.xyz", "f.parquet", "g.csv"}
    assert engine.counts == actors.counts
    assert engine.committer.state.coverage == actors.committer.state.coverage
    assert max(outcome.task for done in engine.done for outcome in done.outcomes) >= 1, "one task did it all"


def test_again_is_nothing_new(spark: Any, tmp_path: Path) -> None:
    """What actors read, Spark does not read again, and the other way about."""
    actors, _ = pair(tmp_path)
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", 500)
    actors.by_actors()
    assert actors.by_spark(spark) == []
    write_csv(tmp_path / "in" / "b.csv", 500)
    (done,) = actors.by_spark(spark)
    assert done.rows == 502
    before = actors.committer.state.commit
    actors.by_actors()
    assert actors.committer.state.commit == before


def test_a_back_fill_takes_its_span_and_the_next_run_the_rest(spark: Any, tmp_path: Path) -> None:
    actors, engine = pair(tmp_path)
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", 600)
    write_parquet(tmp_path / "in" / "b.parquet", 600)
    day = 86_400_000_000
    span = Span(20_777 * day, 20_778 * day)  # 2026-11-20

    actors.by_actors(span)
    engine.by_spark(spark, span)
    some = engine.rows()
    assert some == actors.rows()
    assert {row["assay_event_time"].day for row in some} == {20}
    actors.by_actors()
    engine.by_spark(spark, limit_bytes=20_000)
    assert engine.rows() == actors.rows()
    assert len(engine.rows()) == 1_203
    assert len(engine.done) >= 3, "chunk by chunk"


@pytest.mark.usefixtures("small_splits")
def test_what_lies_behind_the_break_of_a_file_is_not_kept(spark: Any, tmp_path: Path) -> None:
    """Its later row groups can be read, and other tasks do; but a file that breaks is quarantined from there on."""
    actors, engine = pair(tmp_path, chunk_rows=500)
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    write_parquet(path, 3_000)
    group = pq.read_metadata(path).row_group(2)
    data = bytearray(path.read_bytes())
    at = group.column(0).data_page_offset
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data)

    actors.by_actors()
    engine.by_spark(spark)
    assert engine.rows() == actors.rows()
    assert len(engine.rows()) == 1_000
    assert engine.quarantined() == actors.quarantined()
    assert engine.committer.state.coverage == actors.committer.state.coverage
    assert engine.by_spark(spark) == []


def test_a_file_is_taken_once_it_has_settled_and_what_it_grows_by(spark: Any, tmp_path: Path) -> None:
    actors, engine = pair(tmp_path, settle_s=0.5, poll_interval_s=0.05)
    path = tmp_path / "in" / "a.csv"
    path.parent.mkdir()
    write_csv(path, 100)
    chunks, kind = engine.chunks(follow=True)
    assert kind.plan(1 << 30) is None, "somebody may still write to it"
    first = until(lambda: kind.plan(1 << 30))
    chunks.do(spark, first, "query/0")
    with path.open("a") as more:
        more.write("7,grown,1,2026-11-20T00:00:00Z\n8,without its line ending,1,")
    chunks.do(spark, until(lambda: kind.plan(1 << 30)), "query/1")
    os.replace(path, path.with_name("b.csv"))  # renamed: nothing new
    write_csv(path, 10)  # another one of its name
    chunks.do(spark, until(lambda: kind.plan(1 << 30)), "query/2")
    assert kind.plan(1 << 30) is None
    kind.close()

    actors.by_actors()
    assert len(engine.rows()) == 102 + 2 + 12
    assert engine.counts.read == engine.counts.settled == 116
    kept = {
        json.loads(row["assay_position"])["line"]
        for row in engine.rows()
        if row["assay_raw"][:2] in {b"7,", b"8,"}
    }
    assert {105, 106} <= kept


def test_a_file_that_is_gone_when_its_task_comes_costs_the_others_nothing(spark: Any, tmp_path: Path) -> None:
    _, engine = pair(tmp_path)
    inbox = tmp_path / "in"
    inbox.mkdir()
    write_csv(inbox / "a.csv", 50)
    write_csv(inbox / "b.csv", 50)
    chunks, kind = engine.chunks()
    work = kind.plan(1 << 30)
    assert work is not None
    (inbox / "a.csv").unlink()
    assert chunks.do(spark, work, "job/0").rows == 52
    assert engine.said("assay.file.vanished")
    write_csv(inbox / "a.csv", 60)
    assert len(engine.by_spark(spark)) == 1
    assert len(engine.rows()) == 52 + 62
