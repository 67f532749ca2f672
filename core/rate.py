"""A token bucket: at most so many records a second."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Says how long to wait so that ``per_second`` is kept on average; bursts of a tenth of a second are let through.

    >>> now = [0.0]
    >>> throttle = Throttle(100, clock=lambda: now[0])
    >>> throttle.spend(10), throttle.spend(100)
    (0.0, 1.0)
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._clock = clock
        self._level = per_second / 10
        self._at = clock()

    def spend(self, n: int) -> float:
        """Take ``n`` tokens; returns the seconds to wait before going on."""
        now = self._clock()
        self._level = min(self._rate / 10, self._level + (now - self._at) * self._rate) - n
        self._at = now
        return max(0.0, -self._level / self._rate)
