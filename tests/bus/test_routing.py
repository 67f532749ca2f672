"""Who gets what, in which order."""

import asyncio

import pytest

from core.bus_messages import Filter
from core.signals import signal
from core.tiers import Tier
from tests.bus.builders import a_bus, a_frame, a_line, seqs, take


async def test_every_subscriber_gets_every_frame_in_the_publisher_s_order(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus, "in") as line, a_line(bus, "out") as out:
        readers = [await out.subscribe(Filter("scored.*"), lossless=True) for _ in range(3)]

        for seq in range(1, 301):
            await line.send(a_frame(seq))

        for items in await asyncio.gather(*(take(reader, 300) for reader in readers)):
            assert seqs(items) == list(range(1, 301))
            assert [item.seq for item in items] == list(range(1, 301))
            assert items[7].frame.records.column("ordinal").to_pylist() == [8000]


WANTED = [
    pytest.param(Filter("scored.flights"), ["flights gold", "flights bronze"], id="topic"),
    pytest.param(Filter(("scored.wea*", "system")), ["weather gold", "failed", "started"], id="topics"),
    pytest.param(Filter("scored.*", sources=("weather",)), ["weather gold"], id="source"),
    pytest.param(Filter("scored.*", datasets=("flights",)), ["flights gold", "flights bronze"], id="dataset"),
    pytest.param(Filter("scored.*", tiers=(Tier.BRONZE, Tier.REJECTED)), ["flights bronze"], id="tier"),
    pytest.param(Filter("system", types=("assay.source.fa*",)), ["failed"], id="type"),
    pytest.param(Filter("settled.flights"), ["post"], id="post"),
]


@pytest.mark.parametrize("wanted, expected", WANTED)
async def test_a_subscriber_gets_what_its_filter_says(tmp_path, wanted, expected):
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        reader = await line.subscribe(wanted)
        last = await line.subscribe(Filter("end"))

        await line.send(a_frame(1, tiers=(Tier.GOLD,)))
        await line.send(a_frame(2, tiers=(Tier.BRONZE,)))
        await line.send(a_frame(3, source="weather"))
        await line.say(signal("assay.source.failed", "x", "failed", source="/s"))
        await line.say(signal("assay.source.started", "x", "started", source="/s"))
        await line.post("settled.flights", b"post")
        await line.post("end", b"")
        await take(last, 1)

        got = []
        while (item := reader.take_ready()) is not None:
            if item.frame is not None:
                tier = next(tier.word for tier in Tier if item.frame.header.tiers[tier])
                got.append(f"{item.frame.header.source} {tier}")
            else:
                got.append(item.signal.data["message"] if item.signal else item.body.decode())
        assert got == expected


async def test_an_unsubscribed_reader_ends_and_costs_the_bus_nothing(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        reader = await line.subscribe(Filter("x"))
        reading = asyncio.create_task(take(reader, 1))
        await asyncio.sleep(0)

        reader.close()

        with pytest.raises(StopAsyncIteration):
            await reading
        last = await line.subscribe(Filter("end"))
        assert [one.name for one in bus.statistics().subscribers] == [last.name]


async def test_the_bus_tells_its_statistics(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        await line.send(a_frame(1, tiers=(Tier.GOLD, Tier.GOLD)))
        frames = await line.subscribe(Filter("scored.*"))
        await line.send(a_frame(2))
        await take(frames, 1)

        assert bus.statistics().topics["scored.flights"].rows == 3
        (subscriber,) = bus.statistics().subscribers
        assert (subscriber.delivered, subscriber.lossless, subscriber.waiting) == (1, False, 0)


async def test_who_comes_late_hears_the_last_settlement(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus) as line, a_line(bus) as late:
        await line.post("settled.flights", b"1")
        await line.post("settled.flights", b"2")
        await line.post("settled.weather", b"3")
        await line.subscribe(Filter("end"))

        reader = await late.subscribe(Filter("settled.flights"))

        assert [item.body for item in await take(reader, 1)] == [b"2"]


async def test_signals_that_nobody_heard_wait_for_the_first_who_listens(tmp_path):
    async with a_bus(tmp_path) as bus, a_line(bus) as line:
        for number in range(3):
            await line.say(signal("assay.source.started", "x", str(number), source="/s"))
        first = await line.subscribe(Filter("system"))
        assert [item.signal.data["message"] for item in await take(first, 3)] == ["0", "1", "2"]

        await line.say(signal("assay.source.drained", "x", "3", source="/s"))
        await take(first, 1)
        second, last = await line.subscribe(Filter("system")), await line.subscribe(Filter("end"))
        await line.post("end", b"")
        await take(last, 1)
        assert second.take_ready() is None, "what somebody heard is over"
