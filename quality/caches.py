"""Texts found good before: most fields repeat themselves, and a look-up costs a tenth of a test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from quality.moments import datetime_us, day_us, moment_us, time_us

ROOM = 4096
"""Texts kept per field; a field with more different ones is tested each time."""
LONG_NUMBER = re.compile(rb"[0-9.eE+-]{16}|[0-9][eE]-[0-9]{3}").search
"""Finds numbers that a double may have rounded (and some other texts, which only costs time)."""


def quotes_in(line: bytes) -> int:
    r"""Quotes of a well-formed document that are not escaped: two for every key, two for every text.

    >>> quotes_in(b'{"a": "x\\\\", "b" : "say \\"hi"}')
    8
    """
    return line.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"')


def unless_plain(texts: Sequence[bytes]) -> Callable[[bytes], Any]:
    """``LONG_NUMBER`` for lines that hold none of ``texts`` (key and number as they usually stand)."""

    def rounded(line: bytes) -> Any:
        for text in texts:
            if text in line:
                return False
        return LONG_NUMBER(line)

    return rounded


def remembering(test: Callable[[str], Any], known: set[str]) -> Callable[[str], bool]:
    """``test``, which also notes what it found good while there is room."""

    def once(text: str) -> bool:
        if not test(text):
            return False
        if len(known) < ROOM:
            known.add(text)
        return True

    return once


class Stamps:
    """RFC 3339 stamps split as ``2013-01-01T05:00`` and ``:30.5Z``: both halves repeat, together they rarely do."""

    __slots__ = ("heads", "tails")

    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        self.tails: dict[str, int] = {}

    def learn(self, text: str) -> int | None:
        """µs since 1970, or None where the text is no ``date-time`` or lies outside the years 1 to 9999."""
        value = datetime_us(text)
        if value is None or moment_us(text) is None:
            return None
        if text[17:19] != "60" and "0001" < text[:4] < "9999":
            if len(self.heads) > 100_000 or len(self.tails) > 100_000:
                self.heads.clear()
                self.tails.clear()
            minute = (day_us(text[:10]) or 0) + (time_us(text[11:16] + ":00Z") or 0)
            self.heads[text[:16]] = minute
            self.tails[text[16:]] = value - minute
        return value


class Moments(dict[str, "int | None"]):
    """Whole texts as the tolerant reading of ``event_time`` takes them."""

    def __missing__(self, text: str) -> int | None:
        value = moment_us(text)
        if len(self) >= ROOM * 4:
            self.clear()
        self[text] = value
        return value
