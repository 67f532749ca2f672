"""A feed that moves like a real run, for tests and for looking at the page:

``python -m tests.web.simulated [--port 8080] [--auth none] [--calm]`` serves it until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import random
import tempfile
import time
from pathlib import Path

import msgspec

from config.models import Web
from core.ledger import Counts
from core.signals import signal
from core.status import SourceFacts, StatusBoard, source_object
from core.tiers import MEASURES
from web.app import create_app
from web.feed import LiveFeed
from web.server import serve
from web.tokens import TokenStore, login_url

SOURCES = {
    "flights": ("file", 620.0), "weather": ("file", 130.0), "planes": ("file", 44.0), "airports": ("file", 18.0),
    "airlines": ("file", 6.0), "customers": ("sql", 9.0), "invoices": ("sql", 31.0),
}  # fmt: skip
MIX = {"gold": 0.55, "silver": 0.25, "bronze": 0.16, "rejected": 0.04}


class Run:
    """Seven sources, a bus, a writer and Hive, moved by ``step``. Books always balance."""

    def __init__(self, feed: LiveFeed, *, seed: int = 1, calm: bool = False) -> None:
        self._feed, self._calm = feed, calm
        self._random = random.Random(seed)
        self._facts = [SourceFacts(name, kind, name) for name, (kind, _) in SOURCES.items()]
        self._board = StatusBoard(mode="event", sources=self._facts, stored={}, started_at=time.time())
        self._counts = {name: Counts() for name in SOURCES}
        self._flying: dict[str, list[int]] = {name: [] for name in SOURCES}
        self._steps = 0
        self._commit = 0

    def step(self, seconds: float = 0.2, now: float | None = None) -> None:
        """Read for so long; commit every third step."""
        self._steps += 1
        for facts in self._facts:
            self._read(facts.name, seconds)
            if self._steps % 3 == 0:
                self._settle(facts.name)
        if self._steps % 3 == 0:
            self._commit += 1
        for message in self._said():
            self._board.take(message)
            self._feed.take("stats", msgspec.json.encode(message), now)
        self._feed.status(self._board.document(), now)
        self._signals(now)

    def _read(self, name: str, seconds: float) -> None:
        mean = SOURCES[name][1] * (1 + 0.25 * math.sin(self._steps / 40 + len(name)))
        rows = max(0, int(self._random.gauss(mean, mean / 9) * seconds + self._random.random()))
        if name == "planes" and not self._calm:
            rows = 0
        self._counts[name] = self._counts[name] + Counts(read=rows)
        self._flying[name].append(rows)

    def _settle(self, name: str) -> None:
        rows, self._flying[name] = sum(self._flying[name]), []
        parts = {tier: int(rows * share) for tier, share in MIX.items()}
        parts["gold"] += rows - sum(parts.values())
        self._counts[name] = self._counts[name] + Counts(**parts)

    def _said(self) -> list[dict[str, object]]:
        return [*(self._connector(facts) for facts in self._facts), *self._stations()]

    def _connector(self, facts: SourceFacts) -> dict[str, object]:
        wobble = self._random.random
        broken = facts.name == "planes" and not self._calm
        slow = facts.name == "invoices" and not self._calm
        state = "failed" if broken else "waiting" if slow else "running"
        error = {
            "code": "E210",
            "message": "`planes_0417.parquet`: the footer is cut off; copy the file again",
        }
        late = {"code": "E400", "message": "the database is locked; next try in 4 s"}
        counts = self._counts[facts.name]
        flying = sum(self._flying[facts.name])
        fill = {"flights": 0.62, "weather": 0.31, "invoices": 0.9}.get(facts.name, 0.12)
        return {
            "station": f"connector:{facts.name}", "kind": "connector", "state": state, "pid": 4000 + len(facts.name),
            "credit": {"used_bytes": int(fill * 1000), "capacity_bytes": 1000}, "events_total": counts.read,
            "scored": {tier: getattr(counts, tier) for tier in MIX}, "rules": {"required": counts.rejected},
            "measures": dict(zip(MEASURES, (0.978, 0.94, 0.903 + wobble() / 200, 0.991, 0.953), strict=True)),
            "delay_ms": {"p50": 240 + 30 * wobble(), "p95": 560 + 80 * wobble()},
            "detail": "3 of 3 files" if facts.type == "file" else f"cursor {counts.read}",
            "source": source_object(
                facts, counts, state=state, in_flight=flying, lag={"records": flying, "seconds": 0.4},
                last_error=error if broken else late if slow else None,
            ),
        }  # fmt: skip

    def _stations(self) -> list[dict[str, object]]:
        names = ["bus", "registry", "writer", "bridge", *(f"connector:{name}" for name in SOURCES)]
        supervised = [
            {"name": name, "state": "running", "pid": 3000 + i, "restarts": 0} for i, name in enumerate(names)
        ]
        return [
            {"station": "supervisor", "kind": "supervisor", "stations": supervised},
            {"station": "bus", "kind": "bus", "state": "running"},
            {"station": "writer", "kind": "writer", "state": "running", "blocked": False},
            {"station": "bridge", "kind": "bridge", "state": "up", "waiting": 2},
        ]

    def _signals(self, now: float | None) -> None:
        if self._steps % 3 == 0:
            name = self._random.choice(list(SOURCES))
            rows = self._counts[name].settled
            self._say(
                now,
                "assay.batch.committed",
                name,
                f"commit {self._commit}: {rows:,} rows of {name} in Hive tables",
            )
        if self._steps % 31 == 5 and not self._calm:
            self._say(
                now,
                "assay.source.waiting",
                "invoices",
                "invoices: the database is locked; next try in 4 s",
                "warning",
            )
        if self._steps % 67 == 9 and not self._calm:
            self._say(
                now, "assay.file.quarantined", "planes", "planes_0417.parquet: the footer is cut off", "error"
            )
        if self._steps == 1:
            self._say(now, "assay.schema.registered", "flights", "flights version 1 registered")

    def _say(self, now: float | None, kind: str, subject: str, message: str, level: str = "info") -> None:
        said = signal(kind, subject, message, source=f"/sources/{subject}", level=level)  # type: ignore[arg-type]
        self._feed.take("system", said, now)


async def keep_moving(run: Run, every_s: float = 0.2) -> None:
    """Step for ever."""
    while True:
        run.step(every_s)
        await asyncio.sleep(every_s)


async def main() -> None:
    """Serve a simulated run."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--port", type=int, default=8080)
    flags.add_argument("--auth", choices=["token", "none"], default="none")
    flags.add_argument("--calm", action="store_true")
    given = flags.parse_args()
    root = Path(tempfile.mkdtemp())
    settings = Web(port=given.port, auth=given.auth)
    tokens = TokenStore.open(root)
    feed = LiveFeed()
    run = Run(feed, calm=given.calm)
    for back in range(1500, 0, -1):
        run.step(0.2, time.monotonic() - back / 5)
    serving = await serve(
        create_app(feed, settings=settings, token=tokens, root=root), settings.host, settings.port
    )
    where = (
        login_url(tokens, settings.host, serving.port)
        if given.auth == "token"
        else f"http://127.0.0.1:{serving.port}/"
    )
    print(where, flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await keep_moving(run)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
