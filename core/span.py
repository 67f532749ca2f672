"""A bounded stretch of event time, for back-fills."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """``since_us <= event time < until_us``, UTC microseconds; None: open on that side."""

    since_us: int | None = None
    until_us: int | None = None

    def holds(self, event_us: int) -> bool:
        """Whether the instant lies inside.

        >>> Span(10, 20).holds(10), Span(10, 20).holds(20), Span().holds(5)
        (True, False, True)
        """
        after = self.since_us is None or event_us >= self.since_us
        return after and (self.until_us is None or event_us < self.until_us)
