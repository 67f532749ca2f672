"""Status documents as tables for a terminal: the closing table of a run, and ``assay status``."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.tiers import TIER_WORDS

_STYLES = {"gold": "yellow", "silver": "white", "bronze": "dark_orange3", "rejected": "red"}


def closing_table(
    status: Mapping[str, Any],
    rates: Mapping[str, tuple[float, float]],
    where: Mapping[str, str],
    *,
    colour: bool | None = None,
) -> str:
    """What a run did, one line a source and one for all.

    Args:
        status: the status document (docs/contracts.md §4).
        rates: source → (seconds it took, records a second).
        where: source → where its records landed.
        colour: None: when stdout is a terminal and ``NO_COLOR`` is not set.
    """
    heads = ("source", "read", *TIER_WORDS, "seconds", "records/s", "where it landed")
    rows = [_closing_row(source, rates, where) for source in status["sources"]]
    ledger = status["ledger"]
    total = ("all", _n(ledger["read"]), *(_n(ledger[tier]) for tier in TIER_WORDS), "", "", _balance(ledger))
    return "\n".join([table(heads, [*rows, total], colour=colour), *_refused(status)])


def status_table(status: Mapping[str, Any], root: Path) -> str:
    """The status document for people."""
    heads = ("source", "state", "read", *TIER_WORDS, "quarantined", "duplicate", "in flight", "last error")
    names = (*TIER_WORDS, "quarantined", "duplicate", "in_flight")
    rows = [
        (s["name"], s["state"], _n(s["read"]), *(_n(s[name]) for name in names), _error(s.get("last_error")))
        for s in status["sources"]
    ]
    ledger = status["ledger"]
    rows.append(
        ("all", status["state"], _n(ledger["read"]), *(_n(ledger[name]) for name in names), _balance(ledger))
    )
    parts = [f"data directory: {root}", "\n".join([table(heads, rows), *_refused(status)])]
    if status["stations"]:
        lines = [
            (s["name"], str(s["state"]), str(s.get("pid") or ""), str(s.get("restarts", 0)))
            for s in status["stations"]
        ]
        parts.append(table(("station", "state", "pid", "restarts"), lines))
    if status["stores"]:
        stores = [(s["name"], str(s["state"]), str(s.get("waiting", 0))) for s in status["stores"]]
        parts.append(table(("store", "state", "waiting"), stores))
    return "\n\n".join(parts)


def _refused(status: Mapping[str, Any]) -> list[str]:
    """A line for each source with files that could not be used."""
    counts = [(source["name"], (source.get("refused") or {}).get("files", 0)) for source in status["sources"]]
    return [
        f"{name}: {_n(files)} file{' was' if files == 1 else 's were'} refused; see quarantine/{name}"
        for name, files in counts
        if files
    ]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, colour: bool | None = None) -> str:
    """Aligned columns; numbers to the right. With colour on a terminal, plain elsewhere."""
    if colour is None:
        colour = on_terminal(sys.stdout)
    return _rich(heads, rows) if colour else _plain(heads, rows)


def on_terminal(stream: Any) -> bool:
    """Whether colour and redrawing are welcome there."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _closing_row(
    source: Mapping[str, Any], rates: Mapping[str, tuple[float, float]], where: Mapping[str, str]
) -> tuple[str, ...]:
    name = source["name"]
    took, rate = rates.get(name, (0.0, 0.0))
    tiers = (_n(source[tier]) for tier in TIER_WORDS)
    return (name, _n(source["read"]), *tiers, f"{took:.1f}", f"{rate:,.0f}", where.get(name, ""))


def _balance(ledger: Mapping[str, int]) -> str:
    imbalance = ledger["imbalance"]
    return "the books balance" if imbalance == 0 else f"IMBALANCE {imbalance:+,}"


def _error(error: Any) -> str:
    if not error:
        return ""
    return (
        str(error.get("message") or error.get("code") or error) if isinstance(error, Mapping) else str(error)
    )


def _n(number: int) -> str:
    return f"{number:,}"


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").isdigit()


def _plain(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = [all(_is_number(row[column]) or not row[column] for row in rows) for column in range(len(heads))]

    def drawn(line: Sequence[str]) -> str:
        cells = (
            text.rjust(w) if r else text.ljust(w) for text, w, r in zip(line, widths, right, strict=True)
        )
        return "  ".join(cells).rstrip()

    return "\n".join([drawn(lines[0]), "  ".join("-" * width for width in widths), *map(drawn, lines[1:])])


def _rich(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, head in enumerate(heads):
        right = all(_is_number(row[column]) or not row[column] for row in rows)
        drawn.add_column(
            head, justify="right" if right else "left", style=_STYLES.get(head, ""), overflow="fold"
        )
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    width = os.get_terminal_size().columns if sys.stdout.isatty() else 160
    Console(file=out, force_terminal=True, width=max(width, 80)).print(drawn)
    return out.getvalue().rstrip("\n")
