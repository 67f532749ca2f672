"""Texts found good before: most fields repeat themselves, and a look-up costs a tenth of a test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from quality.moments import day_us, moment_us, time_us

ROOM = 4096
"""Texts kept per field; a field with more different ones is tested each time."""
LONG = 100
"""Characters; longer texts are not kept."""
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


class Tested(dict[str, bool]):
    """What a test says of a text; the first texts are remembered."""

    def __init__(self, test: Callable[[str], Any]) -> None:
        super().__init__()
        self.test = test

    def __missing__(self, text: str) -> bool:
        good = bool(self.test(text))
        if len(self) < ROOM and len(text) < LONG:
            self[text] = good
        return good


class Minutes(dict[str, int]):
    """``2013-01-31T05:00`` -> µs since 1970; TypeError where it is no such minute of the years 2 to 9998."""

    def __missing__(self, text: str) -> int:
        day, time = day_us(text[:10]), time_us(text[11:] + ":00Z")
        if day is None or time is None or text[10] not in "Tt" or not "0001" < text[:4] < "9999":
            raise TypeError
        if len(self) >= 100_000:
            self.clear()
        self[text] = day + time
        return day + time


class Zones(dict[str, int]):
    """What follows the seconds, ``.25Z`` or ``+02:00`` -> µs; TypeError where it is none.

    With ``Minutes`` and ``SECONDS`` it reads any RFC 3339 stamp, but for leap seconds and the ends of time: each part repeats
    itself, the whole rarely does.
    """

    def __missing__(self, text: str) -> int:
        found = _ZONE(text)
        micros = int((found[1] or "0")[:6].ljust(6, "0"))  # type: ignore[index]  # None raises, as said
        if found[2]:  # type: ignore[index]
            micros += time_us(f"00:00:00{text[-6:]}")  # type: ignore[operator]  # None raises
        if len(self) < 10_000:
            self[text] = micros
        return micros


_ZONE = re.compile(r"(?:\.([0-9]+))?(?:[Zz]|([+-])[0-9]{2}:[0-9]{2})").fullmatch
MINUTES, ZONES = Minutes(), Zones()
SECONDS = {f":{second:02}": second * 1_000_000 for second in range(60)}


class Moments(dict[str, "int | None"]):
    """Whole texts as the tolerant reading of ``event_time`` takes them."""

    def __missing__(self, text: str) -> int | None:
        value = moment_us(text)
        if len(self) >= ROOM * 4:
            self.clear()
        self[text] = value
        return value
