"""The registry station: knows every schema and its versions, and hears of fields that no schema knows.

Owns the ledger alone. Documents named by the configuration are loaded at start; whoever compiles a schema asks for
it here. A plain class; Ray is put around it elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from core.signals import Signal, signal
from schemas.columns import columns, name_map
from schemas.document import plain, read
from schemas.ledger import Ledger
from schemas.model import Registered
from schemas.versions import table_versions

SAYS = "/stations/registry"
Answer = TypeVar("Answer")


class Speaker(Protocol):
    """What the registry needs of its line to the bus."""

    async def say(self, signal: Signal) -> None:
        """Publish a signal."""


def _now_us() -> int:
    return time.time_ns() // 1000


class Registry:
    """Subjects and versions for all stations.

    Args:
        root: the data directory; the ledger is ``registry/ledger.sqlite`` below it.
        documents: subject -> path of the JSON Schema document that the configuration names for it.
        line: where signals go.
        now_us: UTC µs.
    """

    def __init__(
        self,
        root: Path,
        documents: Mapping[str, Path],
        line: Speaker,
        now_us: Callable[[], int] = _now_us,
    ) -> None:
        self._path = root / "registry" / "ledger.sqlite"
        self._documents = dict(documents)
        self._line = line
        self._now_us = now_us
        self._thread = ThreadPoolExecutor(1, "registry")  # one: the ledger is used by one thread at a time
        self._ledger: Ledger | None = None
        self._tables: dict[tuple[str, int], int] = {}
        self._counts = {"subjects": 0, "versions": 0, "registered": 0, "noticed": 0}

    async def start(self) -> None:
        """Open the ledger and load the documents: one that changed becomes a new version.

        Raises:
            BadSchema: E510-E512 a document cannot be read, is no JSON, or is no valid JSON Schema.
            StoreUnavailable: E791, E792 the ledger cannot be used.
        """
        self._ledger = await self._off_loop(lambda: Ledger(self._path, self._now_us))
        for subject, path in sorted(self._documents.items()):
            found = await self._off_loop(lambda s=subject, p=path: self._named(self._open.load(s, p)))  # type: ignore[misc]
            await self._tell(found, str(path))
        await self._count()

    async def get(self, subject: str, version: int | None = None) -> Registered:
        """A version of a subject, the newest by default.

        Raises:
            BadSchema: E513 there is none.
        """
        return await self._off_loop(lambda: self._named(self._open.get(subject, version)))

    async def register(self, subject: str, schema: bytes) -> Registered:
        """Store a schema; the version that has this content already, if there is one.

        Raises:
            BadSchema: E511, E512, with the JSON pointer of the place.
        """
        found = await self._off_loop(lambda: self._named(self._open.register(subject, schema)))
        await self._tell(found, "a call")
        await self._count()
        return found

    async def fix_names(self, subject: str, names: Mapping[str, str]) -> dict[str, str]:
        """Fix further column names of a subject (derived fields); those already given stay. All names."""
        return await self._off_loop(lambda: self._open.fix_names(subject, names))

    async def noticed(self, subject: str, fields: Mapping[str, str], source: str) -> None:
        """Hear of fields in arriving data that the schema does not know.

        Args:
            fields: name -> JSON type of a sample.

        Says ``assay.schema.detected`` once for what nobody told before, also across restarts.
        """
        fresh = await self._off_loop(lambda: self._open.notice(subject, fields, source))
        if not fresh:
            return
        self._counts["noticed"] += len(fresh)
        shown = ", ".join(f"`{name[:80]}` ({kind})" for name, kind in list(fresh.items())[:10])
        more = f" and {len(fresh) - 10} more" if len(fresh) > 10 else ""
        await self._line.say(
            signal(
                "assay.schema.detected", subject, f"data of `{source}` have fields that `{subject}` does not know:"
                f" {shown}{more}", source=SAYS,
                fields=[{"name": name, "type": kind} for name, kind in fresh.items()], seen_in=source,
            )
        )  # fmt: skip

    def statistics(self) -> dict[str, Any]:
        """Numbers of now; cheap, never raises."""
        state = "running" if self._ledger else "starting"
        return {"station": "registry", "kind": "registry", "state": state, "pid": os.getpid(), **self._counts}

    async def close(self) -> None:
        """Let go of the ledger. Safe twice, and after a failed ``start``."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            await self._off_loop(ledger.close)
        self._thread.shutdown(wait=False)

    @property
    def _open(self) -> Ledger:
        assert self._ledger is not None, "start() comes first"
        return self._ledger

    def _named(self, found: Registered) -> Registered:
        """The same with a column name for each of its fields; new ones are fixed now."""
        schema = plain(read(found.schema, found.word))
        if not isinstance(schema, dict):
            return found
        wanted = name_map(columns(schema, names=found.names))
        names = found.names
        if not wanted.keys() <= names.keys():
            names = self._open.fix_names(found.subject, wanted)
        return msgspec.structs.replace(found, names=names, table=self._table(found.subject, found.version))

    def _table(self, subject: str, version: int) -> int:
        """Which version of its tables holds the rows of a schema version: every version before it has a say."""
        if (subject, version) not in self._tables:
            names = self._open.names(subject)
            known = [one for one in self._open.versions(subject) if one.version <= version]
            documents = [plain(read(one.schema, subject)) for one in known]
            found = table_versions(columns(d if isinstance(d, dict) else {}, names=names) for d in documents)
            self._tables |= {(subject, one.version): table for one, table in zip(known, found, strict=True)}
        return self._tables[subject, version]

    async def _tell(self, found: Registered, origin: str) -> None:
        if not found.new:
            return
        self._counts["registered"] += 1
        await self._line.say(
            signal(
                "assay.schema.registered", found.subject, f"`{found.subject}` has version {found.version} (from"
                f" {origin})", source=SAYS, version=found.version, id=found.id,
            )
        )  # fmt: skip

    async def _count(self) -> None:
        subjects = await self._off_loop(self._open.subjects)
        self._counts["subjects"] = len(subjects)
        self._counts["versions"] = sum(one.versions for one in subjects)

    async def _off_loop(self, work: Callable[[], Answer]) -> Answer:
        """Run ``work`` in the ledger's own thread; calls queue there, also when a caller was cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
