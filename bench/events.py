"""The one benchmark event: a 12-field sale of about 355 bytes, 8 % bad, nulls in a third of the records. Seeded."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BAD = 0.08
NULLS = 1 / 3
NOW = "2026-11-22T12:00:00Z"

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "sale",
    "type": "object",
    "properties": {
        "event_id": {"type": "string", "pattern": "^evt-[0-9a-f]{12}$"},
        "event_time": {"type": "string", "format": "date-time"},
        "store": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
        "customer_id": {"type": ["integer", "null"], "minimum": 1},
        "sku": {"type": "string", "minLength": 6, "maxLength": 24},
        "quantity": {"type": "integer", "minimum": 1, "maximum": 1000},
        "unit_price": {"type": "number", "exclusiveMinimum": 0, "maximum": 100000},
        "discount": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD", "GBP", "CHF", "JPY"]},
        "channel": {"type": ["string", "null"], "enum": ["web", "shop", "phone", "partner", None]},
        "comment": {"type": ["string", "null"], "maxLength": 200},
    },
    "required": ["event_id", "event_time", "store", "sku", "quantity", "unit_price", "total", "currency"],
}

DATASET: dict[str, Any] = {
    "event_time": "event_time",
    "clock": NOW,
    "expected_every": "1 hour",
    "rules": [
        {
            "id": "total-adds-up",
            "check": "abs(total - quantity * unit_price * (1 - coalesce(discount, 0))) <= 0.01",
        },
        {"id": "discount-needs-customer", "when": "discount > 0.5", "check": "customer_id is not null"},
        {
            "id": "bulk-is-not-phoned",
            "when": "channel == 'phone'",
            "check": "quantity <= 100",
            "severity": "minor",
        },
        {
            "id": "yen-has-no-cents",
            "when": "currency == 'JPY'",
            "check": "total % 1 == 0",
            "severity": "minor",
        },
        {
            "id": "dear-sale-has-customer",
            "check": "total < 50000 or customer_id is not null",
            "severity": "critical",
        },
    ],
    "weights": {"completeness": 1, "accuracy": 1, "timeliness": 0.5, "compliance": 1, "consistency": 1},
    "thresholds": {"gold": 0.95, "silver": 0.8, "bronze": 0.5},
}

_WORDS = [
    "left",
    "at",
    "the",
    "desk",
    "gift",
    "wrap",
    "please",
    "call",
    "before",
    "delivery",
    "second",
    "floor",
    "ring",
    "twice",
    "new",
    "customer",
    "paid",
    "cash",
    "today",
]


def event(rng: random.Random, number: int, start: datetime) -> dict[str, Any]:
    """A good event; a third of them have nulls in the optional fields."""
    quantity = rng.randint(1, 20)
    price = rng.randint(50, 20_000) / 100
    discount = rng.choice((0.0, 0.05, 0.1, 0.25))
    currency = rng.choice(("EUR", "USD", "GBP", "CHF"))
    stamp = start + timedelta(milliseconds=number * 37 + rng.randint(0, 30))
    made: dict[str, Any] = {
        "event_id": f"evt-{rng.getrandbits(48):012x}",
        "event_time": stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "store": f"{rng.choice(('DE', 'FR', 'CH', 'GB'))}-{rng.randint(1, 400):04d}",
        "customer_id": rng.randint(1, 5_000_000),
        "sku": f"SKU-{rng.randint(10**8, 10**9 - 1)}",
        "quantity": quantity,
        "unit_price": price,
        "discount": discount,
        "total": round(quantity * price * (1 - discount), 2),
        "currency": currency,
        "channel": rng.choice(("web", "shop", "phone", "partner")),
        "comment": " ".join(rng.choices(_WORDS, k=18)),
    }
    if rng.random() < NULLS:
        for name in rng.sample(("customer_id", "discount", "channel", "comment"), rng.randint(1, 2)):
            made[name] = None
        if made["discount"] is None:
            made["total"] = round(quantity * price, 2)
    return made


def spoil(rng: random.Random, made: dict[str, Any]) -> bytes:
    """The event with one fault of a kind that happens."""
    kind = rng.randrange(8)
    if kind == 0:
        made["quantity"] = str(made["quantity"])
    elif kind == 1:
        del made["store"]
    elif kind == 2:
        made["total"] = -made["total"]
    elif kind == 3:
        made["currency"] = "eur"
    elif kind == 4:
        made["event_time"] = made["event_time"].replace("-", "/", 2)
    elif kind == 5:
        made["event_id"] = None
    elif kind == 6:
        made["unit_price"], made["discount"], made["sku"] = 0, 1.5, "?"
    line = json.dumps(made).encode()
    return line[: len(line) // 2] if kind == 7 else line


def lines(n: int, seed: int = 1) -> list[bytes]:
    """``n`` events as JSON lines without their line ending; the same for the same seed."""
    rng = random.Random(seed)
    start = datetime(2026, 11, 22, 12, tzinfo=UTC) - timedelta(milliseconds=37 * n)
    made = []
    for number in range(n):
        one = event(rng, number, start)
        made.append(spoil(rng, one) if rng.random() < BAD else json.dumps(one).encode())
    return made


def write_jsonl(path: str | Path, n: int, seed: int = 1) -> int:
    """Write ``n`` events to ``path``; returns its size in bytes."""
    data = b"\n".join(lines(n, seed)) + b"\n"
    Path(path).write_bytes(data)
    return len(data)
