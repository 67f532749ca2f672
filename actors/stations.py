"""The stations as they run: each one puts its parts together, lives, and ends. Plain classes; Ray is put around them.

Every station has ``ready`` (its pid, once it can be used), ``run`` (until it is over), ``stop`` and ``statistics``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from actors.plan import Plan
from actors.reading import Progress, ReadRequest
from actors.report import report
from config.secrets import remember_secrets
from core.bus_messages import Filter
from core.errors import AssayError, StoreUnavailable
from core.lean import without_pandas
from core.line import Endpoint, Line
from core.ports import Attachment, Settled
from core.redact import remember
from core.signals import Signal
from schemas.columns import Column, columns
from schemas.model import Registered
from store.staged import StagedCommit

log = logging.getLogger("assay.stations")
PATIENCE_S = 15
"""How long a batch run waits for a store that refuses."""


class Station:
    """What all stations share: the plan, the working directory, a line."""

    def __init__(self, name: str, plan: Plan) -> None:
        os.chdir(plan.cwd)
        remember(*plan.secrets)
        remember_secrets(plan.config)
        keep_log()
        self.name = name
        self.plan = plan
        self.line = Line(Endpoint(address=plan.bus_address), name)
        self._over = asyncio.Event()

    async def stop(self) -> None:
        """End ``run``."""
        self._over.set()

    def statistics(self) -> dict[str, Any]:
        """The last ``stats`` message of this station."""
        return {"station": self.name, "kind": self.name, "state": "running", "pid": os.getpid()}


class BusStation(Station):
    """The event manager."""

    def __init__(self, plan: Plan) -> None:
        import actors.bus  # noqa: F401 - while other stations get ready: a process's start is mostly imports

        super().__init__("bus", plan)
        self._bus: Any = None

    async def ready(self) -> int:
        """Bound; the address is in ``state/bus.json`` for subscribers in other processes."""
        from actors.bus import Bus
        from core.units import size_bytes

        settings = self.plan.config.bus
        folder = self.plan.root / "state" / "bus"
        self._bus = Bus(self.plan.bus_address, settings.queue, folder, size_bytes(settings.backlog))
        endpoint = await self._bus.start()
        path = self.plan.root / "state" / "bus.json"
        await asyncio.to_thread(endpoint.write, path)
        await self.line.open()
        return os.getpid()

    async def run(self) -> None:
        """Until stopped."""
        reporting = asyncio.create_task(report(self.line, self.statistics))
        serving = asyncio.create_task(self._bus.run())
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({over, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
        finally:
            for task in (reporting, over, serving):
                task.cancel()
            await self.line.close()
            await self._bus.close()

    def endpoint(self) -> Endpoint | None:
        """Where it listens."""
        endpoint: Endpoint | None = self._bus.endpoint
        return endpoint

    def statistics(self) -> dict[str, Any]:
        """See ``Station``."""
        numbers = msgspec.to_builtins(self._bus.statistics())
        return {**super().statistics(), **numbers}


class RegistryStation(Station):
    """Schemas and their versions."""

    def __init__(self, plan: Plan) -> None:
        from actors.registry import Registry

        super().__init__("registry", plan)
        used = {plan.config.sources[name].dataset for name in plan.sources}
        datasets = plan.config.datasets
        documents = {name: Path(str(datasets[name].schema_)) for name in used}
        self._registry = Registry(plan.root, documents, self.line)

    async def ready(self) -> int:
        """Every document is loaded."""
        await self.line.open()
        await self._registry.start()
        return os.getpid()

    async def run(self) -> None:
        """Until stopped."""
        reporting = asyncio.create_task(report(self.line, self.statistics))
        await self._over.wait()
        reporting.cancel()
        await self._registry.close()
        await self.line.close()

    async def get(self, subject: str, version: int | None = None) -> Registered:
        """See ``Registry.get``."""
        return await self._registry.get(subject, version)

    async def noticed(self, subject: str, fields: dict[str, str], source: str) -> None:
        """See ``Registry.noticed``."""
        await self._registry.noticed(subject, fields, source)

    def statistics(self) -> dict[str, Any]:
        """See ``Station``."""
        return self._registry.statistics()


class WriterStation(Station):
    """The one writer of the data directory."""

    def __init__(self, plan: Plan) -> None:
        without_pandas()
        import actors.writer  # noqa: F401 - see BusStation
        from actors.handles import RegistryHandle

        super().__init__("writer", plan)
        self._registry = RegistryHandle()
        self._plans: dict[str, list[Column]] = {}
        self._frames: Any = None
        self._writer: Any = None
        self._up = asyncio.Event()

    async def ready(self) -> int:
        """The log is recovered and frames are taken."""
        from actors.writer import Writer

        plan = self.plan
        self._writer = Writer(
            plan.root, plan.config.storage, plan.config.writer, mode=plan.mode, plan=self._columns, line=self.line
        )  # fmt: skip
        await self._writer.start()
        await self.line.open()
        # Before any source can send: a frame that nobody subscribed to is gone, and its source would wait for ever.
        self._frames = await self.line.subscribe(
            Filter("scored.*"),
            name="writer",
            durable=True,
            by_hand=True,
            credit_bytes=64 << 20,
            credit_frames=4096,
        )
        self._up.set()
        return os.getpid()

    async def run(self) -> None:
        """Until stopped. Raises what keeps the writer from writing."""
        reporting = asyncio.create_task(report(self.line, self.statistics))
        over = asyncio.create_task(self._over.wait())
        jobs = (self._take(), self._writer.failure(), self._give_up())
        working: list[asyncio.Task[Any]] = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.wait({over, *working}, return_when=asyncio.FIRST_COMPLETED)
            for work in working:
                if work.done():
                    await work
            await self._writer.drain()
        finally:
            for task in (reporting, over, *working):
                task.cancel()
            await self._writer.close()
            await self.line.close()

    async def _take(self) -> None:
        async for delivery in self._frames:
            frame = delivery.frame
            header = frame.header
            if header.schema not in self._plans:
                self._plans[header.schema] = await self._fetch(header.schema)
            await self._writer.take(frame)
            self._frames.done(delivery)

    async def _give_up(self) -> None:
        """Batch mode: end when warehouse and fallback have refused for so long; an event run waits for ever."""
        refused_s = 0
        while self.plan.follow or refused_s < PATIENCE_S:
            await asyncio.sleep(1)
            refused_s = refused_s + 1 if self._writer.statistics()["state"] == "refused" else 0
        error = self._writer.statistics()["last_error"]
        raise StoreUnavailable(error["message"], error["code"])

    async def _fetch(self, schema: str) -> list[Column]:
        subject, _, version = schema.rpartition(":")
        while True:
            with contextlib.suppress(AssayError):
                found = await self._registry.get(subject, int(version))
                return plan_of(found, self.plan.config.datasets[subject].derive)
            await asyncio.sleep(0.2)

    def _columns(self, dataset: str, schema: str) -> list[Column]:
        return self._plans[schema]

    async def attach(self, source: str) -> Attachment:
        """See ``core.ports.WriterDesk``. Asked before the log is recovered, it waits for that."""
        await self._up.wait()
        attachment: Attachment = await self._writer.attach(source)
        return attachment

    async def reserve(self, source: str, epoch: int) -> int:
        """See ``actors.writer.Writer``."""
        await self._up.wait()
        number: int = await self._writer.reserve(source, epoch)
        return number

    async def commit_staged(self, number: int, source: str, epoch: int, staged: StagedCommit) -> Settled:
        """See ``actors.writer.Writer``."""
        await self._up.wait()
        settled: Settled = await self._writer.commit_staged(number, source, epoch, staged)
        return settled

    async def release(self, number: int) -> None:
        """See ``actors.writer.Writer``."""
        await self._up.wait()
        await self._writer.release(number)

    async def drain(self) -> dict[str, Any]:
        """Commit what is held and look at the files once more.

        Returns:
            The statistics, and ``settled``: source -> its committed counts, less what is missing on disk.
        """
        await self._writer.drain()
        settled = await self._writer.audited()
        return {
            **self.statistics(),
            "settled": {source: counts.as_dict() for source, counts in settled.items()},
        }

    def statistics(self) -> dict[str, Any]:
        """See ``Station``."""
        return {**super().statistics(), **self._writer.statistics()}


class BridgeStation(Station):
    """Hive, by way of Spark."""

    def __init__(self, plan: Plan) -> None:
        without_pandas()
        import actors.bridge  # noqa: F401 - see BusStation
        from actors.handles import RegistryHandle

        super().__init__("bridge", plan)
        self._registry = RegistryHandle()
        self._bridge: Any = None
        self._engine: Any = None
        self._follower: Any = None
        self._found: dict[str, tuple[Registered, list[Column]]] = {}

    async def ready(self) -> int:
        """It knows the tables' columns; Spark starts beside."""
        from actors.aggregates import Follower, aggregate_plan, definitions_of
        from actors.bridge import Bridge
        from actors.engine import Engine
        from actors.handles import WriterHandle
        from actors.tables import table_plan, versions_of
        from quality.spec import JudgeSpec

        definitions = []
        working = bool(self.plan.by_spark)
        self._bridge = Bridge(self.plan.root, self.plan.config, self.line, {}, working=working)
        await self.line.open()
        for dataset in sorted({self.plan.config.sources[name].dataset for name in self.plan.sources}):
            found = await self._registry.get(dataset)
            settings = self.plan.config.datasets[dataset]
            rules = JudgeSpec.from_mapping(settings.model_dump(by_alias=True)).version
            made = tuple(plan_of(found, settings.derive))
            self._found[dataset] = (found, list(made))
            versions = [plan_of(one, settings.derive) for one in await versions_of(self._registry, found)]
            sources = {name: one for name, one in self.plan.config.sources.items() if one.dataset == dataset}
            self._bridge.learn(table_plan(found.word, rules, versions, sources))
            for definition in definitions_of(dataset, settings.aggregates, made):
                definitions.append(definition)
                self._bridge.learn(aggregate_plan(definition, found.word, rules))
        storage = self.plan.config.storage
        from store.layout import Layout  # Arrow

        layout = Layout.of(self.plan.root, storage.warehouse, storage.fallback)
        self._follower = Follower(layout, definitions, self.line, self._bridge.published)
        await self._bridge.start()
        self._engine = Engine(self.plan, self.line, WriterHandle(), self._bridge, self._found.__getitem__)
        return os.getpid()

    async def run(self) -> None:
        """Until stopped."""
        working = {asyncio.create_task(self._bridge.run())}
        over = asyncio.create_task(self._over.wait())
        reporting = None
        if self._follower.definitions:
            working.add(asyncio.create_task(self._follower.run()))
            reporting = asyncio.create_task(report(self.line, self._aggregates))
        await asyncio.wait({*working, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        for work in working:
            if work.done():
                await work
        if reporting:
            reporting.cancel()
        await self._follower.close()
        if self._engine:
            await self._engine.close()
        await self._bridge.close()
        await self.line.close()

    async def drain(self, timeout_s: float) -> dict[str, Any]:
        """Bring aggregates up to date and register what waits, for so long at most; the statistics after that."""
        end = time.monotonic() + timeout_s
        await asyncio.gather(self._follower.drain(timeout_s), self._bridge.drain(timeout_s))
        await self._bridge.drain(max(0.0, end - time.monotonic()))  # days of aggregates came last
        return self.statistics()

    async def begin(self, request: ReadRequest) -> None:
        """See ``actors.engine.Engine``."""
        await self._engine.begin(request)

    async def look(self, source: str, epoch: int) -> Progress:
        """See ``actors.engine.Engine``."""
        progress: Progress = self._engine.look(source, epoch)
        return progress

    async def finish(self, source: str, epoch: int) -> None:
        """See ``actors.engine.Engine``."""
        self._engine.finish(source, epoch)

    def statistics(self) -> dict[str, Any]:
        """See ``Station``."""
        kept = {"aggregates": self._follower.statistics()} if self._follower.definitions else {}
        return {**super().statistics(), **self._bridge.statistics(), **kept}

    def _aggregates(self) -> dict[str, Any]:
        body = {"station": "aggregates", "kind": "aggregates", "pid": os.getpid()}
        return {**body, "aggregates": self._follower.statistics()}


class ConnectorStation(Station):
    """One source."""

    def __init__(self, plan: Plan, source: str) -> None:
        without_pandas()
        import actors.connector  # see BusStation
        import actors.sources.table  # noqa: F401
        import quality  # noqa: F401

        super().__init__(f"connector:{source}", plan)
        self._source = source
        self._connector: Any = None
        self._settled: Any = None

    async def ready(self) -> int:
        """The judge is compiled and the writer's words can be heard."""
        from actors.connector import Connector, Job
        from actors.handles import BridgeHandle, RegistryHandle, WriterHandle
        from actors.novelty import Novelty
        from quality import compile_judge
        from quality.spec import JudgeSpec

        plan, facts = self.plan, self.plan.facts(self._source)
        settings, dataset = plan.config.sources[self._source], plan.config.datasets[facts.dataset]
        registry = RegistryHandle()
        await self.line.open()
        registered = await registry.get(facts.dataset)
        judge = compile_judge(registered.schema, JudgeSpec.from_mapping(dataset.model_dump(by_alias=True)))
        self._settled = await self.line.subscribe(Filter(f"settled.{self._source}"), keep=1000)
        job = Job(
            facts=facts, mode="batch" if plan.mode == "batch" else "event", follow=plan.follow, schema=registered.word, rate_limit=settings.rate_limit,
            span=plan.span, whole_batches=facts.type == "sql",
        )  # fmt: skip
        if self._source in plan.by_spark:
            from actors.spark_connector import SparkConnector

            self._connector = SparkConnector(
                job, line=self.line, settlements=settlements(self._settled), desk=WriterHandle(), engine=BridgeHandle(),
                novelty=Novelty(facts.dataset, self._source, registry), kernel=judge.kernel,
            )  # fmt: skip
            return os.getpid()
        self._connector = Connector(
            job, lambda: self._make(settings, registered), judge, line=self.line,
            settlements=settlements(self._settled), desk=WriterHandle(),
            novelty=Novelty(facts.dataset, self._source, registry),
        )  # fmt: skip
        return os.getpid()

    async def run(self) -> dict[str, Any]:
        """Until drained or stopped; the final statistics."""
        try:
            result: dict[str, Any] = await self._connector.run()
            return result
        finally:
            await self.line.close()

    async def stop(self) -> None:
        """Read no more, wait for what was sent."""
        if self._connector:
            self._connector.stop()

    def statistics(self) -> dict[str, Any]:
        """See ``Station``."""
        numbers: dict[str, Any] = self._connector.statistics()
        return numbers

    def _make(self, settings: Any, registered: Registered) -> Any:
        from actors.sources.table import make

        loop = asyncio.get_running_loop()

        def say(signal: Signal) -> None:
            loop.call_soon_threadsafe(lambda: loop.create_task(self.line.say(signal)))

        fields = types_of(json.loads(registered.schema))
        return make(
            self._source, settings, follow=self.plan.follow, span=self.plan.span, fields=fields, say=say
        )


class SupervisorStation(Station):
    """Keeps all the others."""

    def __init__(self, plan: Plan, begun: Mapping[str, Any]) -> None:
        from actors.supervisor import Supervisor
        from actors.topology import RaySpawner

        super().__init__("supervisor", plan)
        self._supervisor = Supervisor(plan, RaySpawner(plan, begun), self.line)

    async def ready(self) -> int:
        """At once; the bus is not there yet."""
        return os.getpid()

    async def run(self) -> dict[str, Any]:
        """Until the run is over."""
        opening = asyncio.create_task(self.line.open(timeout_s=1e9))
        await asyncio.sleep(0)
        try:
            return await self._supervisor.run()
        finally:
            opening.cancel()
            await self.line.close()

    async def stop(self) -> None:
        """End the run in order."""
        self._supervisor.stop()

    def statistics(self) -> dict[str, Any]:
        """See ``Station``."""
        return self._supervisor.statistics()


def keep_log() -> None:
    """Log lines of this process go to its own stderr, which Ray keeps and its dashboard shows; secrets masked."""
    from config.logs import Redact

    handler = logging.StreamHandler()
    handler.addFilter(Redact())
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        handlers=[handler],
        force=True,
    )


async def settlements(subscription: Any) -> AsyncIterator[Settled]:
    """The writer's words as they come."""
    decode = msgspec.msgpack.Decoder(Settled).decode
    async for delivery in subscription:
        yield decode(delivery.body)


def plan_of(found: Registered, derive: Mapping[str, str]) -> list[Column]:
    """The typed columns of a registered schema, derived ones last."""
    made = columns(json.loads(found.schema), derived={name: {} for name in derive}, names=found.names)
    return [replace(column, table=found.table) for column in made]


def types_of(schema: Any) -> dict[str, frozenset[str]]:
    """Property -> the JSON types its schema allows; an empty set where it says nothing."""
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    found = {}
    for name, property_ in properties.items():
        types = property_.get("type", []) if isinstance(property_, dict) else []
        found[name] = frozenset([types] if isinstance(types, str) else types)
    return found
