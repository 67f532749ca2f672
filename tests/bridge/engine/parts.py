"""One source's input through Spark's tasks and through the connector's own code, into two data directories."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.sources.table import make
from bridge.engine.chunks import Chunks, Done
from bridge.engine.files import FileKind
from bridge.engine.work import Job
from config.models import FileSettings
from core.frame import Frame, Header, QuarantineNote
from core.judging import counts_by_tier, judge_batch, pieces, within
from core.ledger import Counts
from core.ports import Settled
from core.signals import Signal
from core.span import Span
from quality import compile_judge
from quality.spec import JudgeSpec
from schemas.columns import columns
from store.commit import Committer
from store.layout import Layout
from store.staged import StagedCommit
from tests.store.stores import a_committer, stored_rows

SCHEMA: dict[str, Any] = {
    "title": "things",
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "name": {"type": ["string", "null"], "maxLength": 20},
        "qty": {"type": ["number", "null"], "minimum": 0},
        "at": {"type": ["string", "null"], "format": "date-time"},
    },
    "required": ["id"],
}
RULES: dict[str, Any] = {
    "event_time": "at",
    "clock": "2026-11-22T00:00:00Z",
    "expected_every": "1 day",
    "rules": [{"id": "named", "check": "name is not null", "severity": "minor"}],
}
FIELDS = {
    name: frozenset([kind] if isinstance(kind := what["type"], str) else kind)
    for name, what in SCHEMA["properties"].items()
}
NOT_COMPARED = {"assay_batch", "assay_arrived_at"}


@dataclass
class Directory:
    """A data directory that one source is read into."""

    root: Path
    settings: FileSettings
    committer: Committer = field(init=False)
    signals: list[Signal] = field(default_factory=list)
    epoch: int = 0
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.committer = a_committer(self.root, SCHEMA)

    @property
    def resume(self) -> Any:
        return self.committer.log.resume("things", self.committer.state)

    @property
    def counts(self) -> Counts:
        return self.committer.state.counts.get("things", Counts())

    def said(self, kind: str) -> list[str]:
        return [one.data["message"] for one in self.signals if one.type == kind]

    def rows(self) -> list[dict[str, Any]]:
        """Every stored row, without what may differ from run to run."""
        found = stored_rows(self.root)
        for row in found:
            if row["assay_event_time"] == row["assay_arrived_at"]:
                row["assay_event_time"] = None
        kept = [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in found]
        return sorted(kept, key=lambda row: str(row["assay_id"]))

    def quarantined(self) -> list[tuple[str, str, int]]:
        """Of every manifest: file, reason, unread bytes."""
        return sorted(
            (note.what, note.reason, note.bytes_unread)
            for manifest in self.committer.log.after(0)
            for note in manifest.quarantined
        )

    # --- by the connector's own code

    def by_actors(self, span: Span | None = None) -> None:
        """What a connector and the writer do, without the bus between them."""
        judge = compile_judge(json.dumps(SCHEMA).encode(), JudgeSpec.from_mapping(RULES))
        source = make(
            "things", self.settings, follow=False, span=span, fields=FIELDS, say=self.signals.append
        )
        self.epoch += 1

        async def read() -> list[Frame]:
            frames: list[Frame] = []
            await source.open(self.resume)
            while (batch := await source.read()) is not None:
                arrived = time.time_ns() // 1000
                records, covers = within(judge_batch(judge, batch, arrived), batch.covers, span)
                notes = [
                    QuarantineNote(q.what, q.reason, q.records, q.bytes_unread, q.path)
                    for q in batch.quarantined
                ]
                for piece, mine in pieces(records, covers, batch.partition, whole=False):
                    frames.append(Frame(Header(
                        source="things", dataset="things", epoch=self.epoch, seq=len(frames) + 1, mode="batch", arrived_us=arrived,
                        schema="things:1", rules=judge.version, content_type=batch.content_type,
                        tiers=counts_by_tier(piece), covers=mine, marks={batch.partition: batch.mark}, quarantined=notes,
                    ), piece))  # fmt: skip
                    notes = []
            await source.close()
            return frames

        self.committer.commit(asyncio.run(read()))

    # --- by Spark

    def by_spark(
        self, spark: Any, span: Span | None = None, *, limit_bytes: int = 1 << 30, follow: bool = False
    ) -> list[Done]:
        """What the batch engine does, chunk after chunk."""
        chunks, kind = self.chunks(span, follow=follow)
        made = []
        while (work := kind.plan(limit_bytes)) is not None:
            made.append(chunks.do(spark, work, f"job/{len(made)}"))
        self.done += made
        kind.close()
        return made

    def chunks(self, span: Span | None = None, *, follow: bool = False) -> tuple[Chunks, FileKind]:
        """A new epoch."""
        self.epoch += 1
        resume = self.resume
        kind = FileKind(
            "things", self.settings, follow=follow, fields=FIELDS, say=self.signals.append, cores=2
        )
        kind.restore(resume)
        return Chunks(self.job(span), kind, self, resume), kind

    def job(self, span: Span | None = None) -> Job:
        return Job(
            source="things", dataset="things", mode="batch", epoch=self.epoch, schema="things:1",
            document=json.dumps(SCHEMA).encode(), rules=RULES, columns=tuple(columns(SCHEMA)),
            layout=Layout.of(self.root), span=span,
        )  # fmt: skip

    # --- the writer's desk, in this process

    def reserve(self) -> int:
        return self.committer.reserve("things", self.epoch)

    def commit(self, number: int, staged: StagedCommit) -> Settled:
        done = self.committer.commit_staged(number, "things", self.epoch, staged)
        assert done.manifest is not None
        return Settled(boot="", source="things", epoch=self.epoch, seq=0, commit=number, counts=self.counts)

    def release(self, number: int) -> None:
        self.committer.release(number)


def settings(folder: Path, pattern: str = "*", **more: Any) -> FileSettings:
    given: Mapping[str, Any] = {"type": "file", "path": str(folder / pattern), "dataset": "things", **more}
    return FileSettings.model_validate(given)


def pair(folder: Path, pattern: str = "*", **more: Any) -> tuple[Directory, Directory]:
    """One input, two data directories: for the actors, for Spark."""
    read = settings(folder / "in", pattern, **more)
    return Directory(folder / "actors", read), Directory(folder / "spark", read)
