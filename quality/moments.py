"""Dates and times: the strict ones of JSON Schema's ``format`` and the tolerant ones of ``event_time``."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date

DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_FIRST = (date(1, 1, 1).toordinal() - _EPOCH) * DAY_US
_LAST = (date(9999, 12, 31).toordinal() + 1 - _EPOCH) * DAY_US - 1

_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})").fullmatch
_TIME = re.compile(
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
).fullmatch
_LENIENT = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]+))?)?").fullmatch


def day_us(text: str) -> int | None:
    """Midnight UTC of ``2013-01-31`` in µs; None where there is no such day.

    >>> day_us("1970-01-02"), day_us("2013-02-29")
    (86400000000, None)
    """
    found = _DATE(text)
    if found is None:
        return None
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    if not 1 <= month <= 12 or not 1 <= day <= (
        monthrange(year, month)[1] if year else monthrange(4, month)[1]
    ):
        return None
    if year == 0:  # RFC 3339 has the year 0, Python's calendar has not
        return (date(4, month, day).toordinal() - 1461 - _EPOCH) * DAY_US
    return (date(year, month, day).toordinal() - _EPOCH) * DAY_US


def time_us(text: str) -> int | None:
    """RFC 3339 ``full-time`` as µs since midnight UTC (may be negative or beyond a day); None if it is none."""
    found = _TIME(text)
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    if hour > 23 or minute > 59 or second > 60:
        return None
    shift = 0
    if found[5]:
        if int(found[6]) > 23 or int(found[7]) > 59:
            return None
        shift = (int(found[6]) * 60 + int(found[7])) * (-1 if found[5] == "+" else 1)
    if second == 60 and (hour * 60 + minute + shift) % 1440 != 1439:
        return None  # leap seconds end a UTC day
    micros = int((found[4] or "0")[:6].ljust(6, "0"))
    return ((hour * 60 + minute + shift) * 60 + second) * 1_000_000 + micros


def datetime_us(text: str) -> int | None:
    """RFC 3339 ``date-time`` in µs since 1970; None if it is none.

    >>> datetime_us("1970-01-01T00:00:01.5Z"), datetime_us("1970-01-01 00:00:01Z")
    (1500000, None)
    """
    if text[10:11] not in ("T", "t"):
        return None
    day, time = day_us(text[:10]), time_us(text[11:])
    return None if day is None or time is None else day + time


def moment_us(text: str) -> int | None:
    """What ``event_time`` and ``date()`` read, in µs since 1970 UTC: RFC 3339 with a zone; the same with a blank for
    ``T``, or without a zone (UTC then), or without seconds; a date alone (midnight UTC). None if it is none of these
    or outside the years 1 to 9999.

    >>> moment_us("1970-01-01 00:00:01") == moment_us("1970-01-01T02:00:01+02:00") == 1_000_000
    True
    """
    day = day_us(text[:10])
    if day is None:
        return None
    if len(text) > 10:
        if text[10] not in "Tt ":
            return None
        time = time_us(text[11:])
        if time is None:
            time = _zoneless_us(text[11:])
        if time is None:
            return None
        day += time
    return day if _FIRST <= day <= _LAST else None


def _zoneless_us(text: str) -> int | None:
    found = _LENIENT(text)
    if found is None:
        return None
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + int((found[4] or "0")[:6].ljust(6, "0"))


_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "second": 1_000_000, "m": 60_000_000, "min": 60_000_000,
          "minute": 60_000_000, "h": 3_600_000_000, "hour": 3_600_000_000, "d": DAY_US, "day": DAY_US,
          "week": 7 * DAY_US}  # fmt: skip


def interval_us(text: str) -> int | None:
    """``1 day``, ``5 minutes``, ``90s`` in µs; None if it is none.

    >>> interval_us("1 day"), interval_us("1.5 hours"), interval_us("soon")
    (86400000000, 5400000000, None)
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", text.lower())
    if found is None:
        return None
    word = found[2]
    unit = _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
    return None if unit is None else round(float(found[1]) * unit) or None
