"""Windows of time: where one begins, and which UTC days it has to do with. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from store.layout import DAY_US

Ints = npt.NDArray[np.int64]
Day = tuple[int, int, int]
"""Year, month, day: a partition."""

WEEK_US = 7 * DAY_US
MONDAY_US = 4 * DAY_US
"""1970-01-05 was a Monday."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """Windows of one length that follow each other without gaps, counted from 1970-01-01T00:00Z; whole weeks from a Monday.

    A window lies in the partition of the UTC day on which it begins. Days are numbers since 1970-01-01.
    """

    length_us: int

    def starts(self, times: Ints) -> Ints:
        """The beginning of each time's window, UTC µs.

        >>> Window(3_600_000_000).starts(np.array([0, 3_600_000_001])).tolist()
        [0, 3600000000]
        """
        offset = self._offset
        found: Ints = (times - offset) // self.length_us * self.length_us + offset
        return found

    def days_of(self, day: int) -> list[int]:
        """The days on which windows begin that hold a time of ``day``."""
        first, last = self._start(day * DAY_US), self._start((day + 1) * DAY_US - 1)
        if self.length_us <= DAY_US:  # every day has a beginning
            return list(range(first // DAY_US, last // DAY_US + 1))
        return sorted({at // DAY_US for at in range(first, last + 1, self.length_us)})

    def held_days(self, day: int) -> list[int]:
        """The days of which times fall into windows that begin on ``day``."""
        begin, end = day * DAY_US, (day + 1) * DAY_US - 1
        first, last = self._start(begin + self.length_us - 1), self._start(end)
        if first > last or last < begin:
            return []
        return list(range(max(first, begin) // DAY_US, (last + self.length_us - 1) // DAY_US + 1))

    @property
    def _offset(self) -> int:
        return MONDAY_US if self.length_us % WEEK_US == 0 else 0

    def _start(self, time: int) -> int:
        return (time - self._offset) // self.length_us * self.length_us + self._offset


def day_number(day: Day) -> int:
    """Days since 1970-01-01.

    >>> day_number((1970, 1, 2))
    1
    """
    return (datetime(*day, tzinfo=UTC) - _EPOCH).days


def day_of_number(number: int) -> Day:
    """The other way round."""
    when = _EPOCH + timedelta(days=number)
    return when.year, when.month, when.day


def day_numbers_of(window: Window, days: Iterable[int]) -> list[int]:
    """All days on which windows begin that hold a time of ``days``, in order."""
    return sorted({found for day in days for found in window.days_of(day)})
