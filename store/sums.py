"""Sums that do not depend on the order in which they are made, so that every mode and every retry gives the same.

Whole numbers and decimals are cut into limbs of 32 bits that are summed apart: exact. Doubles are summed by
``math.fsum`` and kept as a double and what it left out, 106 bits in all: only values that cancel each other beyond
that could tell in which portions they were added.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

LIMB_BITS = 32
MASK = (1 << LIMB_BITS) - 1
LIMBS = {"integer": 2, "decimal": 4}
_MOST_DIGITS = 10**38
_EXACT = Context(prec=80)


def limbs(values: pa.Array, holds: str) -> list[Ints]:
    """Each value as int64 limbs of 32 bits, the least first and the last with the sign; 0 where null.

    Args:
        values: int64[n] or decimal128[n].

    Returns:
        2 (integer) or 4 (decimal) arrays of n. Sums of up to 2^31 of them fit int64.
    """
    if holds == "integer":
        whole = [pc.fill_null(values, 0).to_numpy(zero_copy_only=False).astype(np.int64)]
    else:
        halves = _halves(pc.fill_null(values, pa.scalar(Decimal(0), values.type)))
        whole = [halves[:, 0], halves[:, 1]]
    found = [part for one in whole for part in (one & MASK, (one >> LIMB_BITS) & MASK)]
    found[-1] = whole[-1] >> LIMB_BITS
    return found


def carried(parts: list[Ints]) -> list[Ints]:
    """Limbs after a sum: what one cannot hold goes to the next."""
    found, carry = [], np.zeros(len(parts[0]), np.int64)
    for part in parts[:-1]:
        total = part + carry
        found.append(total & MASK)
        carry = total >> LIMB_BITS
    return [*found, parts[-1] + carry]


def whole_numbers(parts: list[Ints]) -> list[int]:
    """Limbs as Python's own integers."""
    total = [int(one) for one in parts[-1]]
    for part in reversed(parts[:-1]):
        total = [(high << LIMB_BITS) + int(low) for high, low in zip(total, part, strict=True)]
    return total


def sums(parts: list[Ints], holds: str, scale: int, none: npt.NDArray[np.bool_]) -> pa.Array:
    """The sums as a column: int64, or decimal128(38, scale); null where there was no value or it does not fit."""
    if holds == "integer":
        high, low = parts[1], parts[0]
        fits = (high >= -(1 << 31)) & (high < (1 << 31)) & ~none
        return pa.array((np.where(fits, high, 0) << LIMB_BITS) + low, pa.int64(), mask=~fits)
    found = [
        None if gone or abs(number) >= _MOST_DIGITS else Decimal(number).scaleb(-scale, _EXACT)
        for number, gone in zip(whole_numbers(parts), none.tolist(), strict=True)
    ]
    return pa.array(found, pa.decimal128(38, scale))


def means(parts: list[Ints], scale: int, count: Ints) -> pa.Array:
    """The exact sum by the count, rounded once; null where there was no value."""
    by = 10**scale
    found = [
        float(Fraction(number, by * n)) if n else None
        for number, n in zip(whole_numbers(parts), count.tolist(), strict=True)
    ]
    return pa.array(found, pa.float64())


def double_means(high: Doubles, low: Doubles, count: Ints) -> Doubles:
    """Sums of doubles by their counts, rounded once (three times 0.1 has the mean 0.1); 0 where the count is.

    Source: Dekker's exact product, "A floating-point technique for extending the available precision", 1971.
    """
    n = np.maximum(count, 1).astype(np.float64)
    with np.errstate(all="ignore"):
        mean = high / n
        parts = [_halved(mean), _halved(n)]
        product = mean * n
        error = (
            (parts[0][0] * parts[1][0] - product) + parts[0][0] * parts[1][1] + parts[0][1] * parts[1][0]
        ) + (parts[0][1] * parts[1][1])
        better = mean + ((high - product) - error + low) / n
    found: Doubles = np.where(np.isfinite(better), better, mean)
    return found


def _halved(values: Doubles) -> tuple[Doubles, Doubles]:
    wide = values * 134_217_729.0
    high = wide - (wide - values)
    return high, values - high


def doubles(high: pa.ChunkedArray, low: pa.ChunkedArray) -> tuple[Doubles, Doubles]:
    """The sum of each group's doubles, correctly rounded, and what rounding left out.

    Args:
        high: list<double>[g], the values (or earlier sums) of g groups.
        low: list<double>[g], what was left out of each.
    """
    values, lefts, ends = _flat(high), _flat(low), np.cumsum(pc.list_value_length(high).to_numpy()).tolist()
    sums, rests, start = np.empty(len(ends)), np.empty(len(ends)), 0
    for at, end in enumerate(ends):
        if end - start == 1:
            sums[at], rests[at] = values[start], lefts[start]
        else:
            sums[at], rests[at] = _double(values[start:end] + [rest for rest in lefts[start:end] if rest])
        start = end
    return sums, rests


def _double(values: list[float]) -> tuple[float, float]:
    try:
        total = math.fsum(values)
        values.append(-total)
        return total, math.fsum(values)
    except (OverflowError, ValueError):  # beyond a double
        return math.nan, 0.0


def _flat(lists: pa.ChunkedArray) -> list[float]:
    found: list[float] = pc.list_flatten(lists).to_pylist()
    return found


def _halves(values: Any) -> npt.NDArray[np.int64]:
    """decimal128[n] as int64[n, 2]: the lower and the upper half of each."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    start = values.offset * 16
    whole = np.frombuffer(values.buffers()[1], np.uint8)[start : start + len(values) * 16]
    return whole.view(np.int64).reshape(-1, 2)
