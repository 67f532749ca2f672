"""A bus that dies with ``queue: disk`` has lost nothing that it confirmed, and nobody takes a new epoch."""

import asyncio
import errno
import logging
import os

import msgspec
import pytest

from actors.bus import Bus
from actors.bus_items import STEP, Item
from actors.bus_queue import DiskQueue, Known, State
from actors.bus_segments import Record, scan
from core.bus_messages import Filter, Subscribe
from core.errors import StoreUnavailable
from core.frame import decode_header
from core.line import Line
from tests.bus.builders import a_bus, a_frame, a_line, seqs, take
from tests.bus.serve import BusProcess
from tests.waiting import eventually


async def test_frames_sent_across_kills_arrive_once_and_in_order(tmp_path):
    n = 600
    with BusProcess(tmp_path, "disk") as bus:
        line, out = Line(bus.endpoint, "in"), Line(bus.endpoint, "out")
        await line.open()
        await out.open()
        reader = await out.subscribe(Filter("scored.*"), lossless=True, name="mine")
        got = []

        async def read():
            async for item in reader:
                got.append(item)

        async def publish():
            for seq in range(1, n + 1):
                await line.send(a_frame(seq))
                if seq % 20 == 0:
                    await asyncio.sleep(0.01)

        reading, publishing = asyncio.create_task(read()), asyncio.create_task(publish())
        for nth, kill_at in enumerate((100, 250, 400), 1):
            await eventually(lambda kill_at=kill_at: len(got) >= kill_at or reading.done())
            bus.kill()
            bus.start()
            await eventually(lambda nth=nth: reader.restarts == nth)
        await publishing
        await eventually(lambda: len(got) >= n or reading.done())

        assert seqs(got) == list(range(1, n + 1))
        assert [item.seq for item in got] == list(range(1, n + 1)), "the topic's numbers go on without a gap"
        assert reader.restarts == 3
        assert not line.lost
        reading.cancel()
        await line.close()
        await out.close()


async def test_a_reader_that_comes_back_under_its_name_gets_what_it_was_not_done_with(tmp_path):
    with BusProcess(tmp_path, "disk") as bus:
        line, out = Line(bus.endpoint, "in"), Line(bus.endpoint, "out")
        await line.open()
        await out.open()
        reader = await out.subscribe(Filter("scored.*"), durable=True, name="writer", by_hand=True)
        for seq in range(1, 11):
            await line.send(a_frame(seq))
        items = await take(reader, 10)
        reader.done(items[3])
        await out.close()

        await eventually(lambda: not line._unconfirmed)
        await eventually(lambda: done_on_disk(bus.directory / "log") == {items[3].number})
        bus.kill()
        bus.start()
        async with asyncio.timeout(10):
            again = Line(bus.endpoint, "out")
            await again.open()
            reader = await again.subscribe(Filter("scored.*"), durable=True, name="writer", by_hand=True)
            assert seqs(await take(reader, 6)) == [5, 6, 7, 8, 9, 10]
        await again.close()
        await line.close()


async def test_segments_are_deleted_once_everybody_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("actors.bus_queue.SEGMENT_BYTES", 20_000)
    async with a_bus(tmp_path, queue="disk") as bus, a_line(bus) as line, a_line(bus) as out:
        writer = await out.subscribe(Filter("scored.*"), durable=True, name="writer", by_hand=True)
        other = await out.subscribe(Filter("scored.*"), lossless=True, name="other", by_hand=True)
        for seq in range(1, 101):
            await line.send(a_frame(seq))
            if seq % 10 == 0:
                await eventually(lambda: not line._unconfirmed)
        held = await take(writer, 100), await take(other, 100)
        full = bus.statistics().queue_bytes
        segments = len(list((tmp_path / "bus" / "log").glob("*.seg")))
        assert segments > 4

        writer.done(held[0][-1])
        other.done(held[1][49])
        await eventually(lambda: bus.statistics().queue_bytes < 0.75 * full)
        assert bus.statistics().queue_bytes > 0.25 * full
        other.done(held[1][-1])
        await eventually(lambda: len(list((tmp_path / "bus" / "log").glob("*.seg"))) == 1)


