"""What tasks would hand in, staged for a number by the function that they call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.frame import Frame
from core.ranges import Ranges
from schemas.columns import columns
from store.documents import Documents
from store.layout import Layout
from store.staged import StagedCommit, StagedPart
from store.staging import attempt_suffix, stage_part
from tests.store.stores import SCHEMA

DOCUMENTS = Documents(columns(SCHEMA))


def a_part(
    root: Path, number: int, frames: Sequence[Frame], stored: Mapping[str, Ranges] | None = None
) -> StagedPart:
    """As a task does it, and its way to the driver."""
    part = stage_part(
        frames, stored or {}, Layout.of(root), number=number, suffix=attempt_suffix(),
        documents=lambda _dataset, _schema: DOCUMENTS,
    )  # fmt: skip
    return StagedPart.unpacked(part.packed())


def a_commit(*parts: StagedPart, **facts: Any) -> StagedCommit:
    """All parts of one commit."""
    wanted: dict[str, Any] = {"mode": "micro-batch", "job": "query/0", **facts}
    return StagedCommit(
        parts=list(parts), dataset="orders", schema="orders:1", rules="abcdef123456", **wanted
    )
