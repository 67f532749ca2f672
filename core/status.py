"""The status document (docs/contracts.md §4): folded from what the stations say, or from what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.ledger import Counts

BOOKS = (*Counts.__struct_fields__, "in_flight")
NONE_REFUSED = {"files": 0, "bytes": 0}
FILES = {"refused": "down", "degraded": "degraded"}
"""State of the writer -> state of the store it writes: neither place takes files; some wait in the fallback."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What is known of a source before it says anything."""

    name: str
    type: str
    dataset: str


def instant(seconds: float) -> str:
    """RFC 3339 in UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def source_object(
    facts: SourceFacts,
    counts: Counts,
    *,
    state: str,
    in_flight: int = 0,
    lag: Mapping[str, Any] | None = None,
    last_error: Mapping[str, Any] | None = None,
    refused: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """One entry of ``sources``."""
    return {
        "name": facts.name, "type": facts.type, "dataset": facts.dataset, "state": state, **counts.as_dict(),
        "in_flight": in_flight, "committed": counts.settled,
        "lag": dict(lag or {"records": None, "seconds": None}),
        "last_error": dict(last_error) if last_error else None,
        "refused": dict(refused or NONE_REFUSED),
    }  # fmt: skip


def ledger_of(sources: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The books of all sources together, with their imbalance."""
    total = dict.fromkeys(BOOKS, 0)
    for source in sources:
        for name in BOOKS:
            total[name] += source[name]
    return with_imbalance(total)


def with_imbalance(books: dict[str, int]) -> dict[str, int]:
    """``books`` and ``imbalance = read − all the others``."""
    return {**books, "imbalance": books["read"] - sum(books[name] for name in BOOKS if name != "read")}


def stored_document(
    stored: Mapping[str, Counts],
    sources: Iterable[SourceFacts],
    refused: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, Any]:
    """The status of a data directory that nobody is running on."""
    known = {facts.name: facts for facts in sources}
    names = list(known) + [name for name in stored if name not in known]
    objects = [
        source_object(
            known.get(name, SourceFacts(name, "unknown", "unknown")), stored.get(name, Counts()), state="stopped",
            refused=(refused or {}).get(name),
        )
        for name in names
    ]  # fmt: skip
    nothing = with_imbalance(dict.fromkeys(BOOKS, 0))
    return {
        "state": "done", "started_at": None, "mode": None, "sources": objects, "ledger": ledger_of(objects),
        "run": nothing, "stations": [], "stores": [],
    }  # fmt: skip


