"""CSV: exact by RFC 4180, and the same records whatever the blocks and wherever reading stopped."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.sources import csv as csv_module
from actors.sources.csv import CsvReader
from actors.sources.csv_encode import RowEncoder, value_encoder
from actors.sources.csv_text import CsvParser, Dialect
from tests.sources.builders import FIELDS, csv_of, drain, files

RECORDS = st.lists(
    st.lists(st.text(st.sampled_from(list('ab,"\n\ré;\\')), max_size=5), min_size=1, max_size=3),
    min_size=1,
    max_size=8,
)
BYTES = st.text(st.sampled_from(list('ab1,"\n\r')), max_size=60).map(str.encode)


def read_all(
    data: bytes, chunk_rows: int, block: int | None = None, stops: tuple[int, ...] = ()
) -> list[tuple[Any, ...]]:
    """Records of a reader that is made anew at every chunk whose number is in ``stops``."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        rows: list[tuple[Any, ...]] = []
        at = number = 0
        reader = None
        while at < len(data):
            if reader is None or number in stops:
                reader = CsvReader(
                    file.fileno(),
                    "x.csv",
                    fields=FIELDS,
                    chunk_rows=chunk_rows,
                    max_record_bytes=1 << 20,
                    header=False,
                    columns=("a", "b"),
                )
                if block:
                    reader._block = block
            chunk = reader.take(at, len(data), final=True)
            assert chunk is not None
            assert chunk.cover[0] == at < chunk.cover[1]
            at, number = chunk.cover[1], number + 1
            documents = chunk.documents.to_pylist()
            rows += [
                (o, e, raw, documents[i], json.loads(p)["line"], chunk.refused.get(i))
                for i, (o, e, raw, p) in enumerate(
                    zip(
                        chunk.ordinals.tolist(),
                        chunk.ends.tolist(),
                        chunk.raw.to_pylist(),
                        chunk.positions.to_pylist(),
                        strict=True,
                    )
                )
            ]
        return rows


@settings(max_examples=200, deadline=None)
@given(BYTES, st.integers(1, 4), st.integers(1, 9), st.sets(st.integers(0, 10), max_size=4))
def test_chunks_blocks_and_resuming_change_nothing(data: bytes, chunk_rows: int, block: int, stops: set[int]):
    assert read_all(data, chunk_rows, block, tuple(stops)) == read_all(data, 10_000)


@settings(max_examples=200, deadline=None)
@given(BYTES)
def test_raw_bytes_stand_in_the_file_where_the_ordinal_says(data: bytes):
    end = 0
    for ordinal, after, raw, *_ in read_all(data, 3):
        assert data[ordinal : ordinal + len(raw)] == raw
        assert data[ordinal + len(raw) : after].strip(b"\r\n") == b""
        assert data[end:ordinal].strip(b"\r\n") == b""
        end = after


@settings(max_examples=200, deadline=None)
@given(RECORDS, st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_wrote_is_read(records: list[list[str]], ending: str):
    written = io.StringIO()
    csv.writer(written, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(records)
    data = written.getvalue().encode()

    parsed = CsvParser(Dialect()).parse(data, 100, final=True)

    assert [record.fields for record in parsed.records] == records
    assert parsed.end == len(data)


def test_a_dialect_of_its_own_is_read(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes("id|name|qty\n1|'a|''b\\'c'|2\n2|d\\|e|3\n".encode("cp1252"))

    async def run() -> list[Any]:
        return (
            await drain(files(tmp_path, delimiter="|", quote="'", escape="\\", encoding="cp1252"))
        ).values("name")

    import asyncio

    assert asyncio.run(run()) == ["a|'b'c", "d|e"]


async def test_another_encoding_becomes_utf8(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes("id,name,qty\n1,é,2\n".encode("latin-1"))
    (tmp_path / "y.jsonl").write_bytes('{"id":2,"name":"é"}\n'.encode("latin-1"))

    stored = await drain(files(tmp_path, encoding="latin-1"))

    assert stored.values("name") == ["é", "é"]
    assert stored.batches[0].raw[0].as_py() == b"1,\xe9,2"


async def test_tabs_separate_what_is_called_tsv_and_columns_may_be_given(tmp_path: Path):
    (tmp_path / "x.tsv").write_bytes(b"1\ta,b\t2\n")

    stored = await drain(files(tmp_path, header=False, columns=["id", "name", "qty"]))

    assert list(stored.records.values()) == [b'{"id":1,"name":"a,b","qty":2}']


@pytest.mark.parametrize("rows", [10, 1000])
def test_both_row_encoders_say_the_same(rows: int):
    """Few rows are encoded line by line, many column by column."""
    body = csv_of(n for n in range(1, rows) if n % 7)[12:]
    encoder = RowEncoder(["id", "name", "qty"], FIELDS, ("n2",), ",")
    lines = body.decode().splitlines()

    by_column = encoder.block(body, len(lines))

    assert by_column.to_pylist() == [line.encode() for line in encoder.lines(lines)]
    assert json.loads(by_column[1].as_py()) == {"id": 2, "name": None, "qty": 2}


@pytest.mark.parametrize(
    ("types", "text", "shown"),
    [
        ("integer", "17", "17"), ("integer", "-0", "-0"), ("integer", "0517", "517"), ("integer", "-007", "-7"),
        ("integer", "000", "0"), ("integer", "1.0", "1.0"), ("integer", "7" * 40, "7" * 40), ("integer", "1_0", '"1_0"'),
        ("integer", "+5", '"+5"'), ("integer", " 5", '" 5"'), ("integer", "٣", '"٣"'), ("integer", "5\n", '"5\\n"'),
        ("number", "1e400", "1e400"), ("number", "NaN", '"NaN"'), ("number", "Infinity", '"Infinity"'), ("number", ".5", '".5"'),
        ("number", "01.50", "1.50"), ("string", "17", '"17"'), ("string number", "017", '"017"'), ("string number", "17", "17"),
        ("boolean", "TRUE", "true"), ("boolean", "no", '"no"'), ("string", 'a"\\\n\x00é', '"a\\"\\\\\\n\\u0000é"'),
        ("array", "[1, 2]", "[1, 2]"), ("array", "[1", '"[1"'), ("string", "NA", "null"), ("integer", "", '""'), ("", "5", '"5"'),
    ],
)  # fmt: skip
def test_text_becomes_what_its_type_says_or_stays_text(types: str, text: str, shown: str):
    assert value_encoder(frozenset(types.split()), frozenset({"NA"}))(text) == shown


def test_a_column_forgets_rather_than_grow():
    encoder = RowEncoder(["id"], FIELDS, (), ",")

    encoder.lines([str(n) for n in range(50_000)])

    assert len(encoder._columns[0]) <= 4096


async def test_memory_is_bounded_by_the_block_not_the_file(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes(csv_of(n for n in range(1, 300_000) if n % 7))

    stored = await drain(files(tmp_path, chunk_rows=1_000_000))

    assert (
        max(sum(end - start for start, end in batch.covers) for batch in stored.batches)
        <= csv_module._LARGEST_BLOCK
    )
    assert os.path.getsize(tmp_path / "x.csv") > 2 * csv_module._LARGEST_BLOCK
    assert sum(len(batch) for batch in stored.batches) == len(stored.records)
