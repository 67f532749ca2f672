"""What a connector counts for the page and for /metrics; the ledger is elsewhere (actors/ledger.py)."""

from __future__ import annotations

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
        """Rejected records by the rule of their first reason."""
        self.measures: dict[str, float | None] = {}
        """Mean of each measure over the newest frame."""
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
            first = pc.list_element(rejected.filter(pc.greater(pc.list_value_length(rejected), 0)), 0)
            for item in first.field("rule").value_counts().to_pylist():
                self.rules[item["values"]] = self.rules.get(item["values"], 0) + item["counts"]

    def settled(self, delays_ms: list[float]) -> None:
        """Frames were committed this long after they were read."""
        self._delays_ms.extend(delays_ms)

    def as_dict(self) -> dict[str, Any]:
        """The connector's part of a ``stats`` message."""
        delays = sorted(self._delays_ms)
        return {
            "events_total": self.events, "scored": dict(self.scored), "rules": dict(self.rules),
            "measures": self.measures,
            "delay_ms": {
                "p50": delays[len(delays) // 2] if delays else None,
                "p95": delays[int(len(delays) * 0.95)] if delays else None,
            },
        }  # fmt: skip
