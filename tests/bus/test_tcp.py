"""Between nodes: TCP, and only for who was given the key."""

import pytest

from core.bus_messages import Filter
from core.errors import BusLost
from core.line import Endpoint, Line
from tests.bus.builders import a_bus, a_frame, a_line, seqs, take


async def test_who_has_the_key_is_served_and_who_has_not_gets_nothing(tmp_path):
    async with a_bus(tmp_path, address="tcp://127.0.0.1:0", curve=True) as bus:
        async with a_line(bus) as line:
            reader = await line.subscribe(Filter("scored.*"), lossless=True)
            await line.send(a_frame(1))
            assert seqs(await take(reader, 1)) == [1]

        stranger = Line(Endpoint(bus.endpoint.address), "stranger")
        with pytest.raises(BusLost):
            await stranger.open(timeout_s=1.0)
        await stranger.close()
        assert bus.statistics().lines == 1


async def test_the_key_stays_the_same_over_a_restart_and_is_for_the_owner_only(tmp_path):
    keys = []
    for _ in range(2):
        async with a_bus(tmp_path, address="tcp://127.0.0.1:0", curve=True) as bus:
            keys.append(bus.endpoint.server_key)

    assert keys[0] == keys[1]
    assert (tmp_path / "bus" / "curve.json").stat().st_mode & 0o077 == 0


async def test_an_endpoint_goes_through_a_file_that_only_the_owner_reads(tmp_path):
    endpoint = Endpoint("tcp://127.0.0.1:5", b"k" * 40)

    endpoint.write(tmp_path / "bus.json")

    assert Endpoint.read(tmp_path / "bus.json") == endpoint
    assert (tmp_path / "bus.json").stat().st_mode & 0o077 == 0
