"""Durations and sizes as people write them: ``10 seconds``, ``1 day``, ``10 GB``."""

from __future__ import annotations

import re

_SECONDS = {
    "ms": 0.001, "millisecond": 0.001,
    "s": 1.0, "sec": 1.0, "second": 1.0,
    "min": 60.0, "minute": 60.0,
    "h": 3600.0, "hour": 3600.0,
    "d": 86_400.0, "day": 86_400.0,
    "week": 604_800.0,
}  # fmt: skip
_BYTES = {
    "b": 1, "byte": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)


class BadUnit(ValueError):
    """Text that is no duration or no size; says which units there are."""


def seconds(text: str) -> float:
    """A duration in seconds, more than 0.

    Raises:
        BadUnit: no number, an unknown unit, or zero.

    >>> seconds("5 min"), seconds("500 ms"), seconds("1 day")
    (300.0, 0.5, 86400.0)
    """
    return _amount(
        text, _SECONDS, "a duration", "10 seconds", "ms, s (seconds), min (minutes), h (hours), day, week"
    )


def size_bytes(text: str) -> int:
    """A size in bytes, more than 0. ``GB`` is 10^9, ``GiB`` is 2^30.

    Raises:
        BadUnit: no number, an unknown unit, or zero.

    >>> size_bytes("10 GB"), size_bytes("4 KiB")
    (10000000000, 4096)
    """
    return int(_amount(text, _BYTES, "a size", "10 GB", "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"))


def _amount(
    text: str, units: dict[str, float] | dict[str, int], kind: str, example: str, listed: str
) -> float:
    found = _AMOUNT.fullmatch(text)
    if not found:
        raise BadUnit(
            f"`{text}` is not {kind}; write a number and a unit, such as `{example}` (units: {listed})"
        )
    number, unit = found.groups()
    word = unit.lower()
    factor = units.get(word) or units.get(word.removesuffix("s"))
    if factor is None:
        said = f"`{unit}` in `{text}` is no unit" if unit else f"`{text}` has no unit"
        raise BadUnit(f"{said}; known units are {listed}, such as `{example}`")
    amount = float(number) * factor
    if amount <= 0:
        raise BadUnit(f"`{text}` is nothing; {kind} must be more than 0, such as `{example}`")
    return amount
