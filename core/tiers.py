"""The four tiers, their order, and names of closed sets that travel as numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NewType

Micros = NewType("Micros", int)
"""Microseconds since 1970-01-01T00:00:00Z."""

Severity = Literal["info", "minor", "major", "critical"]
SEVERITIES: tuple[Severity, ...] = ("critical", "major", "minor", "info")
"""Worst first: the order in which a record's reasons stand."""

MEASURES = ("completeness", "accuracy", "timeliness", "compliance", "consistency")


class Tier(IntEnum):
    """A record's hallmark. The number is what frames carry; a higher one is better."""

    REJECTED = 0
    BRONZE = 1
    SILVER = 2
    GOLD = 3

    @property
    def word(self) -> str:
        """``gold``, ``silver``, ``bronze`` or ``rejected``."""
        return self.name.lower()


TIER_WORDS = tuple(tier.word for tier in sorted(Tier, reverse=True))
"""``("gold", "silver", "bronze", "rejected")``, the order people read them in."""
