"""Real frames of judged records, built row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from core.batch import Reason
from core.frame import FRAME_SCHEMA, Frame, Header, QuarantineNote, tier_counts
from core.tiers import Tier

DAY_US = 86_400_000_000
NOON = 20_000 * DAY_US + DAY_US // 2
"""2024-10-04T12:00:00Z"""


@dataclass
class Row:
    """One record; by default a perfect Gold one of ten ordinals, at noon."""

    ordinal: int
    raw: bytes = b""
    end: int | None = None
    tier: Tier = Tier.GOLD
    event_time: int | None = NOON
    document: bytes | None = None
    extra: bytes | None = None
    reasons: list[Reason] | None = None
    partition: str = "p0"
    score: float = 1.0

    def values(self) -> dict[str, Any]:
        raw = self.raw or msgspec.json.encode({"id": self.ordinal})
        return {
            "partition": self.partition, "ordinal": self.ordinal,
            "end": self.ordinal + 10 if self.end is None else self.end,
            "position": f'{{"file":"{self.partition}.jsonl","offset":{self.ordinal}}}', "raw": raw,
            "valid": self.tier >= Tier.SILVER, "tier": int(self.tier), "score": self.score,
            "completeness": 1.0, "accuracy": 1.0, "timeliness": None, "compliance": 1.0, "consistency": None,
            "event_time": self.event_time,
            "reasons": [reason.as_dict() for reason in self.reasons] if self.reasons else None,
            "document": self.document, "extra": self.extra,
        }  # fmt: skip


@dataclass
class Sender:
    """A source's frames, numbered from 1 within an epoch."""

    source: str = "orders"
    dataset: str = "orders"
    epoch: int = 1
    seq: int = 0
    arrived_us: int = NOON
    schema: str = "orders:1"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def frame(
        self,
        rows: Iterable[Row] = (),
        *,
        covers: list[tuple[str, int, int]] | None = None,
        marks: dict[str, Any] | None = None,
        quarantined: list[QuarantineNote] | None = None,
        **facts: Any,
    ) -> Frame:
        """The next frame; covers are those of the rows unless given."""
        self.seq += 1
        records = pa.RecordBatch.from_pylist([row.values() for row in rows], schema=FRAME_SCHEMA)
        found = [
            (v["partition"], v["ordinal"], v["end"])
            for v in records.select(["partition", "ordinal", "end"]).to_pylist()
        ]
        header = Header(
            source=self.source, dataset=self.dataset, epoch=self.epoch, seq=self.seq, arrived_us=self.arrived_us,
            schema=self.schema, rules="abcdef123456", tiers=tier_counts(records.column("tier")),
            covers=found if covers is None else covers, marks=marks or {}, quarantined=quarantined or [],
            **{**self.facts, **facts},
        )  # fmt: skip
        return Frame.unpack([bytes(part) for part in Frame(header, records).pack()])


def rows(count: int, *, start: int = 0, **facts: Any) -> list[Row]:
    """``count`` rows, ten ordinals each, one after the other."""
    return [Row(start + 10 * at, **facts) for at in range(count)]
