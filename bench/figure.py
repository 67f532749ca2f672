"""One measured figure, and how it stands against its target and its peer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its target. ``target`` and ``ratio_target`` None: shown, not judged."""

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True
    """Whether smaller is better; the same for value and ratio."""
    peer: float | None = None
    """What the peer needed in the same run, in the same unit."""
    peer_name: str = ""
    ratio_target: float | None = None
    peer_floor: float | None = None
    """The ratio counts only if the peer itself reaches this."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value by peer."""
        return self.value / self.peer if self.peer else None

    @property
    def verdict(self) -> str:
        """``ok``, ``missed``, or nothing where there is no target."""
        judged = []
        if self.target is not None:
            judged.append(self._holds(self.value, self.target))
        if self.ratio is not None and self.ratio_target is not None and self._ratio_counts:
            judged.append(self._holds(self.ratio, self.ratio_target))
        return "" if not judged else "ok" if all(judged) else "missed"

    @property
    def _ratio_counts(self) -> bool:
        return self.peer_floor is None or (self.peer is not None and self.peer >= self.peer_floor)

    def _holds(self, found: float, wanted: float) -> bool:
        return found <= wanted if self.at_most else found >= wanted

    def row(self) -> list[str]:
        """For the table."""
        sign = "≤" if self.at_most else "≥"
        targets = [f"{sign} {_short(self.target)}"] if self.target is not None else []
        if self.ratio_target is not None:
            targets.append(f"{sign} {self.ratio_target:g}x")
        ratio = (
            ""
            if self.ratio is None
            else f"{self.ratio:.2f}x" + ("" if self._ratio_counts else " (does not count)")
        )
        peer = "" if self.peer is None else f"{_short(self.peer)} {self.peer_name}".strip()
        return [
            self.name,
            _short(self.value),
            self.unit,
            ", ".join(targets),
            peer,
            ratio,
            self.verdict,
            self.note,
        ]

    def as_dict(self) -> dict[str, Any]:
        """For ``results.json``."""
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict}


def table(figures: Iterable[Figure]) -> str:
    """One aligned table."""
    head = ["figure", "value", "unit", "target", "peer", "ratio", "", "note"]
    return aligned([head, *(figure.row() for figure in figures)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, two spaces between; the second one, a number, to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if at == 1 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _short(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of all lie.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    3.0
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