async def test_a_frame_is_confirmed_once_however_often_it_is_sent(tmp_path):
    async with a_bus(tmp_path, queue="disk") as bus, a_line(bus) as line:
        reader = await line.subscribe(Filter("scored.*"), lossless=True)
        for seq in (1, 2, 3):
            await line.send(a_frame(seq))
        await eventually(lambda: not line._unconfirmed)

        for seq in (2, 3, 4):
            await line.send(a_frame(seq))
        await eventually(lambda: not line._unconfirmed)

        assert seqs(await take(reader, 4)) == [1, 2, 3, 4]
        assert bus.statistics().topics["scored.flights"].items == 4


@pytest.mark.parametrize("queue", ["memory", "disk"])
async def test_crashpoint_bus_taken(tmp_path, monkeypatch, queue):
    """The bus dies with a frame that nobody has: on disk it is delivered, in memory the publisher is told."""
    bus = BusProcess(tmp_path, queue)
    monkeypatch.setenv("ASSAY_CRASH", "bus.taken:3")
    with bus:
        line = Line(bus.endpoint, "in")
        await line.open()
        reader = await line.subscribe(Filter("scored.*"), lossless=True, name="mine")
        for seq in (1, 2, 3):
            await line.send(a_frame(seq))
            if seq < 3:
                assert seqs(await take(reader, 1)) == [seq]
        await asyncio.to_thread(bus.until_dead)
        monkeypatch.delenv("ASSAY_CRASH")
        bus.start()

        if queue == "disk":
            assert seqs(await take(reader, 1)) == [3]
        else:
            async with asyncio.timeout(10):
                await line.until_lost()
        await line.close()


# ---- what a crash or a bad disk leaves behind
async def a_log(path, n=5):
    """A log of ``n`` small frames."""
    queue = DiskQueue(path / "log")
    queue.open()
    asked = Subscribe("id", "writer", Filter("scored.*"), True, True, 1, 1, 1, None, "")
    await queue.append([], [Known(asked, 0)])
    for seq in range(1, n + 1):
        parts = [a_frame(seq).pack()[0], b"payload" * 5]
        item = Item("frame", "scored.flights", seq * STEP, seq, sum(map(len, parts)), parts)
        item.header = decode_header(parts[0])
        await queue.append([item], [Known(asked, 0)])
    queue.close()
    (file,) = (path / "log").glob("*.seg")
    return file


def reopened(directory):
    queue = DiskQueue(directory)
    items = queue.open()
    queue.close()
    return queue, [item.header.seq for item in items]


