"""A bus that dies with ``queue: memory`` says so to its publishers, and its subscribers find the next one."""

import asyncio
import signal
import time

import pytest

from core.bus_messages import Filter
from core.errors import BusLost
from core.line import Line
from tests.bus.builders import a_frame, seqs, take
from tests.bus.serve import BusProcess
from tests.waiting import eventually


async def test_a_dead_bus_is_noticed_within_1500_ms(tmp_path):
    with BusProcess(tmp_path) as bus:
        line = Line(bus.endpoint, "in")
        await line.open()
        assert line.alive

        bus.kill()
        killed = time.monotonic()
        await eventually(lambda: not line.alive)

        assert time.monotonic() - killed <= 1.5
        await line.close()


async def test_after_a_restart_publishers_take_a_new_epoch_and_subscribers_go_on(tmp_path):
    with BusProcess(tmp_path) as bus:
        line, out = Line(bus.endpoint, "in"), Line(bus.endpoint, "out")
        await line.open()
        await out.open()
        reader = await out.subscribe(Filter("scored.*"), lossless=True, name="mine")
        browser = await out.subscribe(Filter("scored.*"))
        for seq in range(1, 11):
            await line.send(a_frame(seq))
        assert seqs(await take(reader, 10)) == list(range(1, 11))
        assert seqs(await take(browser, 10)) == list(range(1, 11))

        bus.kill()
        bus.start()
        async with asyncio.timeout(10):
            await line.until_lost()
        with pytest.raises(BusLost, match=r"E903 .*`flights`"):
            await line.send(a_frame(11))
        with pytest.raises(BusLost):
            await line.send(a_frame(11))
        await line.accept_boot()
        await eventually(lambda: reader.restarts == 1 and reader.accepted and browser.accepted)
        for seq in (1, 2, 3):
            await line.send(a_frame(seq, epoch=2))

        for items in (await take(reader, 3), await take(browser, 3)):
            assert [(item.frame.header.epoch, item.frame.header.seq) for item in items] == [
                (2, 1),
                (2, 2),
                (2, 3),
            ]
        await line.close()
        await out.close()


async def test_a_bus_that_only_stood_still_costs_no_epoch(tmp_path):
    with BusProcess(tmp_path) as bus:
        line = Line(bus.endpoint, "in")
        await line.open()
        reader = await line.subscribe(Filter("scored.*"), lossless=True)

        bus.send(signal.SIGSTOP)
        await eventually(lambda: not line.alive)
        sending = asyncio.create_task(line.send(a_frame(1)))
        await asyncio.wait([sending], timeout=0.1)
        assert not sending.done(), "a silent bus holds its publishers back"
        bus.send(signal.SIGCONT)
        await sending

        assert seqs(await take(reader, 1)) == [1]
        assert not line.lost
        await line.close()


async def test_a_line_that_finds_no_bus_says_where_it_looked(tmp_path):
    line = Line(BusProcess(tmp_path).endpoint, "in")

    with pytest.raises(BusLost, match=f"no bus answers at `ipc://{tmp_path}/bus.sock`"):
        await line.open(timeout_s=0.2)
    await line.close()


async def test_the_last_settlement_is_said_again_to_the_next_bus(tmp_path):
    with BusProcess(tmp_path) as bus:
        writer, connector = Line(bus.endpoint, "writer"), Line(bus.endpoint, "connector")
        await writer.open()
        await connector.open()
        settled = await connector.subscribe(Filter("settled.flights"))
        await writer.post("settled.flights", b"7")
        assert (await take(settled, 1))[0].body == b"7"

        bus.kill()
        bus.start()

        assert (await take(settled, 1))[0].body == b"7"
        await writer.close()
        await connector.close()
