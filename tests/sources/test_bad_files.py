"""Input that is wrong: each has its code, its words and its place; other files go on, and nothing is lost."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.batch import Reason, Resume
from core.errors import ConfigError, SourceUnavailable
from tests.sources.builders import Stored, csv_of, drain, files, jsonl_of, parquet_to


def xlsx() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as book:
        book.writestr("[Content_Types].xml", "<Types/>")
        book.writestr("xl/workbook.xml", "<workbook/>")
    return made.getvalue()


def parquet(cut: int = 0) -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2, 3]}), made)
    return made.getvalue()[: len(made.getvalue()) - cut]


def doubled_columns() -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"]), made)
    return made.getvalue()


REFUSED_FILES = [
    pytest.param("x.csv", b"id,name,id\n1,a,2\n", "E211", "`id` more than once", id="duplicate-headers"),
    pytest.param(
        "x.csv",
        b"id;name;qty\n1;a;2\n",
        "E212",
        "1 column found, 3 expected, is it `;`?",
        id="wrong-delimiter",
    ),
    pytest.param("x.csv", b"id\tname\tqty\n1\ta\t2\n", "E212", "is it `tab`?", id="wrong-delimiter-tab"),
    pytest.param("x.csv", "id,name\n1,é\n".encode("utf-16"), "E205", "UTF-16", id="utf-16"),
    pytest.param(
        "x.csv", "id,né\n1,a\n".encode("latin-1"), "E205", "byte 0xe9 at offset 4", id="header-latin-1"
    ),
    pytest.param("x.csv", xlsx(), "E207", "an Excel workbook (xlsx)", id="csv-is-xlsx"),
    pytest.param("x.csv", gzip.compress(b"id\n1\n"), "E207", "compressed with gzip", id="csv-is-gzip"),
    pytest.param("x.jsonl", b"PK\x03\x04....", "E207", "a zip archive", id="jsonl-is-zip"),
    pytest.param("x.jsonl", parquet(), "E207", "Parquet", id="jsonl-is-parquet"),
    pytest.param("x.parquet", b"id,name\n1,a\n" * 9, "E214", "is it CSV", id="parquet-is-csv"),
    pytest.param(
        "x.parquet", b"\x00\x01" * 50, "E214", "does not begin with `PAR1`", id="parquet-wrong-magic"
    ),
    pytest.param("x.parquet", parquet(cut=10), "E215", "cut short", id="parquet-truncated"),
    pytest.param("x.parquet", parquet()[:40] + b"PAR1", "E215", "broken footer", id="parquet-broken-footer"),
    pytest.param(
        "x.parquet", doubled_columns(), "E211", "more than one column `id`", id="parquet-duplicate-columns"
    ),
    pytest.param("x.csv.gz", gzip.compress(b"id\n1\n"), "E207", "unpack it (`gunzip`)", id="gz-ending"),
    pytest.param("x.dat", b"1,2\n", "E202", "says no format", id="unknown-ending"),
    pytest.param("x.csv", b'id,name\n1,"a\n' + b"x" * 3000, "E213", "line 2", id="unclosed-quote-too-large"),
    pytest.param("x.csv", b'"id,name\n1,a\n', "E216", "does not end", id="unclosed-quote-in-header"),
]


@pytest.mark.parametrize(("name", "data", "code", "words"), REFUSED_FILES)
async def test_a_refused_file_is_quarantined_and_others_go_on(
    tmp_path: Path, name: str, data: bytes, code: str, words: str
):
    (tmp_path / name).write_bytes(data)
    (tmp_path / "a.jsonl").write_bytes(jsonl_of(range(3)))
    (tmp_path / "z.csv").write_bytes(csv_of(range(3, 6)))

    stored = await drain(files(tmp_path, max_record_bytes=2048))

    notes = [note for batch in stored.batches for note in batch.quarantined]
    assert [note.what for note in notes] == [name]
    assert notes[0].reason.startswith(code)
    assert words in notes[0].reason
    assert notes[0].path == str(tmp_path / name)
    assert sorted(stored.values()) == list(range(6))
    refused = next(batch for batch in stored.batches if batch.quarantined)
    assert len(refused) == 0
    assert stored.coverage[refused.partition].covers(0, 1)
    assert (
        await drain(files(tmp_path, max_record_bytes=2048), stored)
    ).batches == stored.batches  # done with


REFUSED_ROWS = [
    pytest.param(
        b"id,name,qty\n1,a,2\n2,b\n3,c,4\n",
        1,
        "ragged-row",
        "line 3 has 2 fields, its header names 3",
        b"2,b",
        id="short-row",
    ),
    pytest.param(
        b"id,name,qty\n1,a,2\n2,b,3,4\n", 1, "ragged-row", "line 3 has 4 fields", b"2,b,3,4", id="long-row"
    ),
    pytest.param(
        b'id,name,qty\n1,"a\nb",2\n2,b\n',
        1,
        "ragged-row",
        "line 4 has 2 fields",
        b"2,b",
        id="ragged-after-newline",
    ),
    pytest.param(
        "id,name,qty\n1,é,2\n".encode("latin-1"),
        0,
        "encoding",
        "byte 0xe9 at offset 14 is not utf-8",
        b"1,\xe9,2",
        id="latin-1",
    ),
    pytest.param(
        b'id,name,qty\n1,a,2\n2,"b,3\n3,c,4\n',
        1,
        "csv-quote",
        "the quote opened on line 3",
        b'2,"b,3\n3,c,4',
        id="unclosed-quote",
    ),
    pytest.param(
        b'id,name,qty\n1,"a"b,2\n2,c,3\n',
        0,
        "csv-quote",
        "line 2 has text behind a closing quote",
        b'1,"a"b,2',
        id="text-behind-quote",
    ),
    pytest.param(
        b"id,name,qty\n1," + b"x" * 3000 + b",2\n2,c,3\n",
        0,
        "record-size",
        "the record has 3004 bytes",
        b"1," + b"x" * 2046,
        id="large-row",
    ),
    pytest.param(
        b'id,name,qty\n1,"' + b"x" * 3000 + b'",2\n2,c,3\n',
        0,
        "record-size",
        "the record has 3006 bytes",
        b'1,"' + b"x" * 2045,
        id="large-quoted-row",
    ),
]


@pytest.mark.parametrize(("data", "index", "rule", "words", "raw"), REFUSED_ROWS)
async def test_a_refused_row_keeps_its_bytes_and_says_where(
    tmp_path: Path, data: bytes, index: int, rule: str, words: str, raw: bytes
):
    (tmp_path / "x.csv").write_bytes(data)

    stored = await drain(files(tmp_path, max_record_bytes=2048))

    rows = rows_of(stored)
    assert [i for i, row in enumerate(rows) if row.refused] == [index]
    assert rows[index].refused.rule == rule
    assert words in rows[index].refused.message
    assert rows[index].raw == raw
    assert [row.document is None for row in rows] == [i == index for i in range(len(rows))]
    assert stored.coverage[stored.batches[0].partition].covers(0, len(data))


@dataclass
class Row:
    ordinal: int
    raw: bytes
    document: bytes | None
    refused: Reason | None


def rows_of(stored: Stored) -> list[Row]:
    """The records of all batches, in order."""
    rows = []
    for batch in stored.batches:
        documents = (batch.documents if batch.documents is not None else batch.raw).to_pylist()
        for i, (ordinal, raw) in enumerate(
            zip(batch.ordinals.to_pylist(), batch.raw.to_pylist(), strict=True)
        ):
            rows.append(Row(ordinal, raw, documents[i], batch.refused.get(i)))
    return rows


PASSED_ON = [
    pytest.param(b"this is no json", id="not-json"),
    pytest.param(b'{"id": 1,}', id="trailing-comma"),
    pytest.param(b'{"id": NaN}', id="nan"),
    pytest.param(b'{"id": 1, "id": 2}', id="duplicate-keys"),
    pytest.param(b'{"id": ' + b"7" * 40 + b"}", id="40-digits"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="depth-100000"),
    pytest.param(b'{"id": "\\ud800"}', id="lone-surrogate"),
    pytest.param(b"17", id="scalar"),
    pytest.param(b'{"a": "\x00"}', id="nul-byte"),
    pytest.param(b'{"a": "x\ry"}', id="lone-cr"),
]


@pytest.mark.parametrize("line", PASSED_ON)
async def test_json_lines_pass_through_untouched(tmp_path: Path, line: bytes):
    (tmp_path / "x.jsonl").write_bytes(b'{"id": 0}\n' + line + b'\n{"id": 2}\n')

    stored = await drain(files(tmp_path))

    rows = rows_of(stored)
    assert [row.raw for row in rows] == [b'{"id": 0}', line, b'{"id": 2}']
    assert not any(row.refused for row in rows)
    assert all(batch.documents is None for batch in stored.batches)


async def test_json_that_is_not_utf8_names_the_byte(tmp_path: Path):
    (tmp_path / "x.jsonl").write_bytes(b'{"id": 0}\n{"n": "\xe9"}\n')

    (batch,) = (await drain(files(tmp_path))).batches

    assert batch.refused[1].message.startswith("byte 0xe9 at offset 17 is not utf-8")
    assert batch.raw[1].as_py() == b'{"n": "\xe9"}'


@pytest.mark.parametrize("ending", [b"\n", b""])
async def test_a_line_larger_than_any_block_is_never_loaded(tmp_path: Path, ending: bytes):
    large = b'{"x": "' + b"y" * 9_000_000 + b'"}'
    (tmp_path / "x.jsonl").write_bytes(b'{"id": 0}\n' + large + (b"\n" + b'{"id": 2}\n' if ending else b""))

    stored = await drain(files(tmp_path, max_record_bytes=100_000))

    rows = rows_of(stored)
    assert rows[1].ordinal == 10
    assert rows[1].raw == large[:65536]
    assert rows[1].refused.rule == "record-size"
    assert f"{len(large)} bytes" in rows[1].refused.message
    assert len(rows) == (3 if ending else 2)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.csv", b""),
        ("x.jsonl", b""),
        ("x.csv", b"id,name\n"),
        ("x.csv", b"\xef\xbb\xbfid,name"),
        ("x.jsonl", b"\xef\xbb\xbf"),
    ],
)
async def test_a_file_without_records_is_said_once(tmp_path: Path, name: str, data: bytes):
    (tmp_path / name).write_bytes(data)
    given = files(tmp_path)

    stored = await drain(given)

    assert not stored.records
    assert len(given.said("assay.file.empty")) == 1
    assert {s.level for s in given.signals} == {"info"}


async def test_a_glob_that_matches_nothing_is_named(tmp_path: Path):
    source = files(tmp_path, "nothing-*.csv").source()

    with pytest.raises(SourceUnavailable) as error:
        await source.open(Resume())

    assert error.value.code == "E201"
    assert "nothing-*.csv" in str(error.value)
    assert str(Path.cwd()) in str(error.value)
    await source.close()


async def test_a_followed_glob_without_a_file_is_waited_for_and_says_so(tmp_path: Path):
    source = files(tmp_path, "later-*.jsonl", poll_interval_s=0.05).source(follow=True)
    await source.open(Resume())
    before = source.statistics().waiting
    reading = asyncio.create_task(source.read())

    (tmp_path / "later-1.jsonl").write_bytes(jsonl_of([1]))
    batch = await reading
    await source.close()

    assert before is not None
    assert "later-*.jsonl" in before
    assert batch is not None
    assert source.statistics().waiting is None


async def test_an_encoding_that_cannot_be_read_in_place_is_refused_at_once(tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        await files(tmp_path, encoding="utf-16").source().open(Resume())

    assert error.value.code == "E231"


async def test_a_link_out_of_the_root_is_not_read(tmp_path: Path):
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.csv").write_bytes(b"id,name,qty\n1,secret,2\n")
    (inside / "x.csv").symlink_to(tmp_path / "secret.csv")
    (inside / "y.csv").write_bytes(csv_of([5]))
    (inside / "z.csv").symlink_to(inside / "y.csv")

    stored = await drain(files(inside))

    (note,) = [note for batch in stored.batches for note in batch.quarantined]
    assert note.what == "x.csv"
    assert note.reason.startswith("E203")
    assert note.path is None
    assert stored.values() == [5, 5]


async def test_a_file_that_vanishes_between_list_and_open_is_said(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(csv_of([1]))
    (tmp_path / "b.csv").write_bytes(csv_of([2]))
    given = files(tmp_path)
    source = given.source()
    stored = Stored()
    await source.open(Resume())
    (tmp_path / "a.csv").unlink()

    while (batch := await source.read()) is not None:
        stored.take(batch)
    await source.close()

    assert stored.values() == [2]
    assert given.said("assay.file.vanished") == ["`a.csv` was gone before it could be read"]


def test_a_file_without_read_permission_is_quarantined(tmp_path: Path):
    """In a process that is nobody: root may read everything."""
    (tmp_path / "a.csv").write_bytes(csv_of([1]))
    (tmp_path / "b.csv").write_bytes(csv_of([2]))
    (tmp_path / "a.csv").chmod(0)
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from tests.sources.builders import drain, files\n"
        "import actors.sources.file, actors.sources.formats, encodings.idna\n"
        "given = files(Path(sys.argv[1]))\n"
        "if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "stored = asyncio.run(drain(given))\n"
        "print(stored.values(), [n.reason for b in stored.batches for n in b.quarantined])\n"
    )
    for part in (tmp_path, *tmp_path.parents):
        if part.stat().st_uid == os.getuid() and part != Path("/") and part != Path("/tmp"):
            part.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.stdout.startswith("[2] ['E204 `a.csv` cannot be read: Permission denied"), done.stderr


async def test_parquet_with_a_broken_page_is_refused_from_there(tmp_path: Path):
    parquet_to(tmp_path / "x.parquet", range(1000), group=100)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    middle = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(5).column(0).data_page_offset
    data[middle : middle + 40] = b"\xff" * 40
    (tmp_path / "x.parquet").write_bytes(data)

    stored = await drain(files(tmp_path, chunk_rows=50))

    (note,) = [note for batch in stored.batches for note in batch.quarantined]
    assert note.reason.startswith("E217")
    assert stored.values() == list(range(500))
    assert next(iter(stored.coverage.values())).covers(0, 1000)


MIXED: list[tuple[str, Callable[[], bytes], Any]] = [
    ("endings", lambda: b"id,name,qty\r\n1,a,1\n2,b,2\r3,c,3\r\n4,d,4", [1, 2, 3, 4]),
    ("bom", lambda: b"\xef\xbb\xbfid,name,qty\n1,a,1\n", [1]),
    ("blank", lambda: b"\n\nid,name,qty\n1,a,1\n"[2:] + b"\n\n2,b,2\n", [1, 2]),
]


@pytest.mark.parametrize(("data", "ids"), [pytest.param(make(), ids, id=name) for name, make, ids in MIXED])
async def test_endings_marks_and_blank_lines(tmp_path: Path, data: bytes, ids: list[int]):
    (tmp_path / "x.csv").write_bytes(data)

    stored = await drain(files(tmp_path))

    assert stored.values() == ids
    assert stored.coverage[stored.batches[0].partition].as_list() == [[0, len(data)]]
