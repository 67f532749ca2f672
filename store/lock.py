"""The writer's own lock: the kernel's, gone with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core.errors import Locked
from store.log import unwritable


class WriterLock:
    """``state/writer.lock``. A second writer on the same data directory is a zombie, or a mistake."""

    def __init__(self, state_directory: Path) -> None:
        self.path = state_directory / "writer.lock"
        self._handle: int | None = None

    def try_take(self) -> bool:
        """Take it if nobody has it.

        Raises:
            StoreUnavailable: E703, the file cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise unwritable(self.path.parent, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def held(self) -> Locked:
        """The error for a lock that stays taken."""
        return Locked(
            f"another writer holds `{self.path}` and did not end: stop that process, then start again",
            code="E707",
        )

    def release(self) -> None:
        """Give it back. Safe twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
