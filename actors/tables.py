"""What Hive should know of a dataset's tables: columns of every version, where the rows come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Protocol

from bridge.ddl import TablePlan
from core.errors import BadSchema
from schemas.columns import Column
from schemas.model import Registered
from schemas.versions import fold

LONGEST_LINEAGE = 4000
"""The metastore keeps 4,000 characters of a property."""
PLACES = ("path", "table", "topic")
"""What names the input of a source, whatever kind it is; addresses may hold secrets and stay out."""


class Registry(Protocol):
    """Where schemas are."""

    async def get(self, subject: str, version: int | None = None) -> Registered:
        """A version of a subject."""


async def versions_of(registry: Registry, newest: Registered) -> list[Registered]:
    """All schema versions of a subject up to ``newest``; one that was removed for good is left out."""
    found = []
    for number in range(1, newest.version):
        try:
            found.append(await registry.get(newest.subject, number))
        except BadSchema:
            continue
    return [*found, newest]


def table_plan(
    schema: str, rules: str, versions: Iterable[Iterable[Column]], sources: Mapping[str, Any]
) -> TablePlan:
    """The plan of a dataset's tables.

    Args:
        schema: ``subject:version``, the newest.
        rules: what rows are judged by now.
        versions: the columns of each schema version, the oldest first, the newest last.
        sources: name -> settings of the sources that feed it.
    """
    columns = [list(one) for one in versions]
    table = [max((column.table for column in one), default=1) for one in columns]
    folded = [
        tuple(fold(one for _, one in group))
        for _, group in groupby(zip(table, columns, strict=True), lambda pair: pair[0])
    ]
    return TablePlan(
        dataset=schema.partition(":")[0], schema=schema, rules=rules, columns=folded[-1],
        older=tuple(folded[:-1]), facts=facts_of(sources),
    )  # fmt: skip


def facts_of(sources: Mapping[str, Any]) -> dict[str, str]:
    """Table properties that say where rows come from: ``assay.sources``, and ``assay.lineage`` as JSON."""
    inputs: list[dict[str, str]] = []
    for name, settings in sorted(sources.items()):
        place = next((str(found) for key in PLACES if (found := getattr(settings, key, None))), "")
        inputs.append({"source": name, "type": settings.type, "input": place})
    lineage = json.dumps(inputs, ensure_ascii=False)
    while len(lineage) > LONGEST_LINEAGE and inputs:
        inputs.pop()
        lineage = json.dumps([*inputs, {"more": str(len(sources) - len(inputs))}], ensure_ascii=False)
    return {"assay.sources": ", ".join(sorted(sources))[:LONGEST_LINEAGE], "assay.lineage": lineage}
