"""The bridge: follows the commit log and tells Hive, so that what is committed can be queried.

It starts beside the pipeline and never holds it up: while Spark is starting, or Spark or the metastore is down, hangs
or is absent, commits go on as files in the tables' own layout, and are registered later. The metastore itself says how
far it got. A metastore service is asked by a probe of its own whether it answers, so that an outage shows at once, costs
no session, and ends within seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from bridge.ddl import Day, TablePlan
from bridge.hive import Tables
from bridge.java import Java, find_java
from bridge.jvm import lower_priority
from bridge.probe import Probe
from bridge.session import Session
from bridge.settings import warehouse_of
from config.models import Config
from core.errors import AssayError, StoreUnavailable
from core.ports import Bus
from core.retry import backoff
from core.signals import Level, signal
from store.layout import Layout
from store.log import CommitLog, write_synced

T = TypeVar("T")

LOOK_S = 0.25
"""How often to look at the log and at the JVM when nobody pokes."""
PACE_S = 0.5
"""Rounds of registering begin at least so far apart, so that waiting commits share one."""
BATCH = 500
"""Commits registered in one round, at most."""
DESCRIBE_S = 30.0
"""Statistics of tables that have grown are told so often, and at the end of a batch."""
AWAY_S = 20.0
"""The end of a batch waits so long for a metastore that does not answer."""
TRIES = 30
"""Failures in a row, about a second apart, that the probe cannot explain, before the session itself is suspected."""
UNANSWERED = {
    "down": "nobody answers at the Hive metastore `{uris}`: start it, or mend `hive.metastore_uri`",
    "hanging": "the Hive metastore `{uris}` takes connections but does not answer: look at it and at its database",
}


class Bridge:
    """One data directory's tables in Hive.

    Life: ``start``, then ``run`` in a task of its own, ``drain`` at a batch's end, ``close``.

    Args:
        root: the data directory.
        config: whole.
        line: where signals and statistics go.
        plans: dataset -> what its tables are made from.
        working: Spark reads and judges records in the same session: it is started even where Hive is off.
    """

    def __init__(
        self, root: Path, config: Config, line: Bus, plans: Mapping[str, TablePlan], *, working: bool = False
    ) -> None:
        self._root = root
        self._config = config
        self._line = line
        self._plans = dict(plans)
        self._working = working
        self._log = CommitLog(root)
        self._cursor_file = root / "state" / "bridge.json"
        self._thread = ThreadPoolExecutor(1, "spark", initializer=None if working else lower_priority)
        self._session: Session | None = None
        self._launched = asyncio.Event()
        self._probe = Probe(config.hive.metastore_uri) if config.hive.metastore_uri else None
        self._answers = asyncio.Event()
        self._state = "starting"
        self._restarts = 0
        self._last_error: dict[str, str] | None = None
        self._away_since: float | None = None
        self._cursor = 0
        self._tip = 0
        self._poked = asyncio.Event()
        self._hurry = asyncio.Event()
        self._replan = False
        self._published: dict[str, set[Day]] = {}
        self._unsure = False
        self._touched: set[tuple[str, Day]] = set()
        self._described = -DESCRIBE_S
        self._faults: dict[str, StoreUnavailable] = {}
        self._run: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read where it stood. Costs a directory listing; Spark is started by ``run``."""
        self._cursor = await asyncio.to_thread(read_cursor, self._cursor_file)
        self._tip = await asyncio.to_thread(self._log.last)

    async def run(self) -> None:
        """Register commits until ``close``."""
        self._run = asyncio.current_task()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._report())
            tasks.create_task(self._keep())
            if self._probe and self._config.hive.enabled is not False:
                tasks.create_task(self._probe.run(self._heard))

    @property
    def spark_is_up(self) -> bool:
        """Whether ``spark`` answers at once."""
        return self._launched.is_set()

    async def spark(self) -> Session:
        """The session that runs, as soon as there is one. Its death shows as E722 in whatever is asked of it."""
        while not (self._session and self._launched.is_set()):
            await self._launched.wait()
        return self._session

    def poke(self) -> None:
        """There may be a new commit."""
        self._poked.set()

    def learn(self, plan: TablePlan) -> None:
        """A dataset is new or has a new schema version: its tables follow before the next commit is registered."""
        self._plans[plan.dataset] = plan
        self._replan = True
        self._poked.set()

    def published(self, table: str, days: set[Day]) -> None:
        """Days of an aggregate have files: they are registered soon. What is forgotten here, its directory says."""
        self._published.setdefault(table, set()).update(days)
        self._poked.set()

    async def drain(self, timeout_s: float) -> int:
        """Wait until every commit of now can be queried.

        Returns:
            How many commits still wait after ``timeout_s``; 0 where Hive is off.
        """
        target = await asyncio.to_thread(self._log.last)
        self._hurry.set()
        end = time.monotonic() + timeout_s
        while (
            self._state != "off" and (self._cursor < target or self._published)
            and time.monotonic() < end and not self._given_up()
        ):  # fmt: skip
            self._poked.set()
            await asyncio.sleep(0.05)
        self._hurry.clear()
        return 0 if self._state == "off" else max(0, target - self._cursor)

    def _given_up(self) -> bool:
        if self._probe is None or self._probe.state == "up" or self._away_since is None:
            return False
        return time.monotonic() > self._away_since + AWAY_S

    async def close(self) -> None:
        """End the session and its JVM. Safe twice."""
        if self._run is not None and not self._run.done():
            self._run.cancel()
            await asyncio.wait([self._run])
        await self._stop()
        await asyncio.to_thread(self._thread.shutdown)
        await self._stop()  # a start that was under way is over now

    def statistics(self) -> dict[str, Any]:
        """State, commits that wait, the JVM, how often it was started again."""
        session = self._session
        jvm = {"pid": session.pid, "state": self._state} if session and session.pid else None
        return {
            "state": self._state, "waiting": self._waiting, "registered": self._cursor, "jvm": jvm,
            "restarts": self._restarts, "last_error": self._last_error or self._complaint,
        }  # fmt: skip

    @property
    def _waiting(self) -> int:
        return 0 if self._state == "off" else max(0, self._tip - self._cursor)

    async def _keep(self) -> None:
        """A session, and another one when it is lost."""
        java = await self._java()
        if java is None:
            return
        waits = backoff(0.5, 15.0)
        while True:
            try:
                session = await self._launch(java)
                waits = backoff(0.5, 15.0)
                await self._serve(session)
            except (StoreUnavailable, OSError) as error:
                await self._lost(error)
            finally:
                self._launched.clear()
                await self._stop()
            await asyncio.sleep(next(waits))
            self._restarts += 1

    async def _java(self) -> Java | None:
        """Which Java; None, said once, where Hive is off and nothing else needs Spark."""
        switched_off = self._config.hive.enabled is False
        found = await asyncio.to_thread(find_java) if self._working or not switched_off else ""
        if isinstance(found, Java) and not switched_off:
            return found
        self._state = "off"
        level: Level = "warning" if self._config.hive.enabled is True else "info"
        why = "`hive.enabled` is false" if switched_off else found
        await self._say("assay.store.off", f"Hive is off: {why}; files are written all the same", level)
        return found if isinstance(found, Java) else None

    async def _launch(self, java: Java) -> Session:
        """Start a session.

        Raises:
            StoreUnavailable: it did not start.
        """
        session = self._session = Session(self._root, self._config, java, working=self._working)
        await self._in_spark(session.start)
        self._launched.set()
        return session

    async def _serve(self, session: Session) -> None:
        """Follow the log while the JVM lives: an outage of a metastore service is waited for, and costs no session.

        Raises:
            StoreUnavailable: the JVM is lost, or an embedded metastore; or a service that fails in ways the probe cannot see.
        """
        tables: Tables | None = None
        failed = 0
        while True:
            await self._answering(session)
            registered = self._cursor
            try:
                if tables is None:
                    tables = await self._open(session)
                await self._follow(session, tables)
            except StoreUnavailable as error:
                if error.code == "E729" and session.alive:  # somebody has to decide
                    await self._lost(error)
                    await asyncio.sleep(15)
                    continue
                if error.code != "E723" or self._probe is None or not session.alive or failed > TRIES:
                    raise
                self._replan = self._replan or tables is not None
                self._unsure = True
                await self._lost(error)
                await self._probe.ask(self._heard)
                failed = failed + 1 if self._probe.state == "up" and self._cursor == registered else 0
                await asyncio.sleep(min(1.0, 0.05 * 2**failed))

    async def _answering(self, session: Session) -> None:
        """Wait until the metastore answers; for ever where Hive is off.

        Raises:
            StoreUnavailable: E722 the JVM is gone meanwhile.
        """
        while self._state == "off" or (self._probe and self._probe.state != "up"):
            await _first_of(self._answers, LOOK_S)
            if self._state == "off":
                await asyncio.sleep(LOOK_S)
            if not session.alive:
                raise StoreUnavailable("Spark's JVM is gone; it is started again", "E722")

    async def _heard(self) -> None:
        """The probe has news: what does not answer is shown at once, whatever a statement under way still hopes."""
        probe = self._probe
        if probe is None:
            return
        if probe.state == "up":
            self._answers.set()
            return
        self._answers.clear()
        await self._lost(
            StoreUnavailable(UNANSWERED[probe.state].format(uris=probe.uris), "E723"), probe.state
        )

    async def _open(self, session: Session) -> Tables:
        """Open the metastore and bring the tables up to date.

        Raises:
            StoreUnavailable: it does not answer.
        """
        began = time.monotonic()
        await self._in_spark(session.open)
        storage = self._config.storage
        fallback = Layout.of(self._root, None, storage.fallback).fallback
        tables = Tables(session, self._config.hive.database, warehouse_of(self._root, self._config), fallback)
        faults = await self._in_spark(tables.prepare, list(self._plans.values()))
        self._faults.clear()
        self._replan = False
        await self._move(tables.visible)
        stored = await asyncio.to_thread(self._log.state)
        await self._in_spark(tables.count_stored, stored.files)
        faults += await asyncio.to_thread(tables.strangers, tables.days)
        await self._found(session, took_s=round(time.monotonic() - began, 1))
        await self._tell(faults)
        return tables

    async def _follow(self, session: Session, tables: Tables) -> None:
        """Register what comes.

        Raises:
            StoreUnavailable: the JVM or the metastore is lost.
        """
        while True:
            await self._answering(session)
            began = time.monotonic()
            if self._replan:
                self._replan = False
                for plan in list(self._plans.values()):
                    await self._tell(await self._in_spark(tables.plan, plan))
            await self._register_days(tables)
            manifests = await asyncio.to_thread(self._log.after, self._cursor, BATCH)
            if manifests:
                visible = await self._in_spark(tables.register, manifests)
                self._touched |= tables.days_of(manifests)
                await self._describe(tables)
                await self._move(visible)
            elif tables.away:
                await self._in_spark(tables.come_home)
            elif self._unsure:
                await self._in_spark(tables.confirm)
                self._unsure = False
            if self._probe is None or self._probe.state == "up":
                await self._found(session)
            await self._wait(PACE_S - (time.monotonic() - began) if manifests else 0)
            if not session.alive:
                raise StoreUnavailable("Spark's JVM is gone; it is started again", "E722")

    async def _describe(self, tables: Tables) -> None:
        """Now and then, and at the end of a batch: how large tables are, and what lies in them that is not Assay's."""
        if not self._hurry.is_set() and time.monotonic() < self._described + DESCRIBE_S:
            return
        self._described = time.monotonic()
        await self._in_spark(tables.describe)
        touched, self._touched = self._touched, set()
        await self._tell(await asyncio.to_thread(tables.strangers, touched))

    async def _register_days(self, tables: Tables) -> None:
        for table, days in list(self._published.items()):
            taken = set(days)
            await self._in_spark(tables.add_days, table, taken)
            self._published[table] -= taken
        self._published = {table: days for table, days in self._published.items() if days}

    async def _wait(self, pace_s: float) -> None:
        """Keep the pace unless a drain is asked; then until poked or ``LOOK_S`` is over."""
        if pace_s > 0:
            await _first_of(self._hurry, pace_s)
        await _first_of(self._poked, LOOK_S)
        self._poked.clear()

    async def _move(self, commit: int) -> None:
        if commit != self._cursor:
            self._cursor = commit
            await asyncio.to_thread(write_cursor, self._cursor_file, commit)

    async def _lost(self, error: StoreUnavailable | OSError, state: str = "down") -> None:
        """Hive does not answer: said once an outage; ``state`` and the reason may change while it lasts."""
        code = error.code if isinstance(error, AssayError) else "E721"
        text = str(error) if isinstance(error, AssayError) else f"{code} Spark could not be started: {error}"
        if self._state == "off":
            return
        first = self._state not in {"down", "hanging"}
        self._state, self._last_error = state, {"code": code, "message": text}
        if first:
            self._away_since = time.monotonic()
            await self._say(
                "assay.store.down", f"{text}; commits go on as files", "warning", code=code, state=state
            )

    async def _found(self, session: Session, **facts: Any) -> None:
        """Hive answers; said where it did not before."""
        if self._state == "up":
            return
        if self._away_since is not None:
            facts["away_s"] = round(time.monotonic() - self._away_since, 1)
        self._state, self._last_error, self._away_since = "up", None, None
        await self._say(
            "assay.store.up", f"Hive is up, {self._waiting} commits wait", pid=session.pid, **facts
        )

    async def _tell(self, faults: list[StoreUnavailable]) -> None:
        """Say what a table suffers from: once for each, as long as it lasts."""
        for fault in faults:
            if str(fault) not in self._faults:
                await self._say("assay.store.refused", str(fault), "warning", code=fault.code)
            self._faults[str(fault)] = fault

    @property
    def _complaint(self) -> dict[str, str] | None:
        """The newest fault that is still there: a foreign file that was moved away is none any more."""
        for text, fault in list(self._faults.items()):
            if "path" in fault.facts and not Path(fault.facts["path"]).exists():
                del self._faults[text]
        newest = next(reversed(self._faults.values()), None)
        return {"code": newest.code, "message": str(newest)} if newest else None

    async def _stop(self) -> None:
        if self._session is not None:
            await asyncio.to_thread(self._session.stop)

    async def _in_spark(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _report(self) -> None:
        """Say how things are, twice a second."""
        while True:
            self._tip = await asyncio.to_thread(self._newest, max(self._tip, self._cursor))
            body = {"station": "bridge", "kind": "bridge", "pid": os.getpid(), **self.statistics()}
            await self._line.post("stats", json.dumps(body).encode())
            await asyncio.sleep(0.5)

    def _newest(self, known: int) -> int:
        while self._log.path(known + 1).exists():
            known += 1
        return known

    async def _say(self, kind: str, message: str, level: Level = "info", **facts: Any) -> None:
        await self._line.say(signal(kind, "hive", message, source="/stations/bridge", level=level, **facts))


async def _first_of(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):  # wait_for may swallow a cancellation in 3.11
            await event.wait()


def read_cursor(path: Path) -> int:
    """The newest registered commit as last noted; 0 if nothing (readable) is. The metastore knows it for sure."""
    try:
        return int(json.loads(path.read_bytes())["registered"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def write_cursor(path: Path, commit: int) -> None:
    """Note the newest registered commit, in one step and durably.

    Raises:
        OSError: the directory takes no writes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    write_synced(temporary, json.dumps({"v": 1, "registered": commit}).encode())
    temporary.replace(path)