async def test_a_tail_torn_at_any_byte_costs_only_what_was_torn(tmp_path, caplog, monkeypatch):
    file = await a_log(tmp_path, 3)
    whole = file.read_bytes()
    lineage, ends = whole_log(whole)

    for name in (
        "fsync",
        "fdatasync",
    ):  # some thousand logs are opened; that they are synced is not the point here
        monkeypatch.setattr(os, name, lambda file: None)
    for cut in range(ends[0], len(whole)):
        directory = tmp_path / f"cut-{cut}"
        directory.mkdir()
        (directory / file.name).write_bytes(whole[:cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            queue, found = reopened(directory)

        assert found == list(range(1, 1 + sum(end <= cut for end in ends[1:])))
        assert queue.state.lineage == lineage, "what was torn was never confirmed, so it comes again"
        assert not queue.quarantined
        warned = [record.message for record in caplog.records]
        assert warned == ([] if cut in all_ends(whole) else ["torn tail cut"])
        for path in directory.iterdir():
            os.unlink(path)


async def test_a_flipped_bit_costs_one_frame_and_renews_the_epochs(tmp_path):
    file = await a_log(tmp_path, 4)
    whole = file.read_bytes()
    lineage, ends = whole_log(whole)
    records = all_ends(whole)

    for at in range(ends[1], ends[2], 37):
        directory = tmp_path / f"flip-{at}"
        directory.mkdir()
        data = bytearray(whole)
        data[at] ^= 0x10
        (directory / file.name).write_bytes(data)
        queue, found = reopened(directory)

        hurt = max(end for end in records if end <= at)
        assert set(range(1, 5)) - set(found) in ({2}, set()), "at most the frame that was hit"
        assert queue.quarantined == [f"{directory / file.name}:{hurt}"]
        assert queue.state.lineage != lineage
        assert (directory / "quarantine" / f"{file.stem}-{hurt}.bin").exists()


async def test_a_damaged_log_is_told_and_its_publishers_take_new_epochs(tmp_path):
    with BusProcess(tmp_path, "disk") as bus:
        line = Line(bus.endpoint, "in")
        await line.open()
        reader = await line.subscribe(Filter("scored.*"), durable=True, name="writer", by_hand=True)
        system = await line.subscribe(Filter("system", types=("assay.queue.*",)))
        for seq in (1, 2, 3):
            await line.send(a_frame(seq))
        await take(reader, 3)
        await eventually(lambda: not line._unconfirmed)
        bus.kill()
        (file,) = (bus.directory / "log").glob("*.seg")
        data = bytearray(file.read_bytes())
        data[data.index(b"ARROW1") if b"ARROW1" in data else len(data) // 2] ^= 1
        file.write_bytes(data)
        bus.start()

        async with asyncio.timeout(10):
            await line.until_lost()
        await line.accept_boot()
        await line.send(a_frame(1, epoch=2))
        async with asyncio.timeout(10):
            while (item := await anext(reader)).frame.header.epoch != 2:
                pass
        assert item.frame.header.seq == 1
        (told,) = await take(system, 1)
        assert str(file) in told.signal.data["message"]
        await line.close()


def whole_log(data):
    """The lineage, and the ends of: the first subscriber's state, then each frame."""
    lineage, ends = "", []
    for record in scan(memoryview(data)):
        assert isinstance(record, Record)
        end = record.start + record.length
        if record.note.kind == "frame":
            ends.append(end)
        elif not ends or len(ends) == 1:
            lineage, ends = msgspec.msgpack.decode(record.header, type=State).lineage, [end]
    return lineage, ends


def all_ends(data):
    """The ends of all records."""
    return {record.start + record.length for record in scan(memoryview(data))} | {len(data)}


def done_on_disk(directory):
    """How far subscribers are done, as the newest state in the log says."""
    (file,) = directory.glob("*.seg")
    states = [
        one
        for one in scan(memoryview(file.read_bytes()))
        if isinstance(one, Record) and one.note.kind == "state"
    ]
    return {known.done for known in msgspec.msgpack.decode(states[-1].header, type=State).subscribers}


async def test_a_full_disk_holds_publishers_back_until_there_is_room(tmp_path, monkeypatch):
    full = True
    writev = os.writev

    def limited(file, buffers):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return writev(file, buffers)

    async with a_bus(tmp_path, queue="disk") as bus, a_line(bus) as line:
        reader = await line.subscribe(Filter("scored.*"), lossless=True)
        system = await line.subscribe(Filter("system"))
        monkeypatch.setattr("actors.bus_segments.os.writev", limited)
        for seq in (1, 2, 3):
            await line.send(a_frame(seq))
        (said,) = await take(system, 1)
        assert said.signal.type == "assay.store.down"
        assert str(tmp_path) in said.signal.data["message"]
        assert line._unconfirmed, "nothing is confirmed that is not on disk"

        full = False

        assert seqs(await take(reader, 3)) == [1, 2, 3]
        await eventually(lambda: not line._unconfirmed)


async def test_a_log_that_cannot_be_synced_ends_the_bus(tmp_path, monkeypatch):
    """What a failed sync has lost is not known, so trying again would confirm what may be gone."""

    def broken(file):
        raise OSError(errno.EIO, "Input/output error")

    bus = Bus(f"ipc://{tmp_path}/bus.sock", "disk", tmp_path / "bus")
    await bus.start()
    running = asyncio.create_task(bus.run())
    async with a_line(bus) as line:
        await line.subscribe(Filter("scored.*"), lossless=True)
        monkeypatch.setattr("actors.bus_segments.os.fdatasync", broken)
        await line.send(a_frame(1))

        with pytest.raises(StoreUnavailable, match=r"E720 .*could not be synced"):
            await running
        assert line._unconfirmed
    await bus.close()
