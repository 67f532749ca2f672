"""Whether a metastore service answers: one Thrift call, written by hand, again and again.

A metastore that hangs still takes connections, so only an answer counts. The call is ``getStatus`` of fb303, which
touches no database and needs no Spark: what is wrong shows within a second, while a statement would wait for minutes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

State = Literal["up", "down", "hanging"]
EVERY_S = 0.3
LIMIT_S = 0.6
"""A connection, and an answer, may take so long: with the pause an outage is seen within a second."""

_NAME = b"getStatus"
_CALL = struct.pack(f">II{len(_NAME)}sIB", 0x80010001, len(_NAME), _NAME, 0, 0)
"""Binary protocol, version 1, a call; no arguments."""
_ANSWER = struct.calcsize(f">II{len(_NAME)}sI") + struct.calcsize(">BHIB")
"""Bytes of an answer that holds one number."""

Address = tuple[str, int]


@dataclass(slots=True)
class _Open:
    """A connection that is kept from one call to the next."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    waiting: bool = False
    """It was asked and has not answered yet."""


class Probe:
    """Asks one metastore, or several that stand for each other: one that answers is enough.

    Args:
        uris: ``thrift://host:port``, several with commas between.
    """

    def __init__(self, uris: str) -> None:
        self.uris = uris
        self.state: State = "down"
        self.asked = False
        """Whether ``state`` comes from an answer, or the want of one."""
        self._open: dict[Address, _Open] = {}

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Ask until cancelled; ``changed`` hears the first state and every other one after it."""
        try:
            while True:
                await self.ask(changed)
                await asyncio.sleep(EVERY_S)
        finally:
            for kept in self._open.values():
                kept.writer.close()
            self._open.clear()

    async def ask(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Ask once."""
        found = set(await asyncio.gather(*(self._ask(one) for one in addresses(self.uris))))
        state: State = "up" if "up" in found else "hanging" if "hanging" in found else "down"
        if state != self.state or not self.asked:
            self.state, self.asked = state, True
            await changed()

    async def _ask(self, address: Address) -> State:
        kept = self._open.pop(address, None)
        if kept is not None and (state := await self._hear(address, kept)):
            return state
        # The other side closed what was kept, as a metastore that was started again has: once more.
        try:
            async with asyncio.timeout(LIMIT_S):
                reader, writer = await asyncio.open_connection(*address)
        except TimeoutError:
            return "hanging"
        except OSError:
            return "down"
        return await self._hear(address, _Open(reader, writer)) or "down"

    async def _hear(self, address: Address, line: _Open) -> State | None:
        """The answer of one connection, which is kept if it can be used again; None: it was closed."""
        said = b""
        try:
            async with asyncio.timeout(LIMIT_S):
                if not line.waiting:
                    line.writer.write(_CALL)
                said = await line.reader.read(1024)
        except TimeoutError:
            line.waiting = True
            self._open[address] = line
            return "hanging"
        except OSError:
            pass
        if len(said) == _ANSWER:
            line.waiting = False
            self._open[address] = line
        else:  # a refusal of plain calls (Kerberos) is an answer too, but ends the connection
            line.writer.close()
            with suppress(OSError):
                await line.writer.wait_closed()
        return "up" if said else None


def addresses(uris: str) -> list[Address]:
    """Hosts and ports of ``hive.metastore_uri``.

    >>> addresses("thrift://one:9083, thrift://two:9084")
    [('one', 9083), ('two', 9084)]
    """
    parts = [urlsplit(uri.strip()) for uri in uris.split(",")]
    return [(part.hostname or "", part.port or 9083) for part in parts]
