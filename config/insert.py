"""``${ENV}``, ``${ENV:-default}`` and ``${file:path}`` in a value; ``$${`` stands for a plain ``${``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from config.places import Path
from config.yaml_text import BROKEN, Document
from core import redact

_INSERT = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LITERALS = {"true": True, "false": False, "null": None}
_LARGEST = 65_536


class Inserter:
    """Fills in the values of one document, notes faults at their place, and remembers what is secret.

    ``inserted`` afterwards holds the paths whose value did not stand in the file itself.
    """

    def __init__(self, document: Document, env: Mapping[str, str]) -> None:
        self._document = document
        self._env = env
        self.inserted: set[Path] = set()

    def fill(self, value: Any, path: Path = ()) -> Any:
        """A copy of ``value`` with everything inserted; ``BROKEN`` where that failed."""
        if isinstance(value, dict):
            return {key: self.fill(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item, (*path, number)) for number, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, path)
        return value

    def _text(self, text: str, path: Path) -> Any:
        parts: list[str] = []
        start = 0
        for found in _INSERT.finditer(text):
            part = self._part(found, path)
            if part is None:
                return BROKEN
            parts += [text[start : found.start()], part]
            start = found.end()
        whole = "".join(parts) + text[start:]
        redact.remember_url(whole)
        if whole in _LITERALS and path in self._document.plain and text.startswith("${"):
            return _LITERALS[whole]
        return whole

    def _part(self, found: re.Match[str], path: Path) -> str | None:
        if found[0] == "$${":
            return "${"
        inside = found[1]
        if inside is not None and inside.startswith("file:"):
            return self._file(inside.removeprefix("file:").strip(), path)
        name, default_mark, default = (inside or "").partition(":-")
        if not _NAME.fullmatch(name):
            self._fault(
                path, "`${…}` needs a variable's name, `NAME:-default` or `file:PATH`, and a closing brace"
            )
            return None
        if self._env.get(name):
            self._note(path, self._env[name], secret=redact.looks_secret(name))
            return self._env[name]
        if default_mark:
            return default
        if name in self._env:
            self._fault(
                path, f"the variable `{name}` is empty; give it a value or write `${{{name}:-default}}`"
            )
        else:
            self._fault(path, f"the variable `{name}` is not set; set it or write `${{{name}:-default}}`")
        return None

    def _file(self, name: str, path: Path) -> str | None:
        try:
            with FilePath(name).expanduser().open("rb") as file:
                raw = file.read(_LARGEST + 1)
            if len(raw) > _LARGEST:
                raise ValueError("is larger than 64 KiB")
            text = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            self._fault(path, f"the file `{name}` of `${{file:…}}` is not UTF-8")
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self._fault(path, f"the file `{name}` of `${{file:…}}` cannot be read: {reason}")
            return None
        self._note(path, text, secret=True)
        return text

    def _note(self, path: Path, value: str, *, secret: bool) -> None:
        self.inserted.add(path)
        if secret or any(isinstance(step, str) and redact.looks_secret(step) for step in path):
            redact.remember(value)

    def _fault(self, path: Path, message: str) -> None:
        self._document.fault(self._document.places.at(*path), "E109", message)
