"""The sample data as the pipeline sees them: the configuration's own sources, read and judged."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from actors.sources.table import make
from actors.stations import types_of
from cli.samples import prepare
from config.load import load
from config.models import Config
from core.batch import Resume
from core.judging import judge_batch
from core.tiers import Tier
from quality import compile_judge

CHECKOUT = Path(__file__).parents[2]
NOON_US = 1_764_000_000_000_000


@dataclass
class Judged:
    """What became of the rows of one source."""

    rows: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    rules: dict[str, Counter[str]] = field(default_factory=dict)
    """tier -> rule -> rows that name it"""
    timeliness: set[float | None] = field(default_factory=set)
    keys: list[Any] = field(default_factory=list)

    def add(self, records: Any) -> None:
        documents = pc.coalesce(records.column("document"), records.column("raw")).to_pylist()
        columns = (records.column(name).to_pylist() for name in ("tier", "reasons", "timeliness"))
        for document, tier, reasons, timely in zip(documents, *columns, strict=True):
            word = Tier(tier).word
            self.rows += 1
            self.tiers[word] += 1
            self.rules.setdefault(word, Counter()).update(
                {reason["rule"] for reason in reasons or []} or {"-"}
            )
            self.timeliness.add(timely)
            self.keys.append(next(iter(json.loads(document).values())))


def a_config(root: Path) -> Config:
    """The configuration of the checkout, with its data below ``root`` and written there."""
    config = load(CHECKOUT / "config" / "data_sources.yml", data_dir=root, env={})
    prepare(config, lambda line: None)
    return config


def judged(config: Config, name: str, at_most: int = 1 << 40) -> Judged:
    """Read a source to its end (or ``at_most`` rows), and judge every record."""
    return asyncio.run(_judged(config, name, at_most))


async def _judged(config: Config, name: str, at_most: int) -> Judged:
    settings = config.sources[name]
    dataset = config.datasets[settings.dataset]
    schema = (CHECKOUT / str(dataset.schema_)).read_bytes()
    judge = compile_judge(schema, dataset.model_dump(by_alias=True))
    source = make(
        name, settings, follow=False, span=None, fields=types_of(json.loads(schema)), say=lambda said: None
    )
    found = Judged()
    try:
        await source.open(Resume())
        while (batch := await source.read()) is not None:
            if not len(batch):
                continue
            found.add(judge_batch(judge, batch, NOON_US).slice(0, at_most - found.rows))
            if found.rows == at_most:
                break
    finally:
        await source.close()
    return found
