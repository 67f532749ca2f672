"""From a snapshot to what the page shows: words, levels and rounded numbers. Pure; the browser only draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.tiers import TIER_WORDS

STALE_S = 3.0
LEVELS = ("ok", "off", "warn", "error")
"""Best first. ``off``: not working, and need not."""
WORDS: Mapping[str, tuple[str, str]] = {
    "starting": ("off", "Starting"), "running": ("ok", "Healthy"), "reading": ("ok", "Healthy"),
    "idle": ("ok", "Watching"), "watching": ("ok", "Watching"), "up": ("ok", "Up"), "ready": ("ok", "Ready"),
    "done": ("ok", "Done"), "drained": ("ok", "Done"), "draining": ("ok", "Draining"),
    "stopped": ("off", "Stopped"), "disabled": ("off", "Off"), "off": ("off", "Off"), "standby": ("off", "Standby"),
    "waiting": ("warn", "Waiting"), "restarting": ("warn", "Restarting"), "throttled": ("warn", "Throttled"),
    "degraded": ("warn", "Degraded"), "catching-up": ("warn", "Catching up"), "absent": ("off", "Off"),
    "hanging": ("error", "Hanging"), "refused": ("error", "Refused"), "failed": ("error", "Failed"), "down": ("error", "Down"), "dead": ("error", "Down"),
}  # fmt: skip


def worded(state: Any) -> tuple[str, str]:
    """Level and word of a state; one we do not know is shown as it is."""
    known = WORDS.get(str(state))
    return known or ("off", str(state or "unknown").replace("-", " ").capitalize())


def flow(snapshot: Mapping[str, Any], stamp_ms: int) -> dict[str, Any]:
    """All that moves on the pipeline page, for the channel ``flow``."""
    live = snapshot["live"]
    sources = [_source(source, live) for source in snapshot["sources"]]
    stores = [_store(store) for store in snapshot["stores"]]
    stations = [_station(station) for station in snapshot["stations"]]
    return {
        "ts": stamp_ms,
        "state": snapshot["state"],
        "mode": snapshot["mode"],
        "started_at": snapshot["started_at"],
        "stored": live["stored"],
        "age_s": _round(live["age_s"], 1),
        "verdict": verdict(snapshot),
        "ledger": _ledger(snapshot["ledger"]),
        "rates": {name: _round(rate, 1) for name, rate in live["rates"].items()},
        "shares": shares(snapshot),
        "recent": any(point[tier] for point in live["series"] for tier in TIER_WORDS),
        "delay": {k: _round(v, 1) for k, v in (live["delay_ms"] or {}).items()},
        "measures": {name: _round(value, 4) for name, value in live["measures"].items()},
        "sources": sources,
        "stations": stations,
        "stores": stores,
    }


def verdict(snapshot: Mapping[str, Any]) -> dict[str, str]:
    """One sentence that names the culprit; loss first, then what failed, then what waits."""
    ledger = snapshot["ledger"]
    if ledger.get("imbalance", 0):
        return {"level": "error", "text": _unbalanced(snapshot["sources"], ledger["imbalance"])}
    told = [(_level(one), one["name"], worded(one["state"])[1].lower()) for one in _everyone(snapshot)]
    ill = sorted((one for one in told if one[0] in {"error", "warn"}), key=lambda one: -LEVELS.index(one[0]))
    if ill:
        words = "; ".join(f"{name} {word}" for _, name, word in ill[:2])
        more = f" and {len(ill) - 2} more" if len(ill) > 2 else ""
        return {"level": ill[0][0], "text": words + more}
    return _calm(snapshot)


def _calm(snapshot: Mapping[str, Any]) -> dict[str, str]:
    state, sources = snapshot["state"], snapshot["sources"]
    if snapshot["live"]["stored"]:
        return {"level": "off", "text": "Nothing runs; this is what is stored"}
    if state in {"starting"} or not sources:
        return {"level": "off", "text": "Starting; no source has spoken yet"}
    if state == "done":
        return {"level": "ok", "text": "Done; every record has found its place"}
    if state == "draining":
        return {"level": "ok", "text": "Draining; what was read is being stored"}
    if state == "failed":
        return {"level": "error", "text": "The run failed; the log says why"}
    if state == "degraded":
        return {"level": "warn", "text": "Running with something amiss"}
    if snapshot["live"]["rates"]["read"] > 0:
        return {"level": "ok", "text": "All sources flow, nothing is lost"}
    flying = snapshot["ledger"].get("in_flight", 0)
    if flying:
        return {
            "level": "ok",
            "text": f"{flying:,} record{' on its way' if flying == 1 else 's on their way'} to a commit",
        }
    return {"level": "ok", "text": "All quiet; waiting for something new"}


def _unbalanced(sources: Sequence[Mapping[str, Any]], imbalance: int) -> str:
    culprits = [source["name"] for source in sources if imbalance_of(source)]
    where = f" in {', '.join(culprits[:3])}" if culprits else ""
    one = abs(imbalance) == 1
    missing, stored = ("is", "was") if one else ("are", "were")
    what = f"{missing} missing" if imbalance > 0 else f"{stored} stored and never read"
    return f"{abs(imbalance):,} record{'' if one else 's'} {what}{where}"


def imbalance_of(source: Mapping[str, Any]) -> int:
    """Records of a source that are unaccounted for; 0 always."""
    settled = sum(source[name] for name in (*TIER_WORDS, "quarantined", "duplicate", "in_flight"))
    difference: int = source["read"] - settled
    return difference


def _everyone(snapshot: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*snapshot["sources"], *_core_stations(snapshot["stations"]), *snapshot["stores"]]


def _core_stations(stations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Stations that are not shown as a source already."""
    return [station for station in stations if not station["name"].startswith("connector:")]


