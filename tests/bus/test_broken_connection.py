"""The bus lives, but what was on the wire is gone: a TCP connection breaks under line and bus."""

import asyncio
import contextlib

import pytest

from core.bus_messages import Filter
from core.line import Endpoint, Line
from tests.bus.builders import a_bus, a_frame, seqs, take
from tests.waiting import eventually


class Wire:
    """A TCP proxy that can swallow what comes and then reset its connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.swallow = False

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()
        self.swallow = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, target)))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if not self.swallow:
                    target.write(data)


async def through(wire: Wire, name: str) -> Line:
    line = Line(Endpoint(f"tcp://127.0.0.1:{wire.port}"), name)
    await line.open()
    return line


def port(bus) -> int:
    return int(bus.endpoint.address.rpartition(":")[2])


async def test_a_lossless_reader_gets_again_what_the_wire_lost(tmp_path):
    async with a_bus(tmp_path, address="tcp://127.0.0.1:0") as bus, Wire(port(bus)) as wire:
        line, out = Line(bus.endpoint, "in"), await through(wire, "out")
        await line.open()
        reader = await out.subscribe(Filter("scored.*"), lossless=True)
        lossy = await out.subscribe(Filter("scored.*"))
        for seq in range(1, 6):
            await line.send(a_frame(seq))
        await take(reader, 5)
        await take(lossy, 5)

        wire.swallow = True
        for seq in range(6, 11):
            await line.send(a_frame(seq))
        await eventually(lambda: all(one.delivered == 10 for one in bus.statistics().subscribers))
        wire.cut()
        await line.send(a_frame(11))

        assert seqs(await take(reader, 6)) == [6, 7, 8, 9, 10, 11]
        await eventually(
            lambda: all(one.credit_frames for one in bus.statistics().subscribers) and lossy.accepted
        )
        await line.send(a_frame(12))
        items = await take(lossy, 1)
        while items[-1].frame.header.seq != 12:
            items += await take(lossy, 1)
        assert len(items) + lossy.lost == 7, "6 to 12 came or were counted as lost"
        await line.close()
        await out.close()


@pytest.mark.parametrize("queue", ["memory", "disk"])
async def test_a_publisher_s_lost_frames_are_noticed(tmp_path, queue):
    """In memory the source takes a new epoch; with a queue on disk the line sends them again."""
    async with a_bus(tmp_path, address="tcp://127.0.0.1:0", queue=queue) as bus, Wire(port(bus)) as wire:
        line, out = await through(wire, "in"), Line(bus.endpoint, "out")
        await out.open()
        reader = await out.subscribe(Filter("scored.*"), lossless=True)
        await line.send(a_frame(1))
        await take(reader, 1)

        wire.swallow = True
        for seq in (2, 3, 4):
            await line.send(a_frame(seq))
        await asyncio.sleep(0.05)  # for the proxy to swallow them; that they are gone is what the rest shows
        wire.cut()

        if queue == "disk":
            assert seqs(await take(reader, 3)) == [2, 3, 4]
            assert not line.lost
        else:
            async with asyncio.timeout(10):
                await line.until_lost()
            await line.accept_boot()
            await line.send(a_frame(1, epoch=2))
            (item,) = await take(reader, 1)
            assert (item.frame.header.epoch, item.frame.header.seq) == (2, 1)
        await line.close()
        await out.close()
