"""One source as a Structured Streaming query: every micro-batch is one work, and one commit. Blocking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from bridge.engine import checkpoint
from bridge.engine.chunks import Chunks, Done
from bridge.engine.work import Kind, Work
from core.crash import crashpoint
from core.errors import AssayError, StoreUnavailable
from core.ranges import Ranges

LOOK_S = 0.2
"""How often the source is asked for more, and the query whether it lives."""


class StreamKind(Kind, Protocol):
    """A source that Structured Streaming can follow."""

    def owner(self) -> Mapping[str, Any]:
        """What the stream reads, in plain values: a checkpoint of another one is refused."""

    def stream(self, spark: Any) -> Any:
        """The streaming DataFrame, with its limits a trigger set."""

    def of_batch(self, frame: Any, batch_id: int, stored: Mapping[str, Ranges]) -> Work | None:
        """The work in one micro-batch; None: nothing of it is new.

        Args:
            stored: partition -> the ranges that are in the tables.
        """

    def failed(self, text: str) -> AssayError | None:
        """What it means that the query ended with this Java trace; None: nothing that only this source knows."""

    def pump(self) -> None:
        """Called a few times a second: look for what is new, if Spark does not look itself.

        Raises:
            SourceUnavailable: the source is away.
        """


class Stopped(Exception):
    """A micro-batch came after the end was asked for; it comes again."""


class Stream:
    """One query, from its start to its end.

    Args:
        alive: whether the JVM is there.
        finished: told of every micro-batch, with its number.
        looked: told whenever the source was asked for more.
    """

    def __init__(
        self, name: str, chunks: Chunks, source: StreamKind, *, folder: Path, trigger_s: float,
        alive: Callable[[], bool], finished: Callable[[int, Done], None], looked: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._name, self._chunks, self._source = name, chunks, source
        self._folder, self._trigger_s = folder, trigger_s
        self._alive, self._finished, self._looked = alive, finished, looked
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        """Held to look at or change ``_busy`` and ``_stopping``; told when either changes."""
        self._busy = False
        self._error: BaseException | None = None
        self._query: Any = None
        self._spark: Any = None

    def stop(self) -> None:
        """End after the micro-batch that is under way."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()

    def run(self, spark: Any) -> None:
        """Until ``stop``.

        Raises:
            ConfigError: E123, E124, the checkpoint is not this stream's, or not whole.
            StoreUnavailable: E722 the JVM died, E725 the query failed.
            AssayError: a micro-batch could not be done.
        """
        owner = {"source": self._name, **self._source.owner()}
        checkpoint.check(self._folder, owner)
        checkpoint.own(self._folder, owner)
        self._spark = spark
        try:
            self._query = (
                self._source.stream(spark).writeStream.queryName(f"assay-{self._name}")
                .option("checkpointLocation", str(self._folder))
                .trigger(processingTime=f"{max(1, round(self._trigger_s * 1000))} milliseconds")
                .foreachBatch(self._batch).start()
            )  # fmt: skip
            self._follow(self._query)
        except AssayError:
            raise
        except Exception as error:
            raise self._lost(error) from error
        finally:
            self._end()

    def _follow(self, query: Any) -> None:
        while query.isActive:
            self._source.pump()
            self._looked()
            with self._changed:
                if self._stopping.is_set() and not self._busy:
                    break
                self._changed.wait(LOOK_S)
        if query.isActive:
            self._settle(query)
            return
        error = query.exception()
        if not self._stopping.is_set() or self._error is not None:
            raise self._lost(error or RuntimeError("the query ended by itself"))

    def _settle(self, query: Any) -> None:
        """Let Spark note in its checkpoint that the last micro-batch is done."""
        end = time.monotonic() + 2.0
        while time.monotonic() < end and query.status["isTriggerActive"]:
            time.sleep(0.02)

    def _end(self) -> None:
        if self._query is not None:
            with suppress(Exception):  # a JVM that is gone has no query
                if self._query.isActive:
                    self._query.stop()

    def _batch(self, frame: Any, batch_id: int) -> None:
        """One micro-batch; Spark calls it in a thread of its own."""
        with self._changed:
            if self._stopping.is_set():
                raise Stopped
            self._busy = True
        try:
            crashpoint("stream.began")
            work = self._source.of_batch(frame, batch_id, self._chunks.coverage)
            if work is not None:
                done = self._chunks.do(self._spark, work, f"{self._query.id}/{batch_id}")
                self._finished(batch_id, done)
            crashpoint("stream.done")
        except BaseException as error:
            self._error = error
            raise
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _lost(self, error: Exception) -> AssayError:
        if isinstance(self._error, AssayError):
            return self._error
        end = time.monotonic() + 1.0
        while self._alive() and time.monotonic() < end and self._error is None:
            time.sleep(0.05)
        if not self._alive():
            return StoreUnavailable("Spark's JVM is gone; it is started again", "E722")
        return StoreUnavailable(f"the stream of `{self._name}` failed: {said(self._error or error)}", "E725")


def said(error: BaseException) -> str:
    """The line of a Java or Python trace that says most: the last cause, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "Caused by" in line or "Error" in line or "Exception" in line]
    return ([*lines[:1], *causes] or [repr(error)])[-1][:300]
