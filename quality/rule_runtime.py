"""What generated rule code may call. Each takes decoded values of any type; None stands for null and for "not applicable"."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from quality.moments import moment_us
from quality.numbers import as_decimal, integral

_NUMBERS = (int, float, Decimal)


def _two(a: Any, b: Any) -> tuple[Any, Any] | None:
    """Both as numbers that Python can combine; None if one is no number."""
    if type(a) not in _NUMBERS or type(b) not in _NUMBERS:
        return None
    if type(a) is Decimal or type(b) is Decimal:
        return as_decimal(a), as_decimal(b)
    return a, b


def add(a: Any, b: Any) -> Any:
    """Sum of two numbers."""
    both = _two(a, b)
    return None if both is None else both[0] + both[1]


def sub(a: Any, b: Any) -> Any:
    """Difference of two numbers."""
    both = _two(a, b)
    return None if both is None else both[0] - both[1]


def mul(a: Any, b: Any) -> Any:
    """Product of two numbers."""
    both = _two(a, b)
    return None if both is None else both[0] * both[1]


def div(a: Any, b: Any) -> Any:
    """Quotient; null for a zero divisor."""
    both = _two(a, b)
    return None if both is None or not both[1] else both[0] / both[1]


def mod(a: Any, b: Any) -> Any:
    """Remainder with the sign of the divisor; null for a zero divisor."""
    both = _two(a, b)
    if both is None or not both[1]:
        return None
    if type(both[0]) is Decimal:  # Decimal's % has the sign of the dividend
        rest = both[0] % both[1]
        return rest + both[1] if rest and (rest < 0) != (both[1] < 0) else rest
    return both[0] % both[1]


def neg(a: Any) -> Any:
    """The number with the other sign."""
    return -a if type(a) in _NUMBERS else None


def magnitude(a: Any) -> Any:
    """``abs``."""
    return abs(a) if type(a) in _NUMBERS else None


def rounded(a: Any, digits: int = 0) -> Any:
    """Rounded half to even."""
    return round(a, digits) if type(a) in _NUMBERS else None


def eq(a: Any, b: Any) -> bool | None:
    """Equality; values of different kinds differ; null with null or anything is not applicable."""
    if a is None or b is None:
        return None
    both = _two(a, b)
    if both is not None:
        return bool(both[0] == both[1])
    return type(a) is type(b) and bool(a == b)


def _pair(a: Any, b: Any) -> tuple[Any, Any] | None:
    if type(a) is str and type(b) is str:
        return a, b
    return _two(a, b)


def lt(a: Any, b: Any) -> bool | None:
    """Order of two numbers or two texts; not applicable to others."""
    both = _pair(a, b)
    return None if both is None else bool(both[0] < both[1])


def le(a: Any, b: Any) -> bool | None:
    """``<=``, see ``lt``."""
    both = _pair(a, b)
    return None if both is None else bool(both[0] <= both[1])


def one_of(a: Any, values: tuple[Any, ...]) -> bool | None:
    """Whether ``a`` equals one of the values."""
    return None if a is None else any(eq(a, value) for value in values)


def matches(test: Callable[[str], Any], a: Any) -> bool | None:
    """Whether a text matches; not applicable to others."""
    return bool(test(a)) if type(a) is str else None


def truth(a: Any) -> bool | None:
    """True and false themselves; anything else is not applicable."""
    return a if type(a) is bool else None


def size(a: Any) -> int | None:
    """Characters of a text, items of an array, fields of an object."""
    return len(a) if type(a) in (str, list, dict) else None


@lru_cache(maxsize=8192)
def _seconds(text: str) -> float | None:
    moment = moment_us(text)
    return None if moment is None else moment / 1_000_000


def seconds(a: Any) -> float | None:
    """A date or time as seconds since 1970 UTC; null if it is none."""
    return _seconds(a) if type(a) is str else None


def lower(a: Any) -> str | None:
    """Text in lower case."""
    return a.lower() if type(a) is str else None


def upper(a: Any) -> str | None:
    """Text in upper case."""
    return a.upper() if type(a) is str else None


def trim(a: Any) -> str | None:
    """Text without blanks at its ends."""
    return a.strip() if type(a) is str else None


def least(*values: Any) -> Any:
    """The smallest number or text; not applicable to a mixture."""
    best = values[0]
    for value in values:
        smaller = lt(value, best)
        if smaller is None:
            return None
        best = value if smaller else best
    return best


def most(*values: Any) -> Any:
    """The largest number or text; not applicable to a mixture."""
    best = values[0]
    for value in values:
        larger = lt(best, value)
        if larger is None:
            return None
        best = value if larger else best
    return best


def as_int(value: Any) -> Any:
    """A value of an integer field as rules see it: 1.0 is 1."""
    return int(value) if type(value) in (float, Decimal) and integral(value) else as_any(value)


def as_float(value: Any) -> Any:
    """A value of a number field as rules see it: a double."""
    return float(value) if type(value) in (int, Decimal) else value


def as_any(value: Any) -> Any:
    """A value of a field without a numeric type as rules see it."""
    return float(value) if type(value) is Decimal else value


def as_is(value: Any) -> Any:
    """A value of a decimal field: exact."""
    return value


NAMES: dict[str, Any] = {
    "_add": add, "_sub": sub, "_mul": mul, "_div": div, "_mod": mod, "_neg": neg, "_abs": magnitude, "_round": rounded,
    "_eq": eq, "_lt": lt, "_le": le, "_in": one_of, "_matches": matches, "_truth": truth, "_len": size,
    "_date": seconds, "_lower": lower, "_upper": upper, "_trim": trim, "_min": least, "_max": most,
}  # fmt: skip
"""All that generated code finds by name besides its own variables."""
