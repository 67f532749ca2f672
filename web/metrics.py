"""``/metrics``: Prometheus text, format 0.0.4. Labels come from bounded sets; never ids, paths or error text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.tiers import TIER_WORDS
from web.view import imbalance_of, worded

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float | int | None]


def escaped(value: str) -> str:
    """A label's value as the format wants it.

    >>> escaped('a"b')
    'a\\\\"b'
    """
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def family(name: str, kind: str, words: str, samples: Iterable[Sample]) -> str:
    """One metric with its samples; a value of None is left out, and a metric without samples too."""
    lines = [f"{name}{_labels(labels)} {value}" for labels, value in samples if value is not None]
    return "\n".join([f"# HELP {name} {words}", f"# TYPE {name} {kind}", *lines, ""]) if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def metrics(snapshot: Mapping[str, Any], *, version: str, sockets: int, merged: int, dropped: int) -> str:
    """The whole page.

    Args:
        sockets: open browsers; merged: changes that went into a later frame; dropped: browsers cut off as stuck.
    """
    return "".join((
        family("assay_build_info", "gauge", "Constant 1; the version is a label.", [({"version": version}, 1)]),
        *_of_sources(snapshot["sources"], snapshot["live"]["sources"]),
        *_of_stations(snapshot),
        family("assay_ws_sockets", "gauge", "Open browser sockets.", [({}, sockets)]),
        family("assay_ws_merged_frames_total", "counter", "Changes that a browser saw only as part of a later frame.", [({}, merged)]),
        family("assay_ws_dropped_sockets_total", "counter", "Browsers cut off for not reading.", [({}, dropped)]),
    ))  # fmt: skip


def _of_sources(sources: Iterable[Mapping[str, Any]], live: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    named = [({"source": source["name"]}, source, live.get(source["name"], {})) for source in sources]
    yield family(
        "assay_source_events_total", "counter", "Records read since start, repeats included.",
        [(label, own.get("events_total")) for label, _, own in named],
    )  # fmt: skip
    yield family(
        "assay_source_bytes_total", "counter", "Bytes read since the source was last opened.",
        [(label, own.get("bytes_read")) for label, _, own in named],
    )  # fmt: skip
    yield family(
        "assay_source_last_success_timestamp_seconds", "gauge", "When records of a source were last committed, since 1970.",
        [(label, own.get("settled_at")) for label, _, own in named],
    )  # fmt: skip
    yield family(
        "assay_source_records", "gauge", "Distinct records read, life of the data directory.",
        [(label, source["read"]) for label, source, _ in named],
    )  # fmt: skip
    yield family(
        "assay_events_scored_total", "counter", "Records judged since start, by tier.",
        [({**label, "tier": tier}, own.get("scored", {}).get(tier)) for label, _, own in named for tier in TIER_WORDS],
    )  # fmt: skip
    yield family(
        "assay_rejected_events_total", "counter", "Records rejected since start, by the rule of their first reason (`score`: only the score was too low).",
        [({**label, "rule": rule}, n) for label, _, own in named for rule, n in sorted(own.get("rules", {}).items())],
    )  # fmt: skip
    yield family(
        "assay_ledger_imbalance_events", "gauge", "Read less settled less in flight; anything but 0 is a loss.",
        [(label, imbalance_of(source)) for label, source, _ in named],
    )  # fmt: skip
    yield family(
        "assay_ledger_in_flight_events", "gauge", "Records read and not committed yet.",
        [(label, source["in_flight"]) for label, source, _ in named],
    )  # fmt: skip
    yield family(
        "assay_sink_events_total", "counter", "Records committed, life of the data directory, by outcome.",
        [
            ({**label, "sink": "files", "outcome": outcome}, source[outcome])
            for label, source, _ in named
            for outcome in (*TIER_WORDS, "quarantined", "duplicate")
        ],
    )  # fmt: skip
    yield family(
        "assay_source_refused_files", "gauge", "Files put into quarantine, life of the data directory.",
        [(label, (source.get("refused") or {}).get("files")) for label, source, _ in named],
    )  # fmt: skip
    yield family(
        "assay_source_lag_seconds", "gauge", "How far behind its system a source is.",
        [(label, (source.get("lag") or {}).get("seconds")) for label, source, _ in named],
    )  # fmt: skip
    yield family(
        "assay_source_lag_events", "gauge", "Records a source has not read yet.",
        [(label, (source.get("lag") or {}).get("records")) for label, source, _ in named],
    )  # fmt: skip
    yield family(
        "assay_queue_fill_ratio", "gauge", "Share of a source's credit in use.",
        [({"queue": label["source"]}, own.get("fill")) for label, _, own in named],
    )  # fmt: skip
    for unit, key in (("bytes", "used_bytes"), ("capacity_bytes", "capacity_bytes")):
        yield family(
            f"assay_queue_{unit}", "gauge", f"A source's credit, {'in use' if unit == 'bytes' else 'in all'}.",
            [({"queue": label["source"]}, (own.get("credit") or {}).get(key)) for label, _, own in named],
        )  # fmt: skip
    yield family(
        "assay_end_to_end_seconds", "gauge", "From read to committed, of recent frames.",
        [
            ({**label, "quantile": quantile}, _seconds((own.get("delay_ms") or {}).get(key)))
            for label, _, own in named
            for quantile, key in (("0.5", "p50"), ("0.95", "p95"))
        ],
    )  # fmt: skip


def _of_stations(snapshot: Mapping[str, Any]) -> Iterable[str]:
    stations = [({"station": one["name"]}, one) for one in snapshot["stations"]]
    stores = [({"store": one["name"]}, one) for one in snapshot["stores"]]
    yield family(
        "assay_station_up", "gauge", "1 while a station works.",
        [(label, int(worded(one.get("state"))[0] == "ok")) for label, one in stations if not _is_off(one)],
    )  # fmt: skip
    yield family(
        "assay_station_restarts_total", "counter", "Restarts since start.",
        [(label, one.get("restarts")) for label, one in stations],
    )  # fmt: skip
    yield family(
        "assay_store_up", "gauge", "1 while a store takes data.",
        [(label, int(worded(one["state"])[0] == "ok")) for label, one in stores if not _is_off(one)],
    )  # fmt: skip
    yield family(
        "assay_store_waiting_registrations", "gauge", "Commits that wait for a store.",
        [(label, one.get("waiting")) for label, one in stores],
    )  # fmt: skip
    yield family(
        "assay_status_age_seconds", "gauge", "Age of what this page says.", [({}, snapshot["live"]["age_s"])]
    )


def _is_off(one: Mapping[str, Any]) -> bool:
    """Switched off by the settings or for want of Java: neither up nor down, so an alert on 0 stays quiet."""
    return worded(one.get("state"))[1] == "Off"


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else round(ms / 1000, 4)