def _level(one: Mapping[str, Any]) -> str:
    return worded(one.get("state"))[0]


def shares(snapshot: Mapping[str, Any]) -> dict[str, float | None]:
    """Each tier's part of what was stored in the last five minutes; of all that is stored when nothing was.

    Returns:
        Fractions in [0, 1]; None while nothing is known.
    """
    series = snapshot["live"]["series"]
    counts = {tier: float(sum(point[tier] for point in series)) for tier in TIER_WORDS}
    if not sum(counts.values()):
        counts = {tier: float(snapshot["ledger"].get(tier, 0)) for tier in TIER_WORDS}
    total = sum(counts.values())
    return {tier: round(count / total, 4) if total else None for tier, count in counts.items()}


def _ledger(ledger: Mapping[str, int]) -> dict[str, int]:
    read, in_flight = ledger.get("read", 0), ledger.get("in_flight", 0)
    imbalance = ledger.get("imbalance", 0)
    return {
        **ledger,
        "read": read,
        "saved": read - in_flight - imbalance,
        "in_flight": in_flight,
        "imbalance": imbalance,
    }


def _source(source: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    level, word = worded(source["state"])
    own = live["sources"].get(source["name"], {})
    rate = own.get("rates", {})
    return {
        **{
            key: source[key] for key in ("name", "type", "dataset", "state", "read", "committed", "in_flight")
        },
        **{key: source[key] for key in (*TIER_WORDS, "quarantined", "duplicate")},
        "imbalance": imbalance_of(source),
        "level": level,
        "word": word,
        "rate": _round(rate.get("read", 0.0), 1),
        "written": _round(rate.get("committed", 0.0), 1),
        "lag": source.get("lag") or {"records": None, "seconds": None},
        "error": (source.get("last_error") or {}).get("message"),
        "code": (source.get("last_error") or {}).get("code"),
        "fill": _round(own.get("fill"), 3),
        "detail": own.get("detail", ""),
        "delay_p95": _round((own.get("delay_ms") or {}).get("p95"), 1),
    }


def _store(store: Mapping[str, Any]) -> dict[str, Any]:
    level, word = worded(store["state"])
    return {"name": store["name"], "level": level, "word": word, "waiting": store.get("waiting", 0)}


def _station(station: Mapping[str, Any]) -> dict[str, Any]:
    level, word = worded(station.get("state"))
    return {
        "name": station["name"], "level": level, "word": word, "pid": station.get("pid"),
        "restarts": station.get("restarts", 0),
    }  # fmt: skip


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
