"""The page's numbers, folded purely: ``fold(state, message) -> state``. Times are passed in, so nothing waits.

The status document is the truth about counts; ``stats`` add what it does not hold (measures, delays, queues);
``system`` signals fill the ring of events. Once a second a point is added to five minutes of series.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import msgspec

from core.signals import Signal
from core.tiers import MEASURES, TIER_WORDS

RING = 500
"""Events kept."""
POINTS = 300
"""Seconds of series kept."""
WINDOW_S = 3.0
"""Rates are means over so long: commits come every half second, so less would flicker."""
COUNTED = ("read", "committed", *TIER_WORDS)

Counts = Mapping[str, int]
Samples = tuple[tuple[float, Counts], ...]


@dataclass(frozen=True, slots=True)
class Status:
    """A status document, and when it came (monotonic seconds)."""

    document: dict[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What one station says of itself."""

    body: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Said:
    """A signal was heard."""

    signal: Signal
    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A second has passed. ``wall``: seconds since 1970."""

    at: float
    wall: float


Message = Status | Stats | Said | Tick

EMPTY: dict[str, Any] = {
    "state": "starting", "started_at": None, "mode": None, "sources": [], "ledger": {}, "run": {},
    "stations": [], "stores": [],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """All that the page shows. Never changed, only replaced."""

    document: dict[str, Any] = field(default_factory=lambda: dict(EMPTY))
    document_at: float | None = None
    samples: Mapping[str, Samples] = field(default_factory=dict)
    stations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    heard: int = 0
    points: tuple[Mapping[str, Any], ...] = ()


def fold(state: State, message: Message) -> State:
    """The state after one more message. Cost: O(sources) for a status document, O(1) otherwise."""
    match message:
        case Status(document, at):
            return replace(
                state, document=document, document_at=at, samples=_sampled(state.samples, document, at)
            )
        case Stats(body, _):
            return replace(state, stations={**state.stations, str(body.get("station", "unknown")): body})
        case Said(signal, _):
            event = {"n": state.heard + 1, **msgspec.to_builtins(signal)}
            return replace(state, heard=state.heard + 1, events=(*state.events[-(RING - 1) :], event))
        case Tick(at, wall):
            return replace(state, points=(*state.points[-(POINTS - 1) :], _point(state, at, wall)))


def _sampled(samples: Mapping[str, Samples], document: Mapping[str, Any], at: float) -> dict[str, Samples]:
    return {
        source["name"]: _with_sample(
            samples.get(source["name"], ()), {k: source.get(k, 0) for k in COUNTED}, at
        )
        for source in document.get("sources", ())
    }


def _with_sample(samples: Samples, counts: Counts, at: float) -> Samples:
    """One sample more, those older than the window gone; a count that fell back starts anew."""
    if samples and counts["read"] < samples[-1][1]["read"]:
        return ((at, counts),)
    recent = tuple(sample for sample in samples if at - sample[0] <= WINDOW_S)
    return (*recent, (at, counts))


def rates(samples: Samples, now: float) -> dict[str, float]:
    """Per second, by count; all 0 when nothing was heard for a window.

    >>> rates(((0.0, dict.fromkeys(COUNTED, 0)), (2.0, dict.fromkeys(COUNTED, 50))), 2.0)["read"]
    25.0
    """
    if len(samples) < 2 or now - samples[-1][0] > WINDOW_S:
        return dict.fromkeys(COUNTED, 0.0)
    return {name: _rate([(at, counts[name]) for at, counts in samples]) for name in COUNTED}


def _rate(samples: list[tuple[float, int]]) -> float:
    """Rise per second. What is committed rises in steps: from step to step, or a window's edges would make it swing."""
    steps = [new for old, new in pairwise(samples) if new[1] != old[1]]
    (first_at, first), (last_at, last) = (
        (steps[0], steps[-1]) if len(steps) > 1 else (samples[0], samples[-1])
    )
    return max(0.0, (last - first) / max(last_at - first_at, 1e-9))


def live(state: State, now: float) -> dict[str, Any]:
    """What stands beside the status document: rates, delays, measures, series.

    Returns:
        ``rates`` (all sources together), ``sources`` (by name: rates, delay_ms, measures, events_total, rules,
        scored, fill, credit, bytes_read, settled_at), ``delay_ms`` (p50, p95 of the slowest source that moves, or null), ``measures`` (means
        weighted by what was read), ``series`` (points, oldest first), ``events`` (signals heard),
        ``age_s`` (of the document; null: none yet), ``stored`` (nothing runs).
    """
    by_source = {name: _source_live(state, name, now) for name in state.samples}
    moving = [one for one in by_source.values() if one["rates"]["read"] > 0] or list(by_source.values())
    return {
        "rates": {name: sum(one["rates"][name] for one in by_source.values()) for name in COUNTED},
        "sources": by_source,
        "delay_ms": _slowest(one["delay_ms"] for one in moving),
        "measures": _means(state, by_source),
        "series": state.points,
        "events": state.heard,
        "age_s": None if state.document_at is None else max(0.0, now - state.document_at),
        "stored": False,
    }


def _source_live(state: State, name: str, now: float) -> dict[str, Any]:
    said = state.stations.get(f"connector:{name}", {})
    return {
        "rates": rates(state.samples[name], now),
        "delay_ms": said.get("delay_ms") or None,
        "measures": said.get("measures") or {},
        "events_total": said.get("events_total"),
        "rules": said.get("rules") or {},
        "scored": said.get("scored") or {},
        "fill": _fill(said),
        "credit": said.get("credit") or {},
        "bytes_read": said.get("bytes_read"),
        "settled_at": said.get("settled_at"),
        "detail": str(said.get("detail") or ""),
    }


def _fill(said: Mapping[str, Any]) -> float | None:
    """How full the source's credit is, 0 to 1; None where it does not say."""
    credit = said.get("credit") or {}
    used, capacity = credit.get("used_bytes"), credit.get("capacity_bytes")
    return min(1.0, used / capacity) if used is not None and capacity else None


def _slowest(delays: Iterable[Mapping[str, float] | None]) -> dict[str, float] | None:
    said = [delay for delay in delays if delay and delay.get("p95") is not None]
    return dict(max(said, key=lambda delay: delay["p95"])) if said else None


def _means(state: State, by_source: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Each measure's mean over the sources that have it, weighted by their records read."""
    means: dict[str, float | None] = {}
    for measure in MEASURES:
        pairs = [
            (one["measures"][measure], max(1, state.samples[name][-1][1]["read"]))
            for name, one in by_source.items()
            if one["measures"].get(measure) is not None
        ]
        weight = sum(w for _, w in pairs)
        means[measure] = sum(v * w for v, w in pairs) / weight if weight else None
    return means


def _point(state: State, at: float, wall: float) -> dict[str, Any]:
    now = live(state, at)
    delay = now["delay_ms"]
    return {
        "at": int(wall),
        **{name: round(value, 1) for name, value in now["rates"].items()},
        "delay_p95": round(delay["p95"], 1) if delay else None,
        "in_flight": state.document.get("ledger", {}).get("in_flight", 0),
    }
