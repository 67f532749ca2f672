"""The follower that tells lineage: it reads the commit log by a cursor of its own, in the driver, which knows how runs begin and end.

Nothing waits for it. `state/lineage.json` holds the cursor and the runs whose end is not told yet; an event is sent,
then the cursor moves. So after a kill an event may come twice, and then it is the same one: its run's id is stored
before the first event, and its time is that of the commit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.lineage_events import Event, Events, run_of
from actors.lineage_sink import Refused, Sink, sink_of
from config.models import Config
from core.errors import AssayError, StoreUnavailable
from core.retry import backoff
from store.layout import Layout
from store.lineage import numbers_of
from store.log import CommitLog

LOOK_S = 1.0
"""How often to look at the log."""
END_S = 5.0
"""The end of a run waits so long for what is not told yet; the next run tells the rest."""
FORGOTTEN = "the process ended without a word"
log = logging.getLogger("assay.lineage")


class Outcome(msgspec.Struct, kw_only=True):
    """How a run ended."""

    kind: str
    """COMPLETE, FAIL or ABORT"""
    at_us: int
    errors: dict[str, str]
    """Station -> what ended it; the sources' own ones are `connector:<source>`."""
    upto: int
    """The last commit of the run."""


class RunNote(msgspec.Struct, kw_only=True):
    """A run whose end is not told yet."""

    id: str
    sources: list[str]
    began_us: int
    begun: int = 0
    """How many of its START events are told."""
    ended: int = 0
    """How many of its last events are told."""
    outcome: Outcome | None = None


class Progress(msgspec.Struct, kw_only=True):
    """What `state/lineage.json` holds."""

    v: int = 1
    cursor: int
    """The last commit that is told whole."""
    told: int = 0
    """Events told of the next commit."""
    runs: list[RunNote] = []


