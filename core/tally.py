"""What a connector counts for the page and for /metrics; the ledger is elsewhere (actors/ledger.py)."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.tiers import MEASURES, TIER_WORDS, Tier

UNCOUNTED_ROWS = 8192
"""Rejected records whose rules are counted later, together: for a small frame by itself it takes 100 µs."""


class Tally:
    """Counters since this process started. What takes Arrow's time is counted when asked for."""

    def __init__(self) -> None:
        self.events = 0
        """Reads, repeats included."""
        self.scored = dict.fromkeys(TIER_WORDS, 0)
        self._rules: dict[str, int] = {}
        self._rejecting: list[tuple[pa.Array, pa.Array]] = []
        self._rejecting_rows = 0
        self._measures: dict[str, float | None] = {}
        self._measured: dict[str, pa.Array] = {}
        self.settled_at: float | None = None
        """When records were last committed, seconds since 1970."""
        self._delays_ms: deque[float] = deque(maxlen=512)

    def judged(self, records: pa.RecordBatch, tiers: tuple[int, int, int, int]) -> None:
        """Take in the records of one frame."""
        for tier in Tier:
            self.scored[tier.word] += tiers[tier]
        if not records.num_rows:
            return
        self._measured = {name: records.column(name) for name in MEASURES}
        if tiers[Tier.REJECTED]:
            self._rejecting.append((records.column("reasons"), records.column("tier")))
            self._rejecting_rows += records.num_rows
            if self._rejecting_rows > UNCOUNTED_ROWS:
                self._count_rules()

    @property
    def rules(self) -> dict[str, int]:
        """Rejected records by the rule of their first reason that is not `score`, which only sums the others up."""
        self._count_rules()
        return dict(self._rules)

    @property
    def measures(self) -> dict[str, float | None]:
        """Mean of each measure over the newest frame."""
        self._measures |= {name: pc.mean(values).as_py() for name, values in self._measured.items()}
        self._measured = {}
        return dict(self._measures)

    def judged_elsewhere(self, rules: dict[str, int], measures: dict[str, float | None]) -> None:
        """What another process counted stands for what was counted here."""
        self._rules, self._measures = rules, measures
        self._rejecting, self._rejecting_rows, self._measured = [], 0, {}

    def _count_rules(self) -> None:
        if not self._rejecting:
            return
        reasons, tiers = (pa.concat_arrays(parts) for parts in zip(*self._rejecting, strict=True))
        self._rejecting, self._rejecting_rows = [], 0
        for rule, count in _first_rules(reasons.filter(pc.equal(tiers, int(Tier.REJECTED)))).items():
            self._rules[rule] = self._rules.get(rule, 0) + count

    def settled(self, delays_ms: list[float]) -> None:
        """Frames were committed this long after they were read."""
        self._delays_ms.extend(delays_ms)
        if delays_ms:
            self.settled_at = round(time.time(), 3)

    def carry(self, older: Tally) -> None:
        """Go on with the times of an older tally of the same source."""
        self.settled_at, self._delays_ms = older.settled_at, older._delays_ms

    def as_dict(self) -> dict[str, Any]:
        """The connector's part of a ``stats`` message."""
        delays = sorted(self._delays_ms)
        return {
            "events_total": self.events, "scored": dict(self.scored), "rules": self.rules,
            "measures": self.measures, "settled_at": self.settled_at,
            "delay_ms": {
                "p50": delays[len(delays) // 2] if delays else None,
                "p95": delays[int(len(delays) * 0.95)] if delays else None,
            },
        }  # fmt: skip


def _first_rules(reasons: pa.ListArray) -> dict[str, int]:
    """Rule -> records; of each record the first reason but `score`, which stands alone where nothing else is wrong."""
    filled = reasons.filter(pc.greater(pc.list_value_length(reasons), 0))
    first = pc.struct_field(pc.list_element(filled, 0), "rule")
    both = pc.list_slice(filled, 0, 2, return_fixed_size_list=True)
    second = pc.struct_field(pc.list_element(both, 1), "rule")
    chosen = pc.if_else(pc.equal(first, "score"), pc.coalesce(second, first), first)
    return {item["values"]: item["counts"] for item in chosen.value_counts().to_pylist()}
