"""What a connector counts for the page and for /metrics; the ledger is elsewhere (actors/ledger.py)."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.tiers import MEASURES, TIER_WORDS, Tier


class Tally:
    """Counters since this process started."""

    def __init__(self) -> None:
        self.events = 0
        """Reads, repeats included."""
        self.scored = dict.fromkeys(TIER_WORDS, 0)
        self.rules: dict[str, int] = {}
        """Rejected records by the rule of their first reason that is not `score`, which only sums the others up."""
        self.measures: dict[str, float | None] = {}
        """Mean of each measure over the newest frame."""
        self.settled_at: float | None = None
        """When records were last committed, seconds since 1970."""
        self._delays_ms: deque[float] = deque(maxlen=512)

    def judged(self, records: pa.RecordBatch, tiers: tuple[int, int, int, int]) -> None:
        """Take in the records of one frame."""
        for tier in Tier:
            self.scored[tier.word] += tiers[tier]
        if not records.num_rows:
            return
        self.measures = {name: pc.mean(records.column(name)).as_py() for name in MEASURES}
        if tiers[Tier.REJECTED]:
            rejected = records.column("reasons").filter(pc.equal(records.column("tier"), int(Tier.REJECTED)))
            for rule, count in _first_rules(rejected).items():
                self.rules[rule] = self.rules.get(rule, 0) + count

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
            "events_total": self.events, "scored": dict(self.scored), "rules": dict(self.rules),
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
