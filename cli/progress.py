"""Progress of a run from its status documents: bars on a terminal, a line a source now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from cli.table import on_terminal
from core.redact import redact
from core.tiers import TIER_WORDS


class Progress:
    """Shows how far each source is. Feed it status documents as often as you like.

    Args:
        stream: where to; stderr by default, so that stdout stays for results.
        every_s: seconds between plain lines of one source.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._rates: dict[str, _Rate] = {}
        self._view: _Bars | _Lines = (
            _Bars(self._stream) if on_terminal(self._stream) else _Lines(self._stream, every_s)
        )

    def update(self, status: Mapping[str, Any]) -> None:
        """Show a newer status document."""
        now = self._clock()
        for source in status["sources"]:
            rate = self._rates.setdefault(source["name"], _Rate(now, source["read"]))
            rate.see(now, source["read"])
            self._view.show(source, rate.per_s, now)

    def rates(self) -> dict[str, tuple[float, float]]:
        """Source → (seconds from first to last new record, records a second in between), for ``closing_table``."""
        return {name: (rate.took_s, rate.mean_per_s) for name, rate in self._rates.items()}

    def close(self) -> None:
        """Leave the terminal as it was. Safe twice."""
        self._view.close()


class _Rate:
    """Records a second of one source: overall, and of the last seconds for display."""

    def __init__(self, now: float, read: int) -> None:
        self._first = self._last = self._marked = now
        self._start = self._read = self._mark = read
        self.per_s = 0.0

    def see(self, now: float, read: int) -> None:
        if read != self._read:
            self._last, self._read = now, read
        if now - self._marked >= 1.0:
            self.per_s = max(0.0, (read - self._mark) / (now - self._marked))
            self._marked, self._mark = now, read

    @property
    def took_s(self) -> float:
        return self._last - self._first

    @property
    def mean_per_s(self) -> float:
        return (self._read - self._start) / self.took_s if self.took_s > 0 else 0.0


class _Lines:
    def __init__(self, stream: TextIO, every_s: float) -> None:
        self._stream = stream
        self._every_s = every_s
        self._shown: dict[str, tuple[float, str, int]] = {}

    def show(self, source: Mapping[str, Any], per_s: float, now: float) -> None:
        name, state, read = source["name"], str(source["state"]), int(source["read"])
        when, last_state, last_read = self._shown.get(name, (float("-inf"), "", -1))
        due = now - when >= self._every_s and read != last_read
        if state == last_state and not due:
            return
        self._shown[name] = (now, state, read)
        tiers = "  ".join(f"{tier} {source[tier]:,}" for tier in TIER_WORDS)
        ahead = _left(source)
        left = f"  {ahead:,} to go" if ahead else ""
        line = f"{name}: {state}  read {read:,}  {tiers}  in flight {source['in_flight']:,}  {per_s:,.0f}/s{left}"
        print(redact(line), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing to put back."""


class _Bars:
    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Drawn

        self._drawn = Drawn(
            TextColumn("{task.description}"), TextColumn("[dim]{task.fields[state]}"), BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}"), TextColumn("{task.fields[tiers]}"),
            TextColumn("{task.fields[rate]}/s"), TimeRemainingColumn(),
            console=Console(file=stream, stderr=stream is sys.stderr), transient=False,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._drawn.start()

    def show(self, source: Mapping[str, Any], per_s: float, now: float) -> None:
        name, read = source["name"], int(source["read"])
        tiers = " ".join(
            f"[{colour}]{source[tier]:,}[/]" for tier, colour in zip(TIER_WORDS, _COLOURS, strict=True)
        )
        facts: dict[str, Any] = {"state": str(source["state"]), "tiers": tiers, "rate": f"{per_s:,.0f}"}
        if name not in self._tasks:
            self._tasks[name] = self._drawn.add_task(name, total=None, **facts)
        ahead = _left(source)
        total = read + ahead if ahead is not None else (read if source["state"] in _OVER else None)
        self._drawn.update(self._tasks[name], completed=read, total=total, **facts)

    def close(self) -> None:
        self._drawn.stop()


_COLOURS = ("yellow", "white", "dark_orange3", "red")
_OVER = ("done", "drained", "stopped", "failed")


def _left(source: Mapping[str, Any]) -> int | None:
    lag = source.get("lag") or {}
    records = lag.get("records")
    return int(records) if records is not None else None
