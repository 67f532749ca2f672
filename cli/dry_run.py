"""``--dry-run``: read and judge everything there is now, write nothing, say what would land. No Ray, no lock."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from actors.sources.table import make
from actors.stations import types_of
from cli import exits
from cli.table import table
from config.models import Config
from core.batch import Resume
from core.errors import AssayError
from core.judging import counts_by_tier, judge_batch, within
from core.redact import redact
from core.span import Span
from core.tiers import TIER_WORDS, Tier
from quality import compile_judge
from quality.spec import JudgeSpec


async def dry_run(config: Config, span: Span | None) -> int:
    """Judge every source once, from its beginning; print a table.

    Returns:
        The exit code: 4 when a source could not be read.
    """
    rows, unreadable = [], []
    for name in config.sources:
        try:
            rows.append(await _one(name, config, span))
        except AssayError as error:
            unreadable.append(f"assay: {name}: {error}{_mend(config, name, error)}")
    print(table(("source", "would land in", "read", *TIER_WORDS, "quarantined", "seconds"), rows))
    for line in unreadable:
        print(redact(line), file=sys.stderr)
    print("nothing was written")
    return exits.SOURCE_UNREACHABLE if unreadable else exits.OK


def _mend(config: Config, name: str, error: AssayError) -> str:
    """What writes the files of a sample source, where they are what is missing."""
    missing = error.code == "E201" and config.sources[name].sample is not None
    return "; run `make batch` once: it writes the samples" if missing else ""


async def _one(name: str, config: Config, span: Span | None) -> tuple[str, ...]:
    settings = config.sources[name]
    dataset = config.datasets[settings.dataset]
    schema = Path(str(dataset.schema_)).read_bytes()
    judge = compile_judge(schema, JudgeSpec.from_mapping(dataset.model_dump(by_alias=True)))
    said: list[Any] = []
    source = make(
        name, settings, follow=False, span=span, fields=types_of(json.loads(schema)), say=said.append
    )
    started, tiers, quarantined = time.monotonic(), dict.fromkeys(Tier, 0), 0
    try:
        await source.open(Resume())
        while (batch := await source.read()) is not None:
            records, _ = within(judge_batch(judge, batch, time.time_ns() // 1000), batch.covers, span)
            for tier, count in enumerate(counts_by_tier(records)):
                tiers[Tier(tier)] += count
            quarantined += sum(refused.records for refused in batch.quarantined)
            for refused in batch.quarantined:
                print(redact(f"{name}: {refused.reason}"), file=sys.stderr)
    finally:
        await source.close()
    read = sum(tiers.values()) + quarantined
    counts = (f"{tiers[tier]:,}" for tier in sorted(Tier, reverse=True))
    seconds = f"{time.monotonic() - started:.1f}"
    return (name, f"*_{settings.dataset}", f"{read:,}", *counts, f"{quarantined:,}", seconds)
