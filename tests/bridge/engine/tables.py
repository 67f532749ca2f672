"""A table as a source, read by Spark's tasks into a data directory of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.engine.chunks import Chunks
from bridge.engine.kinds import Given, batch
from bridge.engine.work import Kind
from core.span import Span
from tests.bridge.engine.parts import FIELDS, Directory


@dataclass
class TableDirectory(Directory):
    """As ``Directory``, for tables."""

    settings: Any
    spark: Any = None
    fields: Any = None

    def chunks(self, span: Span | None = None, *, follow: bool = False) -> tuple[Chunks, Any]:
        """A new epoch."""
        self.epoch += 1
        resume = self.resume
        kind = self.kind(span)
        kind.restore(resume)
        return Chunks(self.job(span), kind, self, resume), kind

    def kind(self, span: Span | None = None) -> Kind:
        """Of the settings' type."""
        return batch(Given(
            "things", self.settings, self.fields or FIELDS, self.signals.append, span=span, spark=self.spark,
            event_time="at", root=self.root,
        ))  # fmt: skip

    def ids(self) -> list[str]:
        """Of every stored row, repeats included."""
        return [row["assay_id"] for row in self.rows()]
