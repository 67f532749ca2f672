"""Who reads slowly or not at all harms only itself."""

import statistics
import time

import pytest

from core.bus_messages import Filter
from core.errors import SubscriptionEnded
from tests.bus.builders import a_bus, a_frame, a_line, seqs, take
from tests.waiting import eventually


async def test_a_lossy_reader_loses_the_oldest_and_is_told_how_many(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus, "in") as line, a_line(bus, "page") as page:
        slow = await page.subscribe(Filter("scored.*"), keep=50, credit_frames=10)
        fast = await line.subscribe(Filter("scored.*"), lossless=True)

        for seq in range(1, 1001):
            await line.send(a_frame(seq))
        await take(fast, 1000)

        first = await take(slow, 10)
        rest = await take(slow, 50)
        assert seqs(first) == list(range(1, 11)), "what credit let through before"
        assert seqs(rest) == list(range(951, 1001)), "the newest"
        assert [item.gap for item in rest] == [940] + [0] * 49
        assert slow.lost == 940
        (report,) = [one for one in bus.statistics().subscribers if not one.lossless]
        assert report.lost == 940


async def test_a_lossless_backlog_goes_to_disk_and_comes_back_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("actors.bus_subscribers.MEMORY_BYTES", 100_000)
    monkeypatch.setattr("actors.bus_backlog.SEGMENT_BYTES", 300_000)
    async with a_bus(tmp_path) as bus, a_line(bus, "in") as line, a_line(bus, "slow") as out:
        slow = await out.subscribe(Filter("scored.*"), lossless=True, credit_frames=4)
        fast = await line.subscribe(Filter("scored.*"), lossless=True)
        for seq in range(1, 501):
            await line.send(a_frame(seq, size=5000))
        await take(fast, 500)
        folder = tmp_path / "bus" / "backlog" / slow.id
        await eventually(lambda: sum(path.stat().st_size for path in folder.rglob("*.seg")) > 2_000_000)

        items = await take(slow, 500)

        assert seqs(items) == list(range(1, 501))
        assert all(item.frame.records.column("raw")[0].as_py() == b"x" * 5000 for item in items)
        await eventually(lambda: len(list(folder.rglob("*.seg"))) <= 2, what="segments go as they are read")
        slow.close()
        await eventually(lambda: not list(folder.rglob("*.seg")))


@pytest.mark.parametrize("queue", ["memory", "disk"])
async def test_a_full_backlog_ends_its_subscriber_and_nobody_else(tmp_path, queue):
    async with (
        a_bus(tmp_path, queue=queue, backlog_bytes=200_000) as bus,
        a_line(bus) as line,
        a_line(bus) as out,
    ):
        slow = await out.subscribe(
            Filter("scored.*"), lossless=True, credit_frames=2, name="slow", by_hand=True
        )
        fast = await line.subscribe(Filter("scored.*"), lossless=True)
        system = await line.subscribe(Filter("system"))
        for seq in range(1, 101):
            await line.send(a_frame(seq, size=5000))
            await take(fast, 1)

        (said,) = await take(system, 1)
        assert (said.signal.type, said.signal.subject) == ("assay.subscriber.ended", "slow")
        await take(slow, 2)
        with pytest.raises(SubscriptionEnded, match=r"E904 .*`slow`.*backlog of 200000 bytes is full"):
            await take(slow, 1)
        assert bus.statistics().ended == 1


async def test_the_writer_is_never_ended(tmp_path):
    async with (
        a_bus(tmp_path, backlog_bytes=100_000, away_s=0.5) as bus,
        a_line(bus) as line,
        a_line(bus) as out,
    ):
        writer = await out.subscribe(Filter("scored.*"), durable=True, name="writer", credit_frames=2)
        for seq in range(1, 101):
            await line.send(a_frame(seq, size=5000))

        assert seqs(await take(writer, 100)) == list(range(1, 101))
        assert bus.statistics().ended == 0


async def test_a_lossless_reader_that_stays_away_is_ended(tmp_path):
    async with a_bus(tmp_path, away_s=0.5) as bus, a_line(bus) as line, a_line(bus) as out:
        await out.subscribe(Filter("scored.*"), lossless=True, name="gone")
        system = await line.subscribe(Filter("system"))
        await out.close()

        (said,) = await take(system, 1)

        assert said.signal.subject == "gone"
        assert "away" in said.signal.data["message"]
        await eventually(lambda: len(bus.statistics().subscribers) == 1)


async def test_a_reader_that_comes_back_in_time_has_missed_nothing(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        async with a_line(bus) as out:
            reader = await out.subscribe(Filter("scored.*"), lossless=True, name="mine")
            for seq in (1, 2, 3):
                await line.send(a_frame(seq))
            await take(reader, 3)
            assert reader.take_ready() is None
        for seq in (4, 5):
            await line.send(a_frame(seq))

        async with a_line(bus) as out:
            reader = await out.subscribe(Filter("scored.*"), lossless=True, name="mine")
            assert seqs(await take(reader, 2)) == [4, 5]


async def test_a_name_taken_over_ends_the_older_reader(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus) as line, a_line(bus) as out:
        older = await line.subscribe(Filter("scored.*"), lossless=True, name="mine")
        newer = await out.subscribe(Filter("scored.*"), lossless=True, name="mine")
        await line.send(a_frame(1))

        assert seqs(await take(newer, 1)) == [1]
        with pytest.raises(SubscriptionEnded, match="took its name"):
            await take(older, 1)


async def test_stuck_readers_hold_nobody_else_up(tmp_path):
    """One frame after the other reaches a reader while two others take nothing at all."""
    async with a_bus(tmp_path) as bus, a_line(bus) as line, a_line(bus) as other:
        await other.subscribe(Filter("scored.*"), name="stuck", lossless=True)
        await other.subscribe(Filter("scored.*"), name="stuck page", keep=100)
        reader = await line.subscribe(Filter("scored.*"), lossless=True)
        delays = []
        for seq in range(1, 1001):
            start = time.perf_counter()
            await line.send(a_frame(seq))
            assert seqs(await take(reader, 1)) == [seq]
            delays.append(time.perf_counter() - start)

        assert statistics.median(delays[500:]) < 3 * statistics.median(delays[:50]) + 0.001
        held = {one.name: (one.delivered, one.waiting) for one in bus.statistics().subscribers}
        assert held["stuck"] == (64, 936)
        assert held["stuck page"] == (64, 100)
