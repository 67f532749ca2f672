"""How a table is walked: ranges of one column, on a scale of whole numbers. Pure.

A *place* is a value of that column as a whole number: the number itself, billionths of a decimal, the day of a date, the
microsecond of an instant. Ranges are half-open, so that they meet without overlapping and none needs to know its neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import ConfigError
from core.ranges import Ranges
from core.units import BadUnit, seconds

Range = tuple[int, int]
Places = npt.NDArray[np.int64]
Scale = Literal["whole", "decimal", "date", "instant"]

_BILLION = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_0 = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Axis:
    """The column that is cut, and its scale."""

    column: str
    scale: Scale
    zoned: bool = False
    """Instants only: the column's type has a time zone."""

    def place(self, value: str | float) -> int:
        """The place of a value, as databases and people write it; of one between two places the lower.

        Raises:
            ConfigError: E419 it has none.

        >>> Axis("id", "whole").place("17"), Axis("at", "instant").place("1970-01-01 00:00:01.5")
        (17, 1500000)
        """
        text = str(value).strip()
        try:
            if self.scale == "whole":
                return int(text)
            if self.scale == "decimal":
                return int(Fraction(text) * _BILLION // 1)
            if self.scale == "date":
                return (date.fromisoformat(text[:10]) - _DAY_0).days
            when = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        except (ValueError, OverflowError, ZeroDivisionError):
            why = f"column `{self.column}` holds or is compared with `{text}`, which has no place on a scale of {_WORDS[self.scale]}"
            raise ConfigError(
                f"{why}; choose another `partition_column`, or correct `lower` and `upper`", "E419"
            ) from None
        zoned = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return (zoned - _EPOCH) // timedelta(microseconds=1)

    def literal(self, place: int) -> str:
        """A place as SQL.

        >>> Axis("at", "instant").literal(1500000), Axis("day", "date").literal(1), Axis("n", "decimal").literal(-5 * 10**8)
        ("TIMESTAMP '1970-01-01 00:00:01.500000'", "DATE '1970-01-02'", '-0.500000000')
        """
        if self.scale == "whole":
            return str(place)
        if self.scale == "decimal":
            return format(Decimal(place).scaleb(-9), "f")
        if self.scale == "date":
            return f"DATE '{_DAY_0 + timedelta(days=place)}'"
        when = f"{_EPOCH + timedelta(microseconds=place):%Y-%m-%d %H:%M:%S.%f}"
        return f"TIMESTAMP WITH TIME ZONE '{when}+00'" if self.zoned else f"TIMESTAMP '{when}'"

    def places(self, column: pa.Array) -> Places:
        """int64[n]: the places of a column as Arrow has it; decimals come as text."""
        if self.scale == "decimal":
            return np.array([self.place(text) for text in column.to_pylist()], np.int64)
        kind = {
            "whole": pa.int64(),
            "date": pa.date32(),
            "instant": pa.timestamp("us", column.type.tz if pa.types.is_timestamp(column.type) else None),
        }[self.scale]
        plain = pc.cast(column, kind)
        made: Places = pc.cast(plain, pa.int32() if self.scale == "date" else pa.int64()).to_numpy(
            zero_copy_only=False
        )
        return made.astype(np.int64)

    def back(self, lookback: float | str) -> int:
        """How many places a ``lookback`` is.

        Raises:
            ConfigError: E410 it is no length, or none that this scale has.
        """
        if isinstance(lookback, str):
            if self.scale in {"whole", "decimal"}:
                raise ConfigError(
                    f"`lookback: {lookback}` needs a `partition_column` of dates or instants; `{self.column}` has numbers",
                    "E410",
                )
            try:
                lookback = seconds(lookback)
            except BadUnit as error:
                raise ConfigError(f"`lookback`: {error}", "E410") from error
        unit = {"whole": 1, "decimal": _BILLION, "date": 1 / 86_400, "instant": 1_000_000}[self.scale]
        return int(-(-lookback * unit // 1))

    def within(self, low: int, high: int, column: str) -> str:
        """The condition that ``column`` (quoted) lies in ``[low, high)``."""
        return f"{column} >= {self.literal(low)} AND {column} < {self.literal(high)}"


_WORDS = {"whole": "whole numbers", "decimal": "decimals", "date": "dates", "instant": "instants"}


def cut(gaps: Iterable[Range], pieces: int, *, bridging: bool) -> list[Range]:
    """About ``pieces`` ranges of equal width that hold all of ``gaps``, in order.

    Args:
        gaps: disjoint, in order.
        bridging: a piece may reach over what lies between two gaps; else each gap is cut by itself.

    >>> cut([(0, 10), (20, 30)], 2, bridging=False), cut([(0, 6), (8, 14)], 3, bridging=True)
    ([(0, 10), (20, 30)], [(0, 4), (4, 10), (10, 14)])
    """
    wanted = [(low, high) for low, high in gaps if low < high]
    stride = max(1, -(-sum(high - low for low, high in wanted) // max(1, pieces)))
    return list(_cut(wanted, stride, bridging))


def _cut(gaps: list[Range], stride: int, bridging: bool) -> Iterator[Range]:
    began: int | None = None
    width = at = 0
    for low, high in gaps:
        at = low
        while at < high:
            began = at if began is None else began
            step = min(high - at, stride - width)
            at, width = at + step, width + step
            if width == stride:
                yield began, at
                began, width = None, 0
        if began is not None and not bridging:
            yield began, at
            began, width = None, 0
    if began is not None:
        yield began, at


def cut_between(
    gaps: Iterable[Range], pieces: int, lower: int | None, upper: int | None, *, bridging: bool
) -> list[Range]:
    """As ``cut``, with equal widths only between ``lower`` and ``upper``: what lies outside is one piece on each side.

    >>> cut_between([(0, 1000)], 2, 10, 20, bridging=True)
    [(0, 10), (10, 15), (15, 20), (20, 1000)]
    """
    held = list(gaps)
    if not held:
        return []
    low, high = held[0][0], held[-1][1]
    one, other = (
        max(low, lower if lower is not None else low),
        min(high, upper if upper is not None else high),
    )
    other = max(one, other)
    sides = ((low, one, 1), (one, other, pieces), (other, high, 1))
    return [piece for a, b, n in sides for piece in cut(clipped(held, a, b), n, bridging=bridging)]


def clipped(ranges: Iterable[Range], low: int, high: int) -> list[Range]:
    """What of ``ranges`` lies in ``[low, high)``."""
    return [(max(a, low), min(b, high)) for a, b in ranges if a < high and b > low]


def missing(done: Ranges, low: int, high: int) -> list[Range]:
    """What of ``[low, high)`` is not done."""
    return list(done.complement(low, high))


def without(done: Ranges, low: int, high: int) -> Ranges:
    """``done`` less ``[low, high)``."""
    kept = Ranges()
    for start, end in done:
        kept.add(start, min(end, low))
        kept.add(max(start, high), end)
    return kept


def mirrored(ranges: Iterable[Range]) -> list[Range]:
    """Ranges of negative keys as ordinals of their own partition: -1 is 0, -2 is 1. Its own reverse.

    >>> mirrored([(-10, -5), (-3, 0)])
    [(0, 3), (5, 10)]
    """
    return sorted((-high, -low) for low, high in ranges)
