"""Files that grow, move, shrink and are replaced, while Assay watches and while it does not."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.batch import Batch, Resume
from core.ports import Source
from tests.sources.builders import Given, Stored, csv_of, drain, files, jsonl_of, parquet_to
from tests.waiting import eventually

POLL = 0.05


@asynccontextmanager
async def watching(given: Given, stored: Stored) -> AsyncIterator[Source]:
    """Stores what arrives until the block ends."""
    source = given.source(follow=True)
    await source.open(stored.resume())

    async def follow() -> None:
        while True:
            batch = await source.read()
            assert batch is not None
            stored.take(batch)

    task = asyncio.create_task(follow())
    try:
        yield source
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])
        await source.close()


async def test_what_is_appended_is_read(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl_of([1]))
    stored = Stored()

    async with watching(files(tmp_path, poll_interval_s=POLL), stored):
        await eventually(lambda: stored.values() == [1])
        with path.open("ab") as file:
            file.write(jsonl_of([2, 3]))
        await eventually(lambda: stored.values() == [1, 2, 3])

    assert len(stored.coverage) == 1


async def test_a_csv_grows_in_the_middle_of_a_record(tmp_path: Path):
    path = tmp_path / "x.csv"
    whole = csv_of(range(1, 30))
    stored = Stored()
    given = files(tmp_path, poll_interval_s=0.01, settle_s=60)

    async with watching(given, stored):
        for cut in range(5, len(whole), 23):
            path.write_bytes(whole[:cut]) if not path.exists() else _append(
                path, whole[path.stat().st_size : cut]
            )
            await asyncio.sleep(0.005)
        _append(path, whole[path.stat().st_size :])
        await eventually(lambda: len(stored.records) == 29)

    assert stored.values() == list(range(1, 30))
    assert not any(batch.refused for batch in stored.batches)
    assert given.said("assay.file.replaced") == []


async def test_an_unended_line_waits_until_it_has_settled(tmp_path: Path):
    (tmp_path / "x.jsonl").write_bytes(b'{"id":1}\n{"id":2')
    stored = Stored()

    async with watching(files(tmp_path, poll_interval_s=POLL, settle_s=0.6), stored):
        await eventually(lambda: stored.values() == [1])
        began = time.monotonic()
        _append(tmp_path / "x.jsonl", b"2}")
        await eventually(lambda: stored.values() == [1, 22])

    assert time.monotonic() - began >= 0.55


async def test_a_new_file_is_read_within_a_poll(tmp_path: Path):
    """At the default poll of a second, half of it passes on average and never more."""
    stored = Stored()
    given = files(tmp_path, "*.jsonl", poll_interval_s=0.2)
    took = []

    async with watching(given, stored):
        for n in range(6):
            began = time.monotonic()
            (tmp_path / f"{n}.jsonl").write_bytes(jsonl_of([n]))
            await eventually(lambda n=n: len(stored.records) == n + 1, every_s=0.002)
            took.append(time.monotonic() - began)

    assert max(took) < 0.2 + 0.15
    assert len(given.said("assay.source.waiting")) == 1


async def test_a_renamed_file_keeps_its_partition(tmp_path: Path):
    (tmp_path / "x.jsonl").write_bytes(jsonl_of([1, 2]))
    given = files(tmp_path, poll_interval_s=POLL)
    stored = Stored()

    async with watching(given, stored):
        await eventually(lambda: len(stored.records) == 2)
        (tmp_path / "x.jsonl").rename(tmp_path / "y.jsonl")
        _append(tmp_path / "y.jsonl", jsonl_of([3]))
        await eventually(lambda: len(stored.records) == 3)

    assert len(stored.coverage) == 1
    assert given.said("assay.file.renamed") == [
        "`x.jsonl` is now called `y.jsonl`; it goes on where it stood"
    ]


async def test_logs_are_rotated_while_assay_is_away(tmp_path: Path):
    """log -> log.1 -> log.2, again and again: every line once."""
    names = [tmp_path / name for name in ("log.jsonl", "log.1.jsonl", "log.2.jsonl")]
    stored = Stored()
    for day in range(6):
        for younger, older in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
            if younger.exists():
                younger.rename(older)
        names[0].write_bytes(jsonl_of([day * 10 + n for n in range(3)]))
        await drain(files(tmp_path), stored)
        _append(names[0], jsonl_of([day * 10 + 3]))

    await drain(files(tmp_path), stored)

    assert sorted(stored.values()) == sorted(day * 10 + n for day in range(6) for n in range(4))


async def test_a_copy_is_a_new_file_and_so_is_a_hard_link(tmp_path: Path):
    (tmp_path / "x.jsonl").write_bytes(jsonl_of([1]))
    stored = await drain(files(tmp_path))
    shutil.copy(tmp_path / "x.jsonl", tmp_path / "y.jsonl")
    os.link(tmp_path / "x.jsonl", tmp_path / "z.jsonl")

    await drain(files(tmp_path), stored)

    assert stored.values() == [1, 1, 1]
    assert len(stored.coverage) == 3


REPLACEMENTS = [
    pytest.param(jsonl_of([7]), id="smaller"),
    pytest.param(jsonl_of([9, 8]), id="same-size"),
    pytest.param(jsonl_of([7, 8, 9, 10]), id="larger"),
]


@pytest.mark.parametrize("data", REPLACEMENTS)
@pytest.mark.parametrize("away", [True, False], ids=["away", "watching"])
async def test_a_replaced_file_is_read_from_its_beginning(tmp_path: Path, data: bytes, away: bool):
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl_of([1, 2]))
    stored = Stored()
    given = files(tmp_path, poll_interval_s=POLL)

    if away:
        await drain(given, stored)
        path.write_bytes(data)
        await drain(given, stored)
    else:
        async with watching(given, stored):
            await eventually(lambda: len(stored.records) == 2)
            (tmp_path / "new").write_bytes(data)
            (tmp_path / "new").rename(path)
            await eventually(lambda: len(stored.records) > 2)

    assert {1, 2} < set(stored.values())
    assert len(stored.coverage) == 2
    assert len(given.said("assay.file.replaced")) == 1
    assert [mark["generation"] for mark in stored.marks.values()] == [0, 1]
    assert (await drain(given, stored)).batches == stored.batches


async def test_a_truncated_file_is_a_new_generation(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(csv_of(range(1, 5)))
    given = files(tmp_path)
    stored = await drain(given)
    os.truncate(path, len(csv_of(range(1, 3))))

    await drain(given, stored)

    assert stored.values() == [1, 2, 3, 4, 1, 2]
    assert len(given.said("assay.file.replaced")) == 1


async def test_a_file_that_came_back_as_it_was_goes_on(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(jsonl_of([1, 2]))
    stored = await drain(files(tmp_path))
    path.unlink()
    path.write_bytes(jsonl_of([1, 2, 3]))

    await drain(files(tmp_path), stored)

    assert stored.values() == [1, 2, 3]


async def test_a_parquet_file_that_is_being_copied_is_waited_for(tmp_path: Path):
    parquet_to(tmp_path / "whole", range(50))
    data = (tmp_path / "whole").read_bytes()
    stored = Stored()
    given = files(tmp_path, "*.parquet", poll_interval_s=POLL, settle_s=60)

    async with watching(given, stored) as source:
        (tmp_path / "x.parquet").write_bytes(data[:100])
        await eventually(lambda: source.statistics().bytes_total == 100)
        _append(tmp_path / "x.parquet", data[100:])
        await eventually(lambda: len(stored.records) == 50)

    assert not any(batch.quarantined for batch in stored.batches)


async def test_a_refused_file_that_is_mended_is_read(tmp_path: Path):
    (tmp_path / "x.csv").write_bytes(b"id,id\n1,2\n")
    stored = await drain(files(tmp_path))
    (tmp_path / "x.csv").write_bytes(csv_of([1, 2]))

    await drain(files(tmp_path), stored)

    assert stored.values() == [1, 2]


async def test_a_mark_may_be_ahead_of_what_is_covered(tmp_path: Path):
    """A large batch travels in pieces that share its mark; the process may die between them."""
    (tmp_path / "x.jsonl").write_bytes(jsonl_of(range(20)))
    whole = await drain(files(tmp_path))
    (batch,) = whole.batches
    stored = Stored()
    stored.take(_first(batch, 6))

    await drain(files(tmp_path), stored)

    assert stored.records == whole.records
    assert [p for b in stored.batches for p in b.positions.to_pylist()] == batch.positions.to_pylist()


async def test_ids_do_not_depend_on_where_the_folder_lies(tmp_path: Path):
    ids = []
    for folder in (tmp_path / "one", tmp_path / "two" / "deep"):
        folder.mkdir(parents=True)
        (folder / "x.jsonl").write_bytes(jsonl_of([1]))
        ids.append(list((await drain(files(folder))).records))

    assert ids[0] == ids[1]


async def test_a_name_that_is_no_utf8_is_read(tmp_path: Path):
    (tmp_path / os.fsdecode(b"x\xff.jsonl")).write_bytes(jsonl_of([1]))

    stored = await drain(files(tmp_path))

    assert stored.values() == [1]
    assert (await drain(files(tmp_path), stored)).values() == [1]


async def test_nothing_is_open_after_close(tmp_path: Path):
    (tmp_path / "x.jsonl").write_bytes(jsonl_of(range(10)))
    before = set(os.listdir("/proc/self/fd"))
    source = files(tmp_path, chunk_rows=2).source()
    await source.open(Resume())
    await source.read()

    await source.close()

    assert {fd for fd in os.listdir("/proc/self/fd") if fd not in before and _is_in(fd, tmp_path)} == set()


def _is_in(fd: str, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(folder))
    except OSError:
        return False


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def _first(batch: Batch, rows: int) -> Batch:
    import dataclasses

    at = batch.ordinals[rows].as_py()
    return dataclasses.replace(
        batch,
        ordinals=batch.ordinals[:rows],
        ends=batch.ends[:rows],
        raw=batch.raw[:rows],
        positions=batch.positions[:rows],
        covers=((0, at),),
    )
