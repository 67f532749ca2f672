"""What every kind of source promises. A new kind adds one line to KINDS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.batch import Resume
from core.errors import AssayError
from core.ranges import Ranges
from tests.sources.builders import (
    Given,
    Stored,
    csv_of,
    database_to,
    drain,
    files,
    jsonl_of,
    parquet_to,
    table,
)

ROWS = range(1, 61)


def a_csv(folder: Path) -> Given:
    (folder / "a.csv").write_bytes(csv_of(ROWS[:40]))
    (folder / "b.csv").write_bytes(csv_of(ROWS[40:]))
    return files(folder, "*.csv", chunk_rows=7)


def a_jsonl(folder: Path) -> Given:
    (folder / "a.jsonl").write_bytes(jsonl_of(ROWS)[:-1])
    return files(folder, "*.jsonl", chunk_rows=7)


def a_parquet(folder: Path) -> Given:
    parquet_to(folder / "a.parquet", ROWS, group=9)
    return files(folder, "*.parquet", chunk_rows=7)


def a_table(folder: Path) -> Given:
    database_to(folder / "d.db", ROWS).close()
    return table(folder / "d.db", chunk_rows=7)


def a_table_with_ties(folder: Path) -> Given:
    database_to(folder / "d.db", ROWS).close()
    return table(folder / "d.db", cursor="at", chunk_rows=7, lookback=2)


KINDS: list[Callable[[Path], Given]] = [a_csv, a_jsonl, a_parquet, a_table, a_table_with_ties]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Given:
    return request.param(tmp_path)


async def test_it_reads_everything_once_and_ends(given: Given):
    stored = await drain(given)

    assert sorted(stored.values()) == list(ROWS)


async def test_after_its_end_it_has_still_ended(given: Given):
    source = given.source()
    await source.open(Resume())
    while await source.read() is not None:
        pass

    assert await source.read() is None
    await source.close()


async def test_batches_keep_to_chunk_rows(given: Given):
    stored = await drain(given)

    assert max(len(batch) for batch in stored.batches) <= 7
    assert len(stored.batches) >= 9


async def test_covers_are_contiguous_and_hold_their_records(given: Given):
    stored = await drain(given)

    for ranges in stored.coverage.values():
        assert len(ranges) == 1
        assert next(ranges.complement(0, ranges.end), None) is None
    for batch in stored.batches:
        within = Ranges(batch.covers)
        assert all(
            within.covers(a, b)
            for a, b in zip(batch.ordinals.to_pylist(), batch.ends.to_pylist(), strict=True)
        )
        assert batch.ordinals.to_pylist() == sorted(batch.ordinals.to_pylist())


@pytest.mark.parametrize("before", range(10))
async def test_it_resumes_just_after_any_prefix(given: Given, before: int):
    whole = await drain(given)
    stored = await drain(given, most=before)

    await drain(given, stored)

    assert stored.records == whole.records
    assert stored.coverage == whole.coverage


async def test_it_reads_again_what_was_not_stored(given: Given):
    first = await drain(given, most=3)
    stored = Stored()
    stored.take(first.batches[0])

    await drain(given, stored)

    assert sorted(stored.values()) == list(ROWS)


async def test_ids_are_the_same_in_every_reading(given: Given):
    one, other = await drain(given), await drain(given)

    assert one.records == other.records
    assert all(len(partition) == 13 for partition, _ in one.records)


@pytest.mark.parametrize("kind", [a_csv, a_jsonl, a_parquet], ids=lambda kind: kind.__name__)
async def test_a_file_source_reads_what_lies_between_covered_ranges(
    kind: Callable[[Path], Given], tmp_path: Path
):
    """A table's ordinals are counted, so that it has no holes."""
    given = kind(tmp_path)
    whole = await drain(given)
    stored = Stored()
    for batch in whole.batches[1::2]:
        stored.take(batch)

    await drain(given, stored)

    assert stored.records == whole.records


async def test_positions_say_where_a_record_stands(given: Given, tmp_path: Path):
    stored = await drain(given)

    for batch in stored.batches:
        for position, raw, ordinal in zip(
            batch.positions.to_pylist(), batch.raw.to_pylist(), batch.ordinals.to_pylist(), strict=True
        ):
            said = json.loads(position)
            if "offset" in said:
                data = (tmp_path / said["file"]).read_bytes()
                assert said["offset"] == ordinal
                assert data[ordinal : ordinal + len(raw)] == raw
                assert data[:ordinal].count(b"\n") + 1 == said["line"]
            else:
                assert said.get("row", said.get("key")) == (
                    ordinal if "row" in said else json.loads(raw)["id"]
                )


async def test_a_cancelled_read_loses_nothing(given: Given):
    stored = Stored()
    source = given.source()
    await source.open(Resume())
    while True:
        reading = asyncio.ensure_future(source.read())
        await asyncio.sleep(0)
        reading.cancel()
        try:
            cut = await reading  # it may have been quicker
        except asyncio.CancelledError:
            cut = await source.read()
        if cut is None:
            break
        stored.take(cut)
    await source.close()

    assert sorted(stored.values()) == list(ROWS)


async def test_close_is_safe_at_any_time(given: Given, tmp_path: Path):
    source = given.source()
    await source.close()
    await source.open(Resume())
    reading = asyncio.ensure_future(source.read())
    await asyncio.sleep(0)
    reading.cancel()
    await source.close()
    await source.close()

    for path in tmp_path.iterdir():
        path.unlink()
    gone = given.source()
    with pytest.raises(AssayError):
        await gone.open(Resume())
    await gone.close()


async def test_it_may_be_opened_again_after_close(given: Given):
    source = given.source()
    stored = Stored()
    await source.open(Resume())
    stored.take(await source.read())
    await source.close()

    again = given.source()
    await again.open(stored.resume())
    while (batch := await again.read()) is not None:
        stored.take(batch)
    await again.close()

    assert sorted(stored.values()) == list(ROWS)


async def test_statistics_never_raise_and_end_complete(given: Given):
    source = given.source()
    source.statistics()
    await source.open(Resume())
    while await source.read() is not None:
        pass

    told = source.statistics()
    assert told.partitions >= 1
    assert told.bytes_total is None or told.bytes_read == told.bytes_total
    assert told.detail
    await source.close()
