"""What the system says about itself: one typed, CloudEvents-shaped value, read by log, page and subscribers."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Level = Literal["info", "warning", "error"]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. ``type`` is ``assay.<noun>.<past verb>`` (docs/contracts.md §8)."""

    id: str
    source: str
    """Who says it: ``/sources/flights``, ``/stations/writer``."""
    type: str
    time: str
    """RFC 3339, UTC."""
    subject: str
    """What it is about, in a word: a source, a file, a table."""
    data: dict[str, Any] = {}
    """Small facts; ``message`` is one sentence for people. Never record content, never secrets."""
    level: Level = "info"
    specversion: str = "1.0"


def signal(
    kind: str, subject: str, message: str, *, source: str, level: Level = "info", **facts: Any
) -> Signal:
    """A signal of now.

    >>> signal("assay.source.started", "flights", "reading 3 files", source="/sources/flights").type
    'assay.source.started'
    """
    stamp = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Signal(
        id=uuid.uuid4().hex, source=source, type=kind, time=stamp, subject=subject,
        data={"message": message, **facts}, level=level,
    )  # fmt: skip


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Signal).decode