class LineageFollower:
    """Tells one data directory's lineage.

    Life: ``begin`` once, ``run`` in a task, ``end`` once. All blocking work is done in threads, one at a time.
    """

    def __init__(self, config: Config, root: Path, sink: Sink | None = None) -> None:
        layout = Layout.of(root, config.storage.warehouse, config.storage.fallback)
        self._layout = layout
        self._log = CommitLog(layout.root)
        self._path = layout.state / "lineage.json"
        self._events = Events(config, layout)
        self._sink = sink or sink_of(config.lineage, layout.root)
        self._progress = Progress(cursor=0)
        self._turn = threading.Lock()
        self._tip = 0
        self._state = "up"
        self._refused = 0
        self._error: AssayError | None = None

    def begin(self, sources: Sequence[str], now_us: int) -> None:
        """Note a new run, and that one before it which said no end has failed.

        Raises:
            StoreUnavailable: E752, the state file cannot be read or written.
        """
        whole = self._log.whole()
        self._progress = self._load() or Progress(cursor=whole)
        for run in self._progress.runs:
            if run.outcome is None:
                run.outcome = Outcome(kind="FAIL", at_us=now_us, errors={"driver": FORGOTTEN}, upto=whole)
        run = RunNote(id=str(uuid.uuid4()), sources=list(sources), began_us=now_us)
        self._progress.runs.append(run)
        self._tip = whole
        self._store()

    async def run(self) -> None:
        """Follow until cancelled; what goes wrong is said once and tried again."""
        waits = backoff(0.5, 15.0)
        while True:
            try:
                await asyncio.to_thread(self.step)
                waits = backoff(0.5, 15.0)
                await asyncio.sleep(LOOK_S)
            except AssayError as error:
                self._lost(error)
                await asyncio.sleep(next(waits))

    async def end(self, errors: Mapping[str, str], now_us: int, *, aborted: bool = False) -> None:
        """Note how the run ended, and tell what is not told yet, for ``END_S`` at most."""
        kind = "FAIL" if errors else "ABORT" if aborted else "COMPLETE"
        try:
            await asyncio.to_thread(self._note_end, kind, dict(errors), now_us)
            async with asyncio.timeout(END_S):
                await asyncio.to_thread(self.step, time.monotonic() + END_S)
        except (AssayError, TimeoutError) as error:
            self._lost(
                error if isinstance(error, AssayError) else StoreUnavailable("lineage is slow", "E750")
            )

    def step(self, until: float | None = None) -> None:
        """Tell all that can be told now, or as much as can be until this time of the monotonic clock.

        Raises:
            StoreUnavailable: E750 the place takes no events, E752 the state cannot be stored.
        """
        with self._turn:
            while self._progress.runs and (until is None or time.monotonic() < until):
                if not self._advance(self._progress.runs[0]):
                    break
            self._state, self._error = "up", None

    def statistics(self) -> dict[str, Any]:
        """For ``stores`` of the status document; ``waiting`` are commits."""
        return {
            "station": "lineage", "kind": "lineage", "state": self._state,
            "waiting": max(0, self._tip - self._progress.cursor), "refused": self._refused,
        }  # fmt: skip

    # --- one run

    def _advance(self, run: RunNote) -> bool:
        """Tell the next thing of ``run``. False: there is nothing more now."""
        starts = [None, *run.sources]
        if run.begun < len(starts):
            self._send(self._events.run("START", run.id, run.began_us, starts[run.begun]))
            run.begun += 1
            self._store()
            return True
        self._tip = self._log.whole()
        limit = run.outcome.upto if run.outcome else self._tip
        if self._progress.cursor < limit and self._tell_commit(run):
            return True
        if run.outcome is None:
            return False
        endings = list(self._endings(run, run.outcome))
        if run.ended < len(endings):
            self._send(endings[run.ended])
            run.ended += 1
        else:
            self._progress.runs.pop(0)
        self._store()
        return True

    def _tell_commit(self, run: RunNote) -> bool:
        """Tell the next commit; False when none is there that no hole keeps back."""
        found = self._log.after(self._progress.cursor, limit=1)
        if not found:
            return False
        manifest = found[0]
        told = numbers_of(manifest, self._layout)
        for number, (source, numbers) in enumerate(sorted(told.items())):
            if number >= self._progress.told:
                self._send(self._events.commit(run.id, manifest.at_us, source, numbers))
                self._progress.told = number + 1
        self._progress.cursor, self._progress.told = manifest.commit, 0
        self._store()
        return True

    def _endings(self, run: RunNote, outcome: Outcome) -> Iterator[Event]:
        """The last events of a run: its sources, each as it ended, then the run."""
        whole = "; ".join(f"{name}: {why}" for name, why in sorted(outcome.errors.items())) or None
        others = not all(name.startswith("connector:") for name in outcome.errors)
        for source in run.sources:
            own = outcome.errors.get(f"connector:{source}") or (whole if others else None)
            kind = "FAIL" if own else "COMPLETE" if outcome.kind == "FAIL" else outcome.kind
            yield self._events.run(kind, run.id, outcome.at_us, source, own)
        yield self._events.run(outcome.kind, run.id, outcome.at_us, None, whole)

    def _send(self, event: Event) -> None:
        try:
            self._sink.send(msgspec.json.encode(event))
        except Refused as error:  # the same event never will be taken; those after it may be
            self._refused += 1
            log.error("%s; it is left out", error)

    def _lost(self, error: AssayError) -> None:
        if self._error is None or self._error.message != error.message:
            log.warning("%s", error)
        self._state, self._error = "down", error

    def _note_end(self, kind: str, errors: dict[str, str], now_us: int) -> None:
        with self._turn:
            self._tip = self._log.whole()
            outcome = Outcome(kind=kind, at_us=now_us, errors=errors, upto=self._tip)
            self._progress.runs[-1].outcome = outcome
            self._store()

    # --- the state file

    def _load(self) -> Progress | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise StoreUnavailable(
                f"`{self._path}` cannot be read ({error}): remove it, and lineage goes on with the next commit",
                "E752",
            ) from error

    def _store(self) -> None:
        beside = self._path.with_name(f".{self._path.name}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(self._progress))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise StoreUnavailable(
                f"`{self._path}` cannot be written ({error.strerror or error}): free space or mend its rights",
                "E752",
            ) from error


__all__ = ["LineageFollower", "run_of"]
