"""One run a data directory: the kernel's own lock on ``state/lock``, gone with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from core.errors import Locked, StoreUnavailable


class RunLock:
    """Holds ``<root>/state/lock`` while entered.

    Raises:
        Locked: another process holds it (E902, exit 75).
        StoreUnavailable: the directory cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "state" / "lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> RunLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StoreUnavailable(
                f"the data directory `{self._path.parent.parent}` cannot be written ({error.strerror}); make it writable"
                " or name another with --data-dir",
                "E703",
            ) from error
        if not self._taken():
            holder = _holder(self._path)
            self._file.close()
            raise Locked(
                f"another run holds `{self._path.parent.parent}` ({holder}); stop it first, or use another --data-dir"
            )
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}, self._file)
        self._file.flush()
        return self

    def _taken(self) -> bool:
        """Whether the lock is ours. ``assay status`` holds it for a moment when it looks, so ask for a while."""
        assert self._file is not None
        for _ in range(10):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()


def _holder(path: Path) -> str:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return f"process {facts['pid']} on {facts['host']}"
    except (OSError, ValueError, KeyError):
        return "an unknown process"
