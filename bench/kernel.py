"""µs of CPU an event: the whole judge (five scores, five rules, Arrow rows) beside orjson + jsonschema-rs that only validate.

``python -m bench.kernel`` prints ``name value unit ratio`` lines, the ratio against the peer of the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import jsonschema_rs
import orjson
import pyarrow as pa

from bench.events import DATASET, SCHEMA, lines
from quality import compile_judge

SIZES = (1, 16, 256, 4096)
EVENTS = 16_384
ROUNDS = 5


def _cpu_us(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e6


def main() -> dict[str, float]:
    """Measure and print; returns name -> µs an event."""
    events = lines(EVENTS)
    bad = [line for line in lines(EVENTS, seed=2) if not _valid(line)]
    judge = compile_judge(SCHEMA, DATASET)
    batches = {size: _batches(events[: EVENTS if size > 16 else EVENTS // 4], size) for size in SIZES}
    rejected = _batches(bad, 256)
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):  # in turn, so that a busy machine is busy for all of them
        for size, parts in batches.items():
            spent = _cpu_us(lambda parts=parts: [judge.judge(data, marks, now_us=0) for data, marks in parts])
            times.setdefault(f"kernel.batch-{size}", []).append(
                spent / sum(len(marks) // 8 - 1 for _, marks in parts)
            )
        spent = _cpu_us(lambda: [judge.judge(data, marks, now_us=0) for data, marks in rejected])
        times.setdefault("kernel.bad-only-256", []).append(spent / len(bad))
        times.setdefault("peer.orjson+jsonschema-rs", []).append(
            _cpu_us(lambda: list(map(_valid, events))) / EVENTS
        )
    figures = {name: median(values) for name, values in times.items()}
    peer = figures["peer.orjson+jsonschema-rs"]
    for name, value in figures.items():
        print(f"{name} {value:.2f} µs/event {value / peer:.2f}")
    return figures


_validator = jsonschema_rs.validator_for(SCHEMA, validate_formats=True)


def _valid(line: bytes) -> bool:
    try:
        return _validator.is_valid(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False


def _batches(events: list[bytes], size: int) -> list[tuple[bytes, pa.Buffer]]:
    made = []
    for start in range(0, len(events), size):
        part = events[start : start + size]
        marks = [0]
        for line in part:
            marks.append(marks[-1] + len(line))
        made.append(
            (
                b"".join(part),
                pa.py_buffer(pa.array(marks, pa.int64()).buffers()[1].to_pybytes()[: 8 * len(marks)]),
            )
        )
    return made


if __name__ == "__main__":
    main()
