"""Tables by cursor and key: ties, late commits, changed rows, and what cannot be read."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from actors.sources.sql_known import earlier
from core.batch import Resume
from core.errors import AssayError, ConfigError, Permanent, SourceUnavailable
from core.ranges import Ranges
from core.span import Span
from tests.sources.builders import Given, Stored, database_to, drain, table
from tests.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.db"


async def test_rows_that_tie_with_the_cursor_are_neither_lost_nor_doubled(path: Path):
    database = database_to(path, range(1, 4))
    given = table(path, cursor="at", chunk_rows=2)
    database.execute("UPDATE things SET at = 5")
    stored = await drain(given)
    database.execute("INSERT INTO things VALUES (0, 'late', 5), (9, 'new', 5)")

    await drain(given, stored)

    assert sorted(stored.values()) == [0, 1, 2, 3, 9]
    assert sum(batch.repeats for batch in stored.batches) == 3
    assert next(iter(stored.coverage.values())).as_list() == [[0, 5]]


async def test_a_row_later_than_the_look_back_is_not_seen(path: Path):
    database = database_to(path, range(100, 110))
    given = table(path, lookback=5)
    stored = await drain(given)
    database.execute("INSERT INTO things VALUES (50, 'too late', 0)")

    await drain(given, stored)

    assert stored.values() == list(range(100, 110))


async def test_a_late_row_inside_the_look_back_comes_once(path: Path):
    database = database_to(path, [1, 2, 4, 5])
    given = table(path, lookback=3)
    stored = await drain(given)
    database.execute("INSERT INTO things VALUES (3, 'late', 0)")

    await drain(given, stored)
    await drain(given, stored)

    assert stored.values() == [1, 2, 4, 5, 3]


async def test_a_changed_row_with_a_new_cursor_is_a_new_record(path: Path):
    database = database_to(path, [1, 2])
    given = table(path, cursor="at")
    stored = await drain(given)
    database.execute("UPDATE things SET name = 'changed', at = 99 WHERE id = 1")

    await drain(given, stored)

    assert stored.values("name") == ["n1", "n2", "changed"]


async def test_more_ties_than_a_page_holds_are_passed(path: Path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE things (id INTEGER, at INTEGER)")
    database.executemany("INSERT INTO things VALUES (?, ?)", [(7, 7)] * 50 + [(n, 7) for n in range(50)])

    stored = await drain(table(path, cursor="at", chunk_rows=3))

    assert sorted(stored.values()) == list(range(50))


async def test_text_cursors_keep_bytewise_order_whatever_the_collation(path: Path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE things (id TEXT COLLATE NOCASE)")
    names = ["a", "B", "c", "D", "é", "Z", "z"]
    database.executemany("INSERT INTO things VALUES (?)", [(name,) for name in names[:5]])
    given = table(path, chunk_rows=2)
    stored = await drain(given)
    database.executemany("INSERT INTO things VALUES (?)", [("ê",), ("ü",)])

    await drain(given, stored)
    await drain(given, stored)

    assert sorted(stored.values()) == sorted([*names[:5], "ê", "ü"])


async def test_a_composite_key_is_paged_and_named(path: Path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE things (a INTEGER, b TEXT, id INTEGER)")
    database.executemany("INSERT INTO things VALUES (?, ?, ?)", [(n // 5, f"k{n % 5}", n) for n in range(25)])

    stored = await drain(table(path, key=["a", "b"], chunk_rows=4))

    assert stored.values() == list(range(25))
    assert json.loads(stored.batches[0].positions[1].as_py()) == {"table": "things", "key": [0, "k1"]}


async def test_rows_without_cursor_or_key_are_counted_and_said_when_that_changes(path: Path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE things (id INTEGER, at INTEGER)")
    database.execute("INSERT INTO things VALUES (1, 1), (2, NULL), (NULL, 3)")
    given = table(path, cursor="at", poll_interval_s=0.01)
    stored = Stored()
    source = given.source(follow=True)
    await source.open(Resume())
    stored.take(await source.read())

    reading = asyncio.ensure_future(source.read())
    await asyncio.sleep(0.1)
    database.execute("INSERT INTO things VALUES (3, NULL)")
    await eventually(lambda: len(given.said("assay.source.unreadable")) == 2)
    reading.cancel()
    await source.close()

    assert stored.values() == [1]
    assert [said.split()[0] for said in given.said("assay.source.unreadable")] == ["2", "3"]


async def test_a_writer_at_work_loses_and_doubles_nothing(path: Path):
    """Rows are committed out of the order of their cursor, by up to 40, while another thread reads."""
    database_to(path, []).close()
    order = list(range(1, 801))
    rng = random.Random(7)
    order.sort(key=lambda n: n + rng.uniform(0, 40))
    stored = Stored()
    given = table(path, lookback=60, poll_interval_s=0.01, chunk_rows=16)

    def write() -> None:
        database = sqlite3.connect(path, isolation_level=None, timeout=20)
        database.execute("PRAGMA journal_mode = WAL")
        for n in order:
            database.execute("INSERT INTO things VALUES (?, ?, ?)", (n, f"n{n}", n))
        database.close()

    writer = threading.Thread(target=write)
    writer.start()
    lives = 0
    while len(stored.records) < 800:
        source = given.source(follow=True)
        await source.open(stored.resume())
        for _ in range(7):  # then it dies, and what was read last is read again
            batch = await asyncio.wait_for(source.read(), 20)
            stored.take(batch)
            if len(stored.records) >= 800:
                break
        await source.close()
        lives += 1
    writer.join()

    assert sorted(stored.values()) == list(range(1, 801))
    assert lives > 1


async def test_values_are_exact(path: Path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(
        "CREATE TABLE things (id INTEGER, n REAL, t TEXT, b BLOB, ok BOOLEAN, made DATETIME, big INTEGER)"
    )
    database.execute(
        "INSERT INTO things VALUES (1, 0.1, ?, ?, 1, '2009-01-01 00:00:00', ?), (2, 9e999, CAST(x'ff' AS TEXT), NULL, 7, 'soon', NULL)",
        ('q"é\n', b"\x00\xff", 2**63 - 1),
    )

    stored = await drain(table(path))

    assert list(stored.records.values()) == [
        '{"id":1,"n":0.1,"t":"q\\"é\\n","b":"AP8=","ok":true,"made":"2009-01-01T00:00:00Z","big":9223372036854775807}'.encode(),
        b'{"id":2,"n":"Infinity","t":"\\udcff","b":null,"ok":7,"made":"soon","big":null}',
    ]


async def test_chosen_columns_are_read_in_their_order(path: Path):
    database_to(path, [1]).close()

    stored = await drain(table(path, columns=["name", "id"]))

    assert list(stored.records.values()) == [b'{"name":"n1","id":1}']


async def test_a_large_row_is_refused_with_its_size(path: Path):
    database_to(path, [1]).execute("UPDATE things SET name = ?", ("x" * 5000,))

    (batch,) = (await drain(table(path, max_record_bytes=1000))).batches

    assert batch.refused[0].rule == "record-size"
    assert len(batch.raw[0].as_py()) == 1000


WRONG: list[Any] = [
    pytest.param({"table": "thing"}, ConfigError, "E404", "did you mean `things`", id="table-missing"),
    pytest.param(
        {"table": 'things"; DROP TABLE things'}, ConfigError, "E407", "no valid identifier", id="injection"
    ),
    pytest.param({"cursor": "At"}, ConfigError, "E405", "did you mean `at`", id="cursor-missing"),
    pytest.param({"key": ["nr"]}, ConfigError, "E406", "there are `at`, `id`, `name`", id="key-missing"),
    pytest.param(
        {"columns": ["id", "nome"]}, ConfigError, "E405", "did you mean `name`", id="column-missing"
    ),
    pytest.param(
        {"url": "sqlite:////nowhere/x.db"}, SourceUnavailable, "E401", "/nowhere/x.db", id="file-missing"
    ),
    pytest.param({"url": "mysql://root:hunter2@db/x"}, ConfigError, "E408", "mysql://", id="unknown-driver"),
    pytest.param({"url": f"sqlite:///{__file__}"}, Permanent, "E403", "no SQLite database", id="no-database"),
]


@pytest.mark.parametrize(("settings", "kind", "code", "words"), WRONG)
async def test_what_cannot_be_read_is_named(
    path: Path, settings: dict[str, Any], kind: type[AssayError], code: str, words: str
):
    database_to(path, [1]).close()
    given = table(path, **settings)
    source = given.source()

    with pytest.raises(kind) as error:
        await source.open(Resume())
    await source.close()

    assert error.value.code == code
    assert words in str(error.value)
    assert "hunter2" not in str(error.value)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM things").fetchone() == (1,)


async def test_a_locked_database_is_unavailable_and_later_readable(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("actors.sources.sqlite.BUSY_TIMEOUT_S", 0.05)
    database = database_to(path, [1])
    database.execute("BEGIN EXCLUSIVE")
    source = table(path).source()

    with pytest.raises(SourceUnavailable) as error:
        await source.open(Resume())
    await source.close()
    database.execute("ROLLBACK")

    assert error.value.code == "E402"
    assert (await drain(table(path))).values() == [1]


async def test_the_list_of_known_rows_may_not_be_missing(path: Path):
    database_to(path, [1]).close()
    stored = await drain(table(path))
    stored.attachments.clear()

    with pytest.raises(Permanent) as error:
        await drain(table(path), stored)

    assert error.value.code == "E911"


async def test_a_cursor_without_index_is_said(path: Path):
    database_to(path, [1]).close()
    given: Given = table(path, cursor="at")

    await drain(given)

    assert "no index of table `things` begins with `at`" in given.said("assay.source.slow")[0]


async def test_a_bounded_run_leaves_the_rest_to_be_read(path: Path):
    """The cursor stays; only rows that were kept are known afterwards."""
    database_to(path, range(1, 11)).close()
    given = table(path, chunk_rows=4)
    stored = Stored()
    source = given.source(span=Span(0, 10))
    await source.open(Resume())
    kept: list[int] = []
    while (batch := await source.read()) is not None:
        rows = [json.loads(raw)["id"] for raw in batch.raw.to_pylist()]
        even = [i for i, n in enumerate(rows) if n % 2 == 0]
        kept += [rows[i] for i in even]
        stored.attachments |= source.narrowed(batch, even)
        ordinals = [batch.ordinals[i].as_py() for i in even]
        for ordinal in ordinals:
            stored.coverage.setdefault(batch.partition, Ranges()).add(ordinal, ordinal + 1)
    await source.close()

    await drain(given, stored)

    assert kept == [2, 4, 6, 8, 10]
    assert sorted(stored.values()) == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    ("cursor", "lookback", "before"),
    [
        (1.5, 1, 0.5), ("2024-01-01T00:00:10Z", 20, "2023-12-31T23:59:50Z"), ("2024-01-01 00:00:10.250", 1, "2024-01-01 00:00:09.250"),
        ("2024-01-01T00:00:10+02:00", 20, "2023-12-31T23:59:50+02:00"), ("anything", 0, "anything"),
    ],
)  # fmt: skip
def test_earlier_keeps_the_form(cursor: Any, lookback: float, before: Any):
    assert earlier(cursor, lookback) == before


def test_earlier_than_a_word_is_nothing():
    with pytest.raises(ConfigError) as error:
        earlier("word", 1)

    assert error.value.code == "E410"
