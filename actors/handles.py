"""Ray handles by name, behind the ports that stations speak to."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from actors.reading import Progress, ReadRequest
from core.errors import AssayError, StoreUnavailable
from core.ports import Attachment, Settled
from store.staged import StagedCommit

NAMESPACE = "assay"


class Desk:
    """Control calls to a named station, whichever life of it is running.

    Raises (every call):
        StoreUnavailable: it is not there now; call again.
    """

    def __init__(self, station: str) -> None:
        self._station = station
        self._handle: Any = None

    async def call(self, method: str, *args: Any) -> Any:
        """Call ``method`` of the station."""
        if self._handle is not None:
            try:
                return await self._ask(method, *args)
            except StoreUnavailable:
                self._handle = None  # that life is over; perhaps the next one is there already
        return await self._ask(method, *args)

    async def _ask(self, method: str, *args: Any) -> Any:
        try:
            if self._handle is None:
                self._handle = await asyncio.to_thread(ray.get_actor, self._station, NAMESPACE)
            return await getattr(self._handle, method).remote(*args)
        except RayTaskError as error:
            if isinstance(error.cause, AssayError):
                raise error.cause from None
            # Whatever went wrong there (it may be ending just now): for the caller it is a station that is away.
            raise StoreUnavailable(f"`{self._station}` could not answer: {error.cause!r}", "E905") from error
        except (RayActorError, ValueError) as error:
            self._handle = None
            raise StoreUnavailable(f"`{self._station}` is not there now", "E905") from error


class WriterHandle(Desk):
    """``core.ports.WriterDesk`` over Ray."""

    def __init__(self) -> None:
        super().__init__("writer")

    async def attach(self, source: str) -> Attachment:
        answer: Attachment = await self.call("attach", source)
        return answer

    async def reserve(self, source: str, epoch: int) -> int:
        """See ``actors.writer.Writer.reserve``."""
        number: int = await self.call("reserve", source, epoch)
        return number

    async def commit_staged(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Settled:
        """See ``actors.writer.Writer.commit_staged``."""
        settled: Settled = await self.call("commit_staged", number, source, epoch, staged)
        return settled

    async def release(self, number: int) -> None:
        """See ``actors.writer.Writer.release``."""
        await self.call("release", number)


class RegistryHandle(Desk):
    """What stations ask of and tell the registry."""

    def __init__(self) -> None:
        super().__init__("registry")

    async def get(self, subject: str, version: int | None = None) -> Any:
        """The registered schema of ``subject``, the newest one by default."""
        return await self.call("get", subject, version)

    async def noticed(self, subject: str, fields: dict[str, str], source: str) -> None:
        """Unknown fields in arriving data."""
        await self.call("noticed", subject, fields, source)


class BridgeHandle(Desk):
    """``actors.spark_connector.EngineDesk`` over Ray."""

    def __init__(self) -> None:
        super().__init__("bridge")

    async def begin(self, request: ReadRequest) -> None:
        """See ``actors.engine.Engine``."""
        await self.call("begin", request)

    async def look(self, source: str, epoch: int) -> Progress:
        """See ``actors.engine.Engine``."""
        progress: Progress = await self.call("look", source, epoch)
        return progress

    async def finish(self, source: str, epoch: int) -> None:
        """See ``actors.engine.Engine``."""
        await self.call("finish", source, epoch)


async def bus_endpoint() -> Any:
    """Where the bus of this cluster listens, for a subscriber in another job."""
    return await Desk("bus").call("endpoint")
