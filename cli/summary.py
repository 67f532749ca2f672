"""``--summary FILE``: JSON lines of a run's progress; the last object is the status document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.redact import redact_value


class Summary:
    """Writes status documents to a file, at most one every ``every_s`` seconds, and the last one always.

    Raises:
        ConfigError: E120 on construction, when the file cannot be written.
    """

    def __init__(self, path: Path, *, every_s: float = 5.0) -> None:
        self._every_s = every_s
        self._next = float("-inf")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"`--summary {path}` cannot be written: {error.strerror}", "E120") from None

    def update(self, status: Mapping[str, Any], now: float) -> None:
        """Note progress."""
        if now >= self._next:
            self._next = now + self._every_s
            self._write(status)

    def close(self, status: Mapping[str, Any]) -> None:
        """Write the last document."""
        self._write(status)
        self._file.close()

    def _write(self, status: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(redact_value(dict(status)), ensure_ascii=False) + "\n")
        self._file.flush()
