"""The counts that must always balance, and how two of them add up."""

from __future__ import annotations

import msgspec

from core.tiers import Tier


class Counts(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Records of one source by what became of them.

    ``read`` is what the connector says it read; the others are what the writer stored
    (tiers: from the parquet footers). They are counted apart, so that their difference means something.
    """

    read: int = 0
    gold: int = 0
    silver: int = 0
    bronze: int = 0
    rejected: int = 0
    quarantined: int = 0
    duplicate: int = 0

    @property
    def settled(self) -> int:
        """Records that have found their place: tiers, quarantined and duplicate."""
        return self.gold + self.silver + self.bronze + self.rejected + self.quarantined + self.duplicate

    def tier(self, tier: Tier) -> int:
        """The count of one tier."""
        count: int = getattr(self, tier.word)
        return count

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{f: getattr(self, f) + getattr(other, f) for f in self.__struct_fields__})

    def __sub__(self, other: Counts) -> Counts:
        return Counts(**{f: getattr(self, f) - getattr(other, f) for f in self.__struct_fields__})

    def as_dict(self) -> dict[str, int]:
        """Every count by name, zeros included."""
        return {f: getattr(self, f) for f in self.__struct_fields__}


class Ledger(msgspec.Struct, kw_only=True):
    """One source's books at one moment: the counts and what is on its way."""

    counts: Counts
    in_flight: int = 0

    @property
    def imbalance(self) -> int:
        """``read − (settled + in flight)``; anything but 0 is a bug or a loss."""
        return self.counts.read - self.counts.settled - self.in_flight

    def as_dict(self) -> dict[str, int]:
        """The ledger as docs/contracts.md §4 writes it."""
        return {**self.counts.as_dict(), "in_flight": self.in_flight, "imbalance": self.imbalance}