class StatusBoard:
    """Folds ``stats`` messages into the status of a running system.

    Args:
        mode: batch, micro-batch or event.
        sources: the sources of this run, in the order people read them.
        stored: counts in the manifests when the run started, by source (all that were ever stored).
        started_at: seconds since 1970.
    """

    def __init__(
        self, *, mode: str, sources: Iterable[SourceFacts], stored: Mapping[str, Counts], started_at: float
    ) -> None:
        self._mode = mode
        self._started_at = instant(started_at)
        self._stored = dict(stored)
        facts = list(sources)
        self._sources = {
            f.name: source_object(f, self._stored.get(f.name, Counts()), state="starting") for f in facts
        }
        others = [SourceFacts(n, "unknown", "unknown") for n in self._stored if n not in self._sources]
        self._idle = [source_object(f, self._stored[f.name], state="idle") for f in others]
        self._stations: dict[str, dict[str, Any]] = {}
        self._supervised: dict[str, dict[str, Any]] = {}
        self._stores: dict[str, dict[str, Any]] = {}
        self._refused: Mapping[str, Mapping[str, int]] = {}
        self.state = "running"

    def take(self, message: Mapping[str, Any]) -> None:
        """One ``stats`` message of a station."""
        kind = message.get("kind")
        if kind == "supervisor":
            self._supervised = {one["name"]: dict(one) for one in message["stations"]}
            return
        name = message["station"]
        self._stations[name] = {
            key: value
            for key, value in message.items()
            if key not in {"station", "kind", "source", "refused"}
        }
        if kind == "connector":
            self._hear(message)
        elif kind == "writer":
            self._refused = message.get("refused") or {}
            self._settle(message.get("settled") or {})
            self._stores["files"] = {
                "name": "files", "state": FILES.get(str(message.get("state")), "up"),
                "waiting": int(message.get("waiting", 0)),
            }  # fmt: skip
        elif kind == "lineage":
            self._stores["lineage"] = {
                "name": "lineage", "state": message.get("state"), "waiting": message.get("waiting", 0),
            }  # fmt: skip
        elif kind == "bridge":
            self._stores["hive"] = {
                "name": "hive", "state": message.get("state"), "waiting": message.get("waiting", 0),
                **({"last_error": message["last_error"]} if message.get("last_error") else {}),
            }  # fmt: skip

        if "aggregates" in message:
            kept = message["aggregates"]
            self._stores["aggregates"] = {
                "name": "aggregates", **{key: kept[key] for key in ("state", "waiting", "late", "last_error")},
            }  # fmt: skip

    def _hear(self, message: Mapping[str, Any]) -> None:
        """A connector's books; before its first epoch it has none, and what was known of it stands."""
        said = dict(message["source"])
        known = self._sources.get(said["name"])
        if known is not None and message.get("epoch") == 0:
            said = {**known, **{name: said[name] for name in ("state", "last_error")}}
        self._sources[said["name"]] = said

    def _settle(self, settled: Mapping[str, Mapping[str, int]]) -> None:
        """The writer's last word of a run: what is stored of sources that have ended and hear it no more."""
        for name, counts in settled.items():
            source = self._sources.get(name)
            if source is not None and not source["in_flight"]:
                stored = {key: value for key, value in counts.items() if key != "read"}
                self._sources[name] = {**source, **stored, "committed": sum(stored.values())}

    def document(self) -> dict[str, Any]:
        """The status of now."""
        sources = [self._with_restarts(source) for source in self._sources.values()]
        idle = [self._with_refused(source) for source in self._idle]
        ledger = ledger_of([*sources, *idle])
        start = ledger_of(
            [source_object(SourceFacts(n, "", ""), c, state="") for n, c in self._stored.items()]
        )
        return {
            "state": self._state(sources), "started_at": self._started_at, "mode": self._mode,
            "sources": [*sources, *idle], "ledger": ledger,
            "run": with_imbalance({name: ledger[name] - start[name] for name in BOOKS}),
            "stations": self._station_list(), "stores": list(self._stores.values()),
        }  # fmt: skip

    def _with_refused(self, source: dict[str, Any]) -> dict[str, Any]:
        return {**source, "refused": dict(self._refused.get(source["name"], NONE_REFUSED))}

    def _with_restarts(self, source: dict[str, Any]) -> dict[str, Any]:
        source = self._with_refused(source)
        station = self._supervised.get(f"connector:{source['name']}", {})
        if station.get("state") in {"restarting", "failed"}:
            return {
                **source,
                "state": station["state"],
                "last_error": station.get("last_error") or source["last_error"],
            }
        return source

    def _station_list(self) -> list[dict[str, Any]]:
        listed = []
        for name, supervised in self._supervised.items():
            own = self._stations.get(name, {})
            state = supervised["state"] if supervised["state"] != "running" else own.get("state", "running")
            listed.append({**own, **supervised, "state": state})
            if name == "bridge" and own.get("jvm"):
                listed.append({"name": "bridge.jvm", "restarts": own.get("restarts", 0), **own["jvm"]})
        return listed

    def _state(self, sources: list[dict[str, Any]]) -> str:
        if self.state != "running":
            return self.state
        ill = any(one["state"] in {"restarting", "failed"} for one in self._supervised.values())
        ill = ill or any(source["state"] in {"failed", "waiting"} for source in sources)
        ill = ill or any(store["state"] in {"down", "hanging", "degraded"} for store in self._stores.values())
        return "degraded" if ill else "running"
