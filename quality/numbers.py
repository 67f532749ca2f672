"""Numbers as JSON wrote them: compared exactly, never through a rounding that could change a verdict.

A number with at most 15 significant digits and less than 2**53 is a ``float`` (its shortest text is what
was written), an integer is an ``int`` of any length, everything else is a ``Decimal``.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

Number = int | float | Decimal

_BEYOND = 2**1024 - 2**970
"""The smallest integer that a double rounds to infinity."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INTEGER_DIGITS = 309
"""A longer integer is beyond a double's range for certain."""

_exact = Context(prec=2000, Emax=999_999_999, Emin=-999_999_999)


def fraction(text: str) -> float | Decimal:
    """The value of a JSON number that has a point or an exponent.

    >>> fraction("0.10"), fraction("0.30000000000000000001")
    (0.1, Decimal('0.30000000000000000001'))
    """
    if len(text) <= 16:
        value = float(text)
        if -9007199254740992.0 < value < 9007199254740992.0 and (value or _is_zero(text)):
            return value
    return _exact.create_decimal(text)


def _is_zero(text: str) -> bool:
    return not Decimal(text)


def as_decimal(value: Number) -> Decimal:
    """The decimal that was written."""
    return (
        value if type(value) is Decimal else Decimal(repr(value)) if type(value) is float else Decimal(value)
    )


def beyond_double(value: Number) -> bool:
    """Whether a double cannot hold this magnitude."""
    if type(value) is Decimal:
        return value.copy_abs() >= _BEYOND
    return type(value) is int and (value > INT64_MAX or value < INT64_MIN) and abs(value) >= _BEYOND


def less(a: Number, b: Number) -> bool:
    """``a < b``, exactly.

    >>> less(fraction("0.29999999999999999999"), 0.3)
    True
    """
    if type(a) is Decimal or type(b) is Decimal:
        return as_decimal(a) < as_decimal(b)
    return a < b


def equal(a: Number, b: Number) -> bool:
    """``a == b``, exactly."""
    if type(a) is Decimal or type(b) is Decimal:
        return as_decimal(a) == as_decimal(b)
    return a == b


def multiple(value: Number, of: Number) -> bool:
    """Whether ``value`` is an integer multiple of ``of`` in decimals.

    >>> multiple(19.99, 0.01), multiple(19.995, 0.01)
    (True, False)
    """
    if type(value) is int and type(of) is int:
        return value % of == 0
    a, b = as_decimal(value), as_decimal(of)
    if a.adjusted() - b.adjusted() > 1900 or abs(a.as_tuple().exponent) > 1900:  # type: ignore[arg-type]  # finite
        return _multiple_scaled(a, b)
    return not _exact.remainder(a, b)


def _multiple_scaled(a: Decimal, b: Decimal) -> bool:
    # Both as integers times a power of ten: exponents far apart, so the context above would not do.
    (_, digits_a, exp_a), (_, digits_b, exp_b) = a.as_tuple(), b.as_tuple()
    n, d = int("".join(map(str, digits_a))), int("".join(map(str, digits_b)))
    shift = int(exp_a) - int(exp_b)
    if not n:
        return True
    if shift >= 0:
        return n * pow(10, shift, d) % d == 0
    return -shift <= len(digits_a) and n % (d * 10**-shift) == 0


def integral(value: Number) -> bool:
    """Whether a number is an integer in JSON Schema's sense: 1, 1.0 and 1e2 are."""
    if type(value) is int:
        return True
    if type(value) is float:
        return value.is_integer()
    dec = as_decimal(value)
    _, digits, exponent = dec.as_tuple()
    if not dec or int(exponent) >= 0:
        return True
    tail = digits[int(exponent) :]
    return -int(exponent) < len(digits) and not any(tail)


def fits_decimal(value: Number, precision: int, scale: int) -> bool:
    """Whether DECIMAL(precision, scale) holds the value exactly."""
    dec = as_decimal(value).normalize(_exact)
    _, digits, exponent = dec.as_tuple()
    if not dec:
        return True
    return -int(exponent) <= scale and len(digits) + int(exponent) <= precision - scale


def is_number(value: Any) -> bool:
    """Whether a decoded value is a JSON number (``True`` is not)."""
    kind = type(value)
    return kind is int or kind is float or kind is Decimal
