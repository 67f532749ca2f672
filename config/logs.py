"""Logging as ``config/logging_config.yml`` says: lines for people or JSON for machines, secrets masked in both."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from config import yaml_text
from config.faults import ConfigErrors
from core.errors import ConfigError
from core.redact import redact, redact_value

Format = Literal["text", "json"]
DEFAULT = Path(__file__).with_name("logging_config.yml")
_FACTS = ("event", "source", "batch_id")


class Redact(logging.Filter):
    """Masks secrets in a record's message, facts and traceback before any handler writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; always keep it."""
        if getattr(record, "redacted", False):
            return True
        record.msg, record.args = redact(record.getMessage()), None
        for fact in _FACTS:
            if hasattr(record, fact):
                setattr(record, fact, redact_value(getattr(record, fact)))
        if record.exc_info and record.exc_info[1]:
            record.exc_text = redact("".join(traceback.format_exception(record.exc_info[1])).rstrip())
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        record.redacted = True
        return True


class TextLines(logging.Formatter):
    """``2026-11-22T10:00:00.000Z INFO assay.driver flights: 3 files``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """RFC 3339, UTC, milliseconds."""
        return _instant(record)


class JsonLines(logging.Formatter):
    """One object a line: ts, level, logger, event, source, batch_id, message (and error)."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        line: dict[str, Any] = {
            "ts": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line |= {fact: getattr(record, fact, None) for fact in _FACTS}
        line["message"] = record.getMessage()
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line["error"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


_beside: list[Path] = []
"""Where ``logs/`` lies, once it is known."""


def folder() -> Path:
    """``logs/`` beside the data directory; in the working directory before that is known."""
    return (_beside[-1] if _beside else Path()) / "logs"


def configure(document: Path | None = None, form: Format = "text", root: Path | None = None) -> None:
    """Set logging up, in this process, for the whole process.

    Args:
        document: a dictConfig document; Assay's own when None.
        root: the data directory. Relative file names are relative to what it lies in, and made where they are missing;
            None: it is not known yet, and no file is written.

    Raises:
        ConfigError: the document cannot be used.
    """
    path = document or DEFAULT
    settings = yaml_text.read(path)
    if settings.faults:
        raise ConfigErrors(settings.faults)
    data = settings.data
    for name, handler in dict(data.get("handlers", {})).items():
        if "formatter" in handler and form in data.get("formatters", {}):
            handler["formatter"] = form
        if "filename" in handler:
            data["handlers"][name] = _placed(handler, root)
    if root is not None:
        _beside[:] = [_around(root)]
    try:
        logging.config.dictConfig(data)
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        cause = error.__cause__ or error
        raise ConfigError(f"the logging document `{path}` cannot be used: {error}: {cause}", "E149") from None


def _around(root: Path) -> Path:
    """The directory that holds the data directory: relative where ``root`` is, so that messages read short."""
    return root.parent if root.name not in {"", ".."} else root.resolve().parent


def _placed(handler: dict[str, Any], root: Path | None) -> dict[str, Any]:
    if root is None:
        return _nowhere(handler)
    path = _around(root) / handler["filename"]
    return {**handler, "filename": str(path)} if _writable(path) else _nowhere(handler)


def _writable(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path if path.exists() else path.parent, os.W_OK)


def _nowhere(handler: dict[str, Any]) -> dict[str, Any]:
    """In a directory one may only read, `status` must still work: what would go to the file is not written."""
    kept: dict[str, Any] = {key: handler[key] for key in ("level", "filters") if key in handler}
    return {"class": "logging.NullHandler", **kept}


def _instant(record: logging.LogRecord) -> str:
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
