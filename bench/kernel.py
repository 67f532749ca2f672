"""µs of CPU an event: the whole judge (five scores, five rules, Arrow rows) beside orjson + jsonschema-rs that only validate.

``python -m bench.kernel`` prints ``name value unit ratio`` lines, the ratio against the peer of the same run. Every round has
events that the judge has not seen before; the best round counts, for others' work only ever adds. ``kernel.flights-256``
judges the sample's flights (12 rules) where ``--flights`` names flights.csv; its peer stands beside it.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pyarrow as pa
import yaml

from bench.events import DATASET, SCHEMA, lines
from quality import compile_judge

SIZES = (1, 16, 256, 4096)
EVENTS = 8192
ROUNDS = 5
ROOT = Path(__file__).resolve().parents[1]

Batches = list[tuple[bytes, pa.Buffer]]


def _cpu_us(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time_ns()
    work()
    return (time.process_time_ns() - started) / 1000


def main(flights: str | None = None) -> dict[str, float]:
    """Measure and print; returns name -> µs an event."""
    judge = compile_judge(SCHEMA, DATASET)
    is_valid = jsonschema_rs.validator_for(SCHEMA, validate_formats=True).is_valid
    times: dict[str, list[float]] = {}
    peers: dict[str, str] = {}
    for number in range(ROUNDS):
        for place, size in enumerate(SIZES):
            events = lines(EVENTS if size > 16 else EVENTS // 4, seed=100 * number + place)
            _measure(times, f"kernel.batch-{size}", judge, events, size)
        bad = [line for line in lines(EVENTS, seed=100 * number + 50) if not _valid(is_valid, line)]
        _measure(times, "kernel.bad-only-256", judge, bad, 256)
        events = lines(EVENTS, seed=100 * number + 60)
        _peer(times, "peer.orjson+jsonschema-rs", is_valid, events)
    if flights is not None:
        _flights(times, flights)
        peers["kernel.flights-256"] = "peer.flights"
    figures = {name: min(values) for name, values in times.items()}
    for name, value in figures.items():
        ratio = value / figures[peers.get(name, "peer.orjson+jsonschema-rs")]
        print(f"{name} {value:.2f} µs/event {ratio:.2f}")
    return figures


def _measure(times: dict[str, list[float]], name: str, judge: Any, events: list[bytes], size: int) -> None:
    parts = _batches(events, size)
    spent = _cpu_us(lambda: [judge.judge(data, marks, now_us=0) for data, marks in parts])
    times.setdefault(name, []).append(spent / len(events))


def _peer(times: dict[str, list[float]], name: str, is_valid: Any, events: list[bytes]) -> None:
    spent = _cpu_us(lambda: [_valid(is_valid, line) for line in events])
    times.setdefault(name, []).append(spent / len(events))


def _flights(times: dict[str, list[float]], path: str) -> None:
    schema = (ROOT / "schemas/flights.json").read_bytes()
    entry = yaml.safe_load((ROOT / "config/data_sources.yml").read_text())["datasets"]["flights"]
    judge = compile_judge(schema, entry)
    is_valid = jsonschema_rs.validator_for(json.loads(schema), validate_formats=True).is_valid
    events = flight_lines(path, json.loads(schema), EVENTS * (ROUNDS + 1))
    for start in range(0, len(events), EVENTS):
        part = events[start : start + EVENTS]
        _measure(times, "kernel.flights-256", judge, part, 256)
        _peer(times, "peer.flights", is_valid, part)


def flight_lines(path: str, schema: dict[str, Any], n: int) -> list[bytes]:
    """The first ``n`` rows of flights.csv as the documents that the CSV source makes of them."""
    made = []
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            types = {name: schema["properties"][name]["type"] for name in row}
            made.append(orjson.dumps({
                name: None if text == "NA" else int(text) if "integer" in types[name] else text
                for name, text in row.items()
            }))  # fmt: skip
            if len(made) == n:
                break
    return made


def _valid(is_valid: Callable[[Any], bool], line: bytes) -> bool:
    try:
        return is_valid(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False


def _batches(events: list[bytes], size: int) -> Batches:
    made = []
    for start in range(0, len(events), size):
        part = events[start : start + size]
        marks = [0]
        for line in part:
            marks.append(marks[-1] + len(line))
        offsets = pa.py_buffer(pa.array(marks, pa.int64()).buffers()[1].to_pybytes()[: 8 * len(marks)])
        made.append((b"".join(part), offsets))
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flights", metavar="flights.csv")
    main(parser.parse_args().flights)
