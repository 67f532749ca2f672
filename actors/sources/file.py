"""Files by glob: CSV, JSON lines, Parquet; read once, wherever reading stopped, and watched for more.

What has been read is a set of ranges per file (its coverage); reading goes on at what is missing of it. The mark only
says which file that was. See docs/sources.md.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from actors.sources.catalogue import Catalogue, KnownFile, open_inside
from actors.sources.chunk import Chunk, Reader
from actors.sources.formats import make_reader, refuse_encoding
from actors.sources.reading import batch_of, nothing_of, quarantine
from config.models import FileSettings
from core.batch import Batch, Mark, Resume
from core.errors import BadFile, SourceUnavailable
from core.ports import SourceStatistics
from core.signals import Signal, signal
from core.span import Span


class FileSource:
    """See ``core.ports.Source``. One thread of its own reads; the loop never waits for a disk."""

    def __init__(
        self,
        name: str,
        settings: FileSettings,
        *,
        follow: bool,
        span: Span | None,
        fields: Mapping[str, frozenset[str]],
        say: Callable[[Signal], None],
    ) -> None:
        self._name, self._settings, self._follow, self._fields = name, settings, follow, fields
        self._tell = say
        self._catalogue = Catalogue(settings.path, settings.root, self._say)
        self._ready: deque[KnownFile] = deque()
        self._files: list[KnownFile] = []
        self._opened: tuple[KnownFile, int, Reader] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._pending: asyncio.Future[Batch | None] | None = None
        self._scanned_at = 0.0
        self._signals: deque[Signal] = deque()
        self._said: set[tuple[str, str]] = set()
        self._numbers = SourceStatistics()

    # --- the contract ---------------------------------------------------------------------------------------------

    async def open(self, resume: Resume) -> None:
        """Look for files. A glob without a match is E201 in batch, a warning when following."""
        refuse_encoding(self._settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"source-{self._name}")
        self._catalogue.restore(resume)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._scan)
        self._speak()
        if not self._files:
            if not self._follow:
                raise SourceUnavailable(self._without_files(), "E201")
            self._say("assay.source.waiting", self._name, self._without_files(), level="warning")
            self._speak()

    async def read(self) -> Batch | None:
        """See ``core.ports.Source``; every file in turn, by path."""
        while True:
            if self._thread is None:
                raise SourceUnavailable(f"source `{self._name}` is not open", "E200")
            if self._pending is None:
                self._pending = asyncio.get_running_loop().run_in_executor(self._thread, self._next)
            pending = self._pending
            await asyncio.wait([pending])  # cancelled here, the batch stays pending
            self._pending = None
            self._speak()
            batch = pending.result()
            if batch is not None or not self._follow:
                return batch
            due = self._scanned_at + self._settings.poll_interval_s - time.monotonic()
            await asyncio.sleep(max(0.01, due))

    async def ack(self, marks: Mapping[str, Mark]) -> None:
        """Nothing to do: files stay where they are."""

    async def close(self) -> None:
        """Waits for the block that is being read."""
        thread, self._thread = self._thread, None
        pending, self._pending = self._pending, None
        if pending is not None:
            await asyncio.wait([pending])
            if not pending.cancelled():
                pending.exception()
        if thread is not None:
            thread.shutdown()
        self._let_go()

    def statistics(self) -> SourceStatistics:
        """As of the last batch or scan."""
        return self._numbers

    # --- in the thread --------------------------------------------------------------------------------------------

    def _next(self) -> Batch | None:
        """The next batch of any file; None if there is nothing now."""
        if time.monotonic() - self._scanned_at >= self._settings.poll_interval_s:
            self._scan()
        for attempt in range(2):
            while self._ready:
                batch = self._from(self._ready[0])
                if batch is not None:
                    self._count()
                    return batch
                self._ready.popleft()
            if not attempt and not self._follow:
                self._scan()
        self._let_go()
        self._count()
        return None

    def _scan(self) -> None:
        now = self._scanned_at = time.monotonic()
        try:
            self._files = self._catalogue.scan(now)
        except OSError as error:
            raise SourceUnavailable(
                f"`{self._settings.path}` cannot be listed: {error.strerror}", "E200"
            ) from error
        self._ready = deque(
            known for known in self._files if not known.refused and self._has_more(known, now)
        )
        self._count()

    def _has_more(self, known: KnownFile, now: float) -> bool:
        if known.size == 0:
            if self._is_settled(known):
                self._once("assay.file.empty", known.file, f"`{known.file}` is empty")
            return False
        return not known.is_read or known.changed_at == now

    def _from(self, known: KnownFile) -> Batch | None:
        """The next batch of one file; None if there is nothing (more) in it now."""
        if known.refused:
            return None
        try:
            _, fd, reader = self._reader_of(known)
            size = os.fstat(fd).st_size
            known.limit = reader.limit(size)
            gap = next(known.covered.complement(0, known.limit), None)
            if gap is None:
                return None
            whole = gap[1] < known.limit or self._is_settled(known)
            chunk = reader.take(gap[0], gap[1], final=whole)
        except FileNotFoundError:
            self._once(
                "assay.file.vanished",
                known.file,
                f"`{known.file}` was gone before it could be read",
                level="warning",
            )
            return None
        except BadFile as error:
            return self._refuse(known, error)
        except OSError as error:
            raise SourceUnavailable(f"`{known.file}` cannot be read now: {error.strerror}", "E208") from error
        return None if chunk is None else self._batch(known, chunk, fd, reader, size)

    def _batch(self, known: KnownFile, chunk: Chunk, fd: int, reader: Reader, size: int) -> Batch:
        batch = batch_of(known, chunk, fd, reader, size)
        if not len(chunk.ordinals) and chunk.cover == (0, known.limit):
            self._once("assay.file.empty", known.file, f"`{known.file}` has no records")
        return batch

    def _refuse(self, known: KnownFile, error: BadFile) -> Batch | None:
        """Be done with a file, or with the rest of it: quarantined with its reason, other files go on."""
        if error.code in _MAY_MEND and not self._is_settled(known):
            return None  # perhaps it is still being written
        covers, note = quarantine(known, error, known.covered)
        known.covered.update(covers)
        return nothing_of(known, covers, note)

    def _reader_of(self, known: KnownFile) -> tuple[KnownFile, int, Reader]:
        if self._opened is None or self._opened[0] is not known:
            self._let_go()
            fd = open_inside(known, self._catalogue.root)
            try:
                reader = make_reader(fd, known, self._settings, self._fields)
            except BaseException:
                os.close(fd)
                raise
            self._opened = (known, fd, reader)
        return self._opened

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[2].close()
            os.close(opened[1])

    def _is_settled(self, known: KnownFile) -> bool:
        """Whether what stands at the end of a file is all there will be of it."""
        return not self._follow or time.monotonic() - known.changed_at >= self._settings.settle_s

    # --- what it says ---------------------------------------------------------------------------------------------

    def _count(self) -> None:
        done = sum(known.is_read for known in self._files)
        unread = [known.noticed_at for known in self._ready]
        self._numbers = SourceStatistics(
            lag_seconds=time.monotonic() - min(unread) if unread else 0.0,
            bytes_read=sum(_bytes_read(known) for known in self._files),
            bytes_total=sum(known.size for known in self._files),
            partitions=len(self._catalogue),
            detail=f"{done} of {len(self._files)} files",
            waiting=self._without_files() if not self._files and self._follow else None,
        )

    def _without_files(self) -> str:
        words = f"`{self._settings.path}` matches no file (looked from `{Path.cwd()}`); check the path"
        return words + "; waiting for one" if self._follow else words

    def _say(self, kind: str, subject: str, message: str, **facts: Any) -> None:
        self._signals.append(signal(kind, subject, message, source=f"/sources/{self._name}", **facts))

    def _speak(self) -> None:
        """Pass on, on the loop, what the thread had to say."""
        while self._signals:
            self._tell(self._signals.popleft())

    def _once(self, kind: str, subject: str, message: str, **facts: Any) -> None:
        if (kind, subject) not in self._said:
            self._said.add((kind, subject))
            self._say(kind, subject, message, **facts)


_MAY_MEND = frozenset({"E214", "E215", "E216"})
"""Refusals that a file still being written may look like."""


def _bytes_read(known: KnownFile) -> int:
    if not known.limit:
        return min(known.covered.total, known.size)
    return known.size * min(known.covered.total, known.limit) // known.limit
