"""Files as a stream: plans of splits are small files that Spark's file source follows.

A plan is written once there is room: what Spark has not taken up yet never weighs more than a trigger's limit. So one
micro-batch is at most that large, however much waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from bridge.engine.files import FileKind
from bridge.engine.splits import Split
from bridge.engine.work import Trouble, Work
from core.batch import Resume
from core.errors import StoreUnavailable
from core.ports import SourceStatistics
from core.ranges import Ranges
from store.staged import StagedPart

PLANS_A_TRIGGER = 1000


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan."""

    plan: int
    """Rises from plan to plan."""
    at: int
    split: Split


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Planned).decode


class FileStream:
    """See ``bridge.engine.stream.StreamKind`` and ``bridge.engine.work.Kind``. Safe in threads.

    Args:
        folder: where plans are kept: ``<root>/state/spark/streams/<source>``.
        limit_bytes: of one trigger.
    """

    def __init__(self, kind: FileKind, folder: Path, limit_bytes: int) -> None:
        self._kind, self._folder, self._limit = kind, folder / "splits", limit_bytes
        self._lock = threading.RLock()
        self._untaken: dict[int, int] = {}
        """Plan -> bytes, of those that no micro-batch has had yet."""

    def owner(self) -> Mapping[str, Any]:
        """See ``StreamKind``."""
        return {"type": "file", "splits": str(self._folder)}

    def stream(self, spark: Any) -> Any:
        """See ``StreamKind``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        reader = spark.readStream.format("text").option("maxFilesPerTrigger", PLANS_A_TRIGGER)
        return reader.option("cleanSource", "delete").load(str(self._folder))

    def failed(self, text: str) -> None:
        """See ``StreamKind``."""

    def pump(self) -> None:
        """Plan what is new, as far as there is room."""
        with self._lock:
            room = self._limit - sum(self._untaken.values())
            splits = self._kind.splits(room) if room > 0 else []
            if splits:
                self._write(splits)

    def of_batch(self, frame: Any, batch_id: int, stored: Mapping[str, Ranges]) -> Work | None:
        """See ``StreamKind``: what of the splits is not stored, and is still of the files as they are."""
        lines = [row[0] for row in frame.collect()]
        with self._lock:
            splits = self._fresh(lines, stored)
            return self._kind.work(splits) if splits else None

    def _fresh(self, lines: Sequence[str], stored: Mapping[str, Ranges]) -> list[Split]:
        planned: list[Planned] = []
        for line in lines:
            with suppress(
                msgspec.DecodeError, UnicodeEncodeError
            ):  # half a plan of a dead process: planned again
                planned.append(_decode(line.encode()))
        covered: dict[str, Ranges] = {}
        found = []
        for one in sorted(planned, key=lambda one: (one.plan, one.at)):
            self._untaken.pop(one.plan, None)
            partition = one.split.partition
            known = covered.setdefault(partition, stored.get(partition, Ranges()).copy())
            split = one.split.without(known)
            if split is not None and self._kind.holds(split):
                found.append(split)
                known.update(split.gaps)
        return found

    def _write(self, splits: Sequence[Split]) -> None:
        plan = time.time_ns()
        text = b"\n".join(_encode(Planned(plan=plan, at=at, split=one)) for at, one in enumerate(splits))
        beside = self._folder / f".{plan}.tmp"
        try:
            beside.write_bytes(text + b"\n")
            beside.replace(self._folder / f"{plan}.splits")
        except OSError as error:
            raise StoreUnavailable(
                f"`{self._folder}` takes no writes ({error.strerror}): free space or give write permission",
                "E703",
            ) from error
        self._untaken[plan] = sum(split.weight for split in splits)

    # --- the kind behind it ---------------------------------------------------------------------------------------

    def restore(self, resume: Resume) -> None:
        """See ``Kind``."""
        with self._lock:
            self._kind.restore(resume)

    def plan(self, limit_bytes: int) -> Work | None:
        """See ``Kind``."""
        with self._lock:
            return self._kind.plan(limit_bytes)

    def settle(
        self, work: Work, troubles: Sequence[Trouble], parts: Sequence[StagedPart]
    ) -> list[StagedPart]:
        """See ``Kind``."""
        with self._lock:
            return self._kind.settle(work, troubles, parts)

    def committed(self, work: Work, parts: Sequence[StagedPart]) -> None:
        """See ``Kind``."""
        with self._lock:
            self._kind.committed(work, parts)

    def statistics(self) -> SourceStatistics:
        """See ``Kind``."""
        with self._lock:
            return self._kind.statistics()

    def close(self) -> None:
        """See ``Kind``."""
        with self._lock:
            self._kind.close()
