"""Ray: where the stations live. With actors/handles.py the only place that knows it.

Each station is a plain class of actors/stations.py that becomes a named actor in namespace ``assay``. Restarting is
the supervisor's, not Ray's, because a restarted station must ask where to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

if not os.environ.get("RAY_ADDRESS"):
    os.environ["RAY_AUTH_MODE"] = "token"  # read when ray is imported, so before that

import ray
from ray.exceptions import (
    ActorAlreadyExistsError,
    ActorDiedError,
    ActorUnavailableError,
    RayActorError,
    RayTaskError,
)

from actors.plan import Plan
from actors.stations import (
    BridgeStation,
    BusStation,
    ConnectorStation,
    RegistryStation,
    SupervisorStation,
    WriterStation,
)
from actors.supervisor import Died
from core.errors import AssayError, ConfigError

NAMESPACE = "assay"
NAME_FREE_S = 60.0
"""How long the name of a dead actor may stay taken."""
CORES = max(2, os.cpu_count() or 2)
AT_ONCE = 4
"""Processes that come up side by side: bus, writer, registry and the first source."""
CHECKOUT = Path(__file__).resolve().parent.parent
STATIONS: dict[str, type] = {
    "bus": BusStation, "registry": RegistryStation, "writer": WriterStation, "bridge": BridgeStation,
}  # fmt: skip


def in_cluster() -> bool:
    """Whether a running Ray was given: by ``ray job submit`` or by ``RAY_ADDRESS``."""
    return bool(os.environ.get("RAY_ADDRESS"))


def connect(*, insecure: bool = False) -> None:
    """Join the given Ray, or start a private one that ends with this process.

    Raises:
        ConfigError: a given cluster without token authentication, unless ``insecure``.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": False,
    }
    if in_cluster():
        mode = os.environ.get("RAY_AUTH_MODE", "")
        if mode.lower() != "token" and not insecure:
            raise ConfigError(
                "the running Ray has no token authentication (`RAY_AUTH_MODE` is not `token`): whoever reaches it can run"
                " code on it; start it with RAY_AUTH_MODE=token, or pass `--insecure-ray`",
                "E120",
            )
        ray.init(address="auto", **quiet)
        return
    paths = [str(CHECKOUT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    ray.init(address="local", include_dashboard=False, num_cpus=CORES, object_store_memory=80 << 20, **quiet)


def disconnect() -> None:
    """Leave Ray; a private one ends."""
    ray.shutdown()


class Actor:
    """A station that runs as a Ray actor."""

    def __init__(self, name: str, handle: Any, pid: int) -> None:
        self.name = name
        self.pid = pid
        self._handle = handle
        self._run = handle.run.remote()

    async def finished(self) -> Any:
        return await translated(self.name, self._run)

    async def call(self, method: str, *args: Any) -> Any:
        return await translated(self.name, getattr(self._handle, method).remote(*args))

    def kill(self) -> None:
        ray.kill(self._handle)


async def translated(name: str, reference: Awaitable[Any]) -> Any:
    """The value of a Ray reference; Ray's own exceptions as ``Died`` or as the AssayError they carry."""
    try:
        return await reference
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, AssayError):
            raise cause from None
        raise AssayError(f"`{name}` failed: {cause!r}", "E900") from error
    except (RayActorError, ActorDiedError, ActorUnavailableError) as error:
        raise Died(f"the process of `{name}` ended ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    for line in str(error).splitlines():
        if "Worker" in line or "killed" in line or "exit" in line:
            return line.strip()[:160]
    return type(error).__name__


class RaySpawner:
    """Puts stations on Ray, those that touch the data directory on the node that holds it."""

    def __init__(self, plan: Plan, begun: Mapping[str, Any]) -> None:
        self._plan = plan
        self._begun = dict(begun)
        self._cores = asyncio.Semaphore(CORES)

    def begin(self, stations: Iterable[str]) -> None:
        """Let the processes of these come up side by side; ``start`` then waits for one of them.

        Only the first ``AT_ONCE`` of them, as many as a first record needs: all at once, each is late.
        """
        for station in islice(stations, AT_ONCE):
            if station not in self._begun:
                with contextlib.suppress(
                    ActorAlreadyExistsError
                ):  # an earlier life; `start` waits for its end
                    self._begun[station] = make(self._plan, station)

    async def start(self, station: str) -> Actor:
        handle = self._begun.pop(station, None)
        if handle is not None:
            return await ready(station, handle)
        # What sources and the bridge wait for never waits for them.
        async with (
            self._cores if station not in STATIONS or station == "bridge" else contextlib.nullcontext()
        ):
            return await ready(station, await _named(lambda: make(self._plan, station)))


def make(plan: Plan, station: str) -> Any:
    """The handle of a new station."""
    kind, _, source = station.partition(":")
    if kind == "connector":
        return create(station, ConnectorStation, plan, source)
    return create(station, STATIONS[kind], plan)


def create(name: str, cls: type, *args: Any) -> Any:
    """The handle of a new named actor on this node; its process comes up by itself."""
    here = ray.get_runtime_context().get_node_id()
    options = {"name": name, "namespace": NAMESPACE, "num_cpus": 0, "max_concurrency": 64}
    return ray.remote(cls).options(**options, label_selector={"ray.io/node-id": here}).remote(*args)


async def ready(name: str, handle: Any) -> Actor:
    """The actor, once it can be used.

    Raises:
        Died, AssayError: it did not get ready.
    """
    pid = await translated(name, handle.ready.remote())
    return Actor(name, handle, pid)


async def _named(make: Callable[[], Any]) -> Any:
    """What ``make`` creates, once the name is free of an earlier life (of which no handle may be kept here)."""
    end = time.monotonic() + NAME_FREE_S
    while True:
        try:
            return make()
        except ActorAlreadyExistsError as taken:
            if time.monotonic() > end:
                raise Died(f"its earlier life did not end within {NAME_FREE_S:.0f} s: {taken}") from taken
        await asyncio.sleep(0.05)


class Run:
    """The driver's hold on a run: the supervisor actor, started again should it die."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._actor: Actor | None = None
        self._begun: dict[str, Any] = {}
        self._stopped = False
        self.restarts = 0

    def begin(self) -> None:
        """Let the processes of the first stations come up beside the supervisor's, which takes them over.

        A process costs most of a second; the supervisor's own would else go before all others.
        """
        first = islice(("bus", "writer", "registry", *self._plan.connectors), AT_ONCE)
        for station in first:
            with contextlib.suppress(
                ActorAlreadyExistsError
            ):  # an earlier life; the supervisor waits for its end
                self._begun[station] = make(self._plan, station)

    async def run(self, *, on_death: Callable[[str], None]) -> dict[str, Any]:
        """Until the supervisor says that the run is over. Its death takes the stations along; all begin again."""
        while True:
            self._actor = await self._supervisor()
            if self._stopped:
                await self._actor.call("stop")
            try:
                result: dict[str, Any] = await self._actor.finished()
                return result
            except Died as death:
                if self._stopped:
                    raise AssayError(f"the supervisor died while stopping: {death}", "E907") from death
                self.restarts += 1
                self._actor = None  # the name stays taken for as long as a handle is kept here
                await asyncio.to_thread(self._sweep)
                on_death(str(death))

    async def _supervisor(self) -> Actor:
        begun, self._begun = self._begun, {}
        made = await _named(lambda: create("supervisor", SupervisorStation, self._plan, begun))
        return await ready("supervisor", made)

    def _sweep(self) -> None:
        """End what a dead supervisor left: the stations that were begun here do not die with it."""
        for station in ("bus", "registry", "writer", "bridge", *self._plan.connectors):
            with contextlib.suppress(ValueError):  # gone already
                ray.kill(ray.get_actor(station, NAMESPACE))

    async def stop(self) -> None:
        """End in order."""
        self._stopped = True
        if self._actor:
            await self._actor.call("stop")
