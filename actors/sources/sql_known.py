"""Which rows of the look-back window have been delivered, and where the cursor stands: what a SQL source remembers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from core.errors import ConfigError, Permanent
from core.units import BadUnit, seconds

FORMAT_VERSION = 1


def digest(key: Sequence[Any], cursor: Any, row: bytes) -> bytes:
    """12 bytes of (key, cursor, row): the same row as it was has the same digest."""
    made = blake2b(msgspec.msgpack.encode([[str(part) for part in key], str(cursor)]), digest_size=12)
    made.update(row)
    return made.digest()


@dataclass(slots=True)
class Known:
    """The cursor and key of the last row passed, and the digests of delivered rows from the look-back on."""

    last: tuple[Any, ...] | None = None
    """(cursor, key …); None: nothing was read."""
    rows: dict[bytes, Any] = field(default_factory=dict)
    """digest -> cursor"""

    def encode(self) -> bytes:
        """As an attachment."""
        return msgspec.msgpack.encode(
            {"v": FORMAT_VERSION, "last": self.last, "rows": [[c, d] for d, c in self.rows.items()]}
        )

    @classmethod
    def decode(cls, data: bytes) -> Known:
        """The reverse of ``encode``."""
        held = msgspec.msgpack.decode(data)
        if held.get("v") != FORMAT_VERSION:
            raise Permanent(
                f"the list of known rows has format {held.get('v')!r}; this Assay reads {FORMAT_VERSION}",
                "E910",
            )
        last = tuple(held["last"]) if held["last"] is not None else None
        return cls(last, {bytes(d): c for c, d in held["rows"]})

    def forget_before(self, floor: Any) -> None:
        """Drop rows that are never read again."""
        if floor is not None:
            self.rows = {d: c for d, c in self.rows.items() if not below(c, floor)}


def below(one: Any, other: Any) -> bool:
    """``one < other`` in a database's order: numbers before text before bytes."""
    ranks = _rank(one), _rank(other)
    return bool(one < other) if ranks[0] == ranks[1] else ranks[0] < ranks[1]


def _rank(value: Any) -> int:
    return 1 if isinstance(value, str) else 2 if isinstance(value, bytes) else 0


def seconds_of(lookback: float | str) -> float:
    """``90`` or ``"5 minutes"``, as a number (seconds, where the cursor is an instant).

    Raises:
        ConfigError: E410.
    """
    if not isinstance(lookback, str):
        return float(lookback)
    try:
        return seconds(lookback)
    except BadUnit as error:
        raise ConfigError(f"`lookback`: {error}", "E410") from error


def earlier(cursor: Any, lookback: float) -> Any:
    """The cursor value ``lookback`` before, in the same form.

    Raises:
        ConfigError: E410 a text that is no instant has no before.

    >>> earlier(100, 5), earlier("2024-01-01 00:00:10", 20), earlier("2024-03-01", 86400)
    (95, '2023-12-31 23:59:50', '2024-02-29')
    """
    if not lookback:
        return cursor
    if isinstance(cursor, (int, float)):
        return cursor - (int(lookback) if isinstance(cursor, int) and lookback == int(lookback) else lookback)
    try:
        before = datetime.fromisoformat(cursor) - timedelta(seconds=lookback)
    except (TypeError, ValueError):
        raise ConfigError(
            "`lookback` needs a cursor column of numbers or of instants like 2024-01-31 12:00:00", "E410"
        ) from None
    if len(cursor) == 10:
        return before.date().isoformat()
    fraction = re.search(r"\.([0-9]+)", cursor)
    digits = len(fraction[1]) if fraction else 0
    zone = re.search(r"(Z|[+-][0-9]{2}:?[0-9]{2})$", cursor)
    shown = before.strftime(f"%Y-%m-%d{cursor[10]}%H:%M:%S")
    parts = f".{before.microsecond:06d}"[: digits + 1].ljust(digits + 1, "0") if digits else ""
    return shown + parts + (zone[1] if zone else "")
