"""The auditor: counts what went in and what came out with none of Assay's code (pyarrow and the standard library).

    python tests/audit/audit.py --root DATA [--inputs flights=DATA/samples/flights/*.csv …] [--summary FILE]

It reads the inputs as bytes, the tables as parquet, the commit log as plain JSON, and prints one line of JSON:
``{"ok": …, "rows": {dataset: {tier: n}}, "problems": [{"kind", "dataset", "count", "examples"}], …}``. Exit 0 when
every input record lies in exactly one place with its own bytes, else 1; 2 when it could not look.

An input is ``dataset=GLOB[:key]`` for CSV, JSON lines and Parquet files (the key defaults to ``row_id``), or
``dataset=FILE.db#table:key`` for a SQLite table. Without ``--inputs`` it takes the sample files below the root.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TIERS = ("gold", "silver", "bronze", "rejected")
MEASURES = ("score", "completeness", "accuracy", "timeliness", "compliance", "consistency")
COLUMNS = [
    "assay_id", "assay_ordinal", "assay_source", "assay_position", "assay_event_time", "assay_arrived_at",
    "assay_reasons", "assay_raw", *[f"assay_{measure}" for measure in MEASURES],
]  # fmt: skip
DAY = re.compile(r"year=([1-9]\d*)/month=([1-9]\d?)/day=([1-9]\d?)/[^/]+\.parquet$")
SAMPLES = {
    "flights": "samples/flights/*.csv", "weather": "samples/weather/*.jsonl", "planes": "samples/planes/*.parquet",
    "airports": "samples/airports/*.csv", "airlines": "samples/airlines/*.csv",
    "customer_data": "samples/chinook/chinook.db#customers:customer_id",
    "sales_transactions": "samples/chinook/chinook.db#invoices:invoice_id",
}  # fmt: skip
EXAMPLES = 5


@dataclass(frozen=True)
class Input:
    """What went into one dataset."""

    dataset: str
    files: tuple[Path, ...]
    key: str = "row_id"
    table: str | None = None

    @classmethod
    def parse(cls, text: str) -> Input:
        """``dataset=GLOB[:key]`` or ``dataset=FILE.db#table:key``."""
        dataset, _, rest = text.partition("=")
        rest, _, key = rest.partition(":")
        pattern, _, table = rest.partition("#")
        path = Path(pattern)
        found = sorted(path.parent.glob(path.name))
        if not dataset or not found:
            raise FileNotFoundError(f"no input file for `{text}`")
        return cls(dataset, tuple(found), key or "row_id", table or None)


def sample_inputs(root: Path, summary: Path | None = None) -> list[Input]:
    """The sample files that are there; with a summary, of the datasets that it names."""
    named = (
        SAMPLES
        if summary is None
        else {one["dataset"] for one in json.loads(_last_object(summary))["sources"]}
    )
    return [
        Input.parse(f"{dataset}={root / place}")
        for dataset, place in SAMPLES.items()
        if dataset in named and any((root / place).parent.glob(Path(place.split("#")[0]).name))
    ]


@dataclass
class Verdict:
    """What the auditor found."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    """dataset -> tier -> rows"""
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    """source -> tier -> rows"""
    expected: dict[str, int] = field(default_factory=dict)
    """dataset -> records in its inputs"""
    compared_bytes: int = 0
    """Records whose raw bytes were held against the input."""
    waiting: int = 0
    """Files that a manifest names and that are not in their partition yet."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0

    def blame(self, kind: str, dataset: str, example: object, times: int = 1) -> None:
        """Note a fault."""
        self.counts[kind, dataset] += times
        if len(self.examples[kind, dataset]) < EXAMPLES:
            self.examples[kind, dataset].append(str(example))

    @property
    def ok(self) -> bool:
        return not self.counts

    @property
    def kinds(self) -> set[str]:
        """The kinds of fault found."""
        return {kind for kind, _ in self.counts}

    def as_dict(self) -> dict[str, Any]:
        problems = [
            {"kind": kind, "dataset": dataset, "count": count, "examples": self.examples[kind, dataset]}
            for (kind, dataset), count in sorted(self.counts.items())
        ]
        return {
            "ok": self.ok, "expected": self.expected, "rows": self.rows, "sources": self.sources,
            "compared_bytes": self.compared_bytes, "waiting": self.waiting, "seconds": round(self.seconds, 2),
            "problems": problems,
        }  # fmt: skip


class Expected:
    """The records of one dataset's inputs: every one has a place and a key."""

    def __init__(self, given: Input) -> None:
        self.given = given
        self.keys: Counter[str] = Counter()
        self._texts: dict[Path, tuple[bytes, dict[int, str]]] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._by_name: dict[str, Path | None] = {}
        for path in given.files:
            self._read(path)

    def key_of(self, position: dict[str, Any], raw: bytes | None, typed: object) -> str | None:
        """The key of the record that a stored row says it is; None: there is no record at that place."""
        path = self._file(position.get("file", ""))
        if path in self._texts:
            return self._texts[path][1].get(position.get("offset", -1))
        try:
            key = str(typed if raw is None else json.loads(raw)[self.given.key])
        except (ValueError, KeyError, TypeError):
            return None
        return key if key in self.keys else None

    def same_bytes(self, position: dict[str, Any], raw: bytes, key: str) -> bool:
        """Whether ``raw`` is what lies at the place; for rows without bytes of their own, whether it says the same."""
        path = self._file(position.get("file", ""))
        if path not in self._texts:
            return bool(_says(json.loads(raw), self._rows[key]))
        data = self._texts[path][0]
        start = position["offset"]
        end = start + len(raw)
        ended = end == len(data) or data[end : end + 1] == b"\n" or data[end : end + 2] == b"\r\n"
        return data[start:end] == raw and ended

    def _file(self, name: str) -> Path | None:
        if name not in self._by_name:
            fits = [path for path in self.given.files if name and f"/{path.as_posix()}".endswith(f"/{name}")]
            self._by_name[name] = fits[0] if fits else None
        return self._by_name[name]

    def _read(self, path: Path) -> None:
        if self.given.table:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                database.row_factory = sqlite3.Row
                rows = [dict(row) for row in database.execute(f'SELECT * FROM "{self.given.table}"')]
        elif path.suffix == ".parquet":
            rows = pq.read_table(path, partitioning=None).to_pylist()
        else:
            data = path.read_bytes()
            places = dict(
                _csv_places(data, self.given.key)
                if path.suffix == ".csv"
                else _json_places(data, self.given.key)
            )
            self._texts[path] = data, places
            self.keys.update(places.values())
            return
        for row in rows:
            self._rows[str(row[self.given.key])] = row
            self.keys[str(row[self.given.key])] += 1


def _records(data: bytes, *, quoted: bool) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes without the line ending); a quoted field may hold line endings."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        while quoted and data.count(b'"', at, end) % 2 and end < len(data):
            following = data.find(b"\n", end + 1)
            end = len(data) if following < 0 else following
        yield at, data[at:end].removesuffix(b"\r")
        at = end + 1


def _csv_places(data: bytes, key: str) -> Iterator[tuple[int, str]]:
    records = _records(data, quoted=True)
    header = next(csv.reader([next(records, (0, b""))[1].decode("utf-8-sig")]), [])
    at = header.index(key)
    for offset, line in records:
        if line:
            fields = next(csv.reader([line.decode("utf-8", "replace")]))
            yield offset, fields[at] if len(fields) > at else f"@{offset}"


def _json_places(data: bytes, key: str) -> Iterator[tuple[int, str]]:
    for offset, line in _records(data, quoted=False):
        if not line.strip():
            continue
        try:
            yield offset, str(json.loads(line)[key])
        except (ValueError, KeyError, TypeError):
            yield offset, f"@{offset}"


def _says(document: Any, row: dict[str, Any]) -> bool:
    """Whether a JSON document holds a row's values (those that JSON has)."""
    plain = {name: value for name, value in row.items() if isinstance(value, int | float | str | None)}
    return isinstance(document, dict) and all(document.get(name) == value for name, value in plain.items())


def table_files(
    root: Path, warehouse: Path, fallback: Path, verdict: Verdict
) -> Iterator[tuple[str, str, str, Path]]:
    """(tier, dataset, place in the table, file) of all that is committed, moved home or not."""
    for path in sorted(warehouse.glob("*_*/year=*/month=*/day=*/*.parquet")):
        table = path.relative_to(warehouse).parts[0].partition(".")[0]  # `.v2`: another version of it
        tier, _, dataset = table.partition("_")
        if tier in TIERS and "_by_" not in dataset:  # windows are no records
            yield tier, dataset, path.relative_to(warehouse).as_posix(), path
    for entry in sorted(_waiting(root), key=lambda entry: str(entry["path"])):
        if (warehouse / entry["path"]).exists():
            continue
        place = fallback if entry.get("place") == "fallback" else warehouse
        staged = next((one for one in (place / entry["staged"], place / entry["path"]) if one.exists()), None)
        if staged is None:
            verdict.blame("file-lost", entry["dataset"], entry["path"])
            continue
        verdict.waiting += 1
        yield entry["tier"], entry["dataset"], entry["path"], staged


def _waiting(root: Path) -> Iterable[dict[str, Any]]:
    """Every file that the newest word of the commit log names."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((root / "commits").glob("[0-9]*.json")):
        for entry in json.loads(path.read_bytes()).get("files", []):
            found[entry["path"]] = entry
    return found.values()


def audit(
    root: Path,
    inputs: Sequence[Input],
    *,
    warehouse: Path | None = None,
    fallback: Path | None = None,
    summary: Path | None = None,
) -> Verdict:
    """Hold the tables below ``root`` against the inputs. Reads only."""
    started = time.monotonic()
    verdict = Verdict()
    expected = {given.dataset: Expected(given) for given in inputs}
    verdict.expected = {dataset: one.keys.total() for dataset, one in expected.items()}
    ids: dict[str, str] = {}
    stored: dict[str, Counter[str]] = defaultdict(Counter)
    files = table_files(root, warehouse or root / "warehouse", fallback or root / "fallback", verdict)
    for tier, dataset, place, path in files:
        schema = pq.read_schema(path)
        wanted_columns = [*COLUMNS, *([expected[dataset].given.key] if dataset in expected else [])]
        table = pq.read_table(
            path, columns=[one for one in wanted_columns if one in schema.names], partitioning=None
        )
        verdict.rows.setdefault(dataset, dict.fromkeys(TIERS, 0))[tier] += table.num_rows
        if missing := sorted(set(COLUMNS) - set(schema.names)):
            verdict.blame("column-missing", dataset, f"{', '.join(missing)} in {place}")
            continue
        _check_columns(table, tier, dataset, place, verdict)
        _check_rows(table, tier, dataset, verdict, ids, expected.get(dataset), stored[dataset])
    for dataset, one in expected.items():
        for key in one.keys.keys() | stored[dataset].keys():
            wanted, got = one.keys[key], stored[dataset][key]
            if got < wanted:
                verdict.blame("missing", dataset, key, wanted - got)
            elif got > wanted:
                verdict.blame("doubled", dataset, key, got - wanted)
    if summary is not None:
        _check_summary(json.loads(_last_object(summary)), verdict)
    verdict.seconds = time.monotonic() - started
    return verdict


def _check_columns(table: pa.Table, tier: str, dataset: str, place: str, verdict: Verdict) -> None:
    """What can be seen without knowing the input: the partition, the measures, the reasons."""
    where = DAY.search(place)
    if where is None:
        verdict.blame("place", dataset, place)
    else:
        column = "assay_arrived_at" if tier == "rejected" else "assay_event_time"
        for moment in table.column(column).to_pylist():
            day = moment.astimezone(UTC) if moment else None
            if day is None or (day.year, day.month, day.day) != tuple(map(int, where.groups())):
                verdict.blame("day", dataset, f"{moment} in {place}")
    for measure in MEASURES:
        for value in set(table.column(f"assay_{measure}").to_pylist()):
            null_ok = value is None and measure != "score"
            if not null_ok and (value is None or math.isnan(value) or not 0 <= value <= 1):
                verdict.blame("measure", dataset, f"{measure} {value} in {place}")
    if tier == "rejected":
        for identity, reasons in zip(
            table.column("assay_id").to_pylist(), table.column("assay_reasons").to_pylist(), strict=True
        ):
            if not reasons:
                verdict.blame("no-reason", dataset, identity)


def _check_rows(
    table: pa.Table, tier: str, dataset: str, verdict: Verdict, ids: dict[str, str], expected: Expected | None,
    stored: Counter[str],
) -> None:  # fmt: skip
    """Each row once, with the bytes of the record it says it is."""
    names = ("assay_id", "assay_source", "assay_ordinal", "assay_position", "assay_raw")
    columns = [table.column(name).to_pylist() for name in names]
    key_column = expected.given.key if expected else ""
    has_key = key_column in table.schema.names
    columns.append(table.column(key_column).to_pylist() if has_key else [None] * table.num_rows)
    for identity, source, ordinal, position, raw, typed in zip(*columns, strict=True):
        verdict.sources.setdefault(source, dict.fromkeys(TIERS, 0))[tier] += 1
        if ids.setdefault(identity, tier) != tier:
            verdict.blame("two-tiers", dataset, f"{identity} in {ids[identity]} and {tier}")
        elif not (identity.startswith(f"{source}.") and identity.endswith(f".{ordinal}")):
            verdict.blame("id", dataset, f"{identity} of {source}, {ordinal}")
        if expected is None:
            continue
        place = json.loads(position)
        key = expected.key_of(place, raw, typed)
        if key is None:
            verdict.blame("unknown", dataset, f"{identity} at {position}")
            continue
        stored[key] += 1
        if raw is None:
            continue
        verdict.compared_bytes += 1
        if not expected.same_bytes(place, raw, key):
            verdict.blame("bytes", dataset, f"{identity} at {position}: {raw[:80]!r}")


def _check_summary(status: dict[str, Any], verdict: Verdict) -> None:
    """The system's own books must say what the tables hold."""
    for source in status["sources"]:
        name, counted = source["name"], verdict.sources.get(source["name"], dict.fromkeys(TIERS, 0))
        for tier in TIERS:
            if source[tier] != counted[tier]:
                verdict.blame(
                    "ledger",
                    source["dataset"],
                    f"{name}: {tier} {source[tier]}, in the tables {counted[tier]}",
                )
        settled = sum(source[what] for what in (*TIERS, "quarantined", "duplicate", "in_flight"))
        if source["read"] != settled:
            verdict.blame(
                "imbalance", source["dataset"], f"{name}: read {source['read']}, accounted for {settled}"
            )
    if status["ledger"]["imbalance"]:
        verdict.blame("imbalance", "", status["ledger"]["imbalance"])


def _last_object(path: Path) -> str:
    """The last JSON object of a file of one document or of one a line."""
    text = path.read_text("utf-8").strip()
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return text.splitlines()[-1]
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Count what went in and what came out, without Assay's code."
    )
    parser.add_argument("--root", type=Path, required=True, help="the data directory")
    parser.add_argument("--inputs", nargs="*", default=[], metavar="DATASET=GLOB[:KEY]")
    parser.add_argument("--warehouse", type=Path, help="default: ROOT/warehouse")
    parser.add_argument("--fallback", type=Path, help="default: ROOT/fallback")
    parser.add_argument("--summary", type=Path, help="a file that `--summary` wrote, or status.json")
    given = parser.parse_args(arguments)
    try:
        inputs = [Input.parse(text) for text in given.inputs] or sample_inputs(given.root, given.summary)
        if not inputs:
            raise FileNotFoundError(f"no inputs named, and no sample files below {given.root}")
        verdict = audit(
            given.root, inputs, warehouse=given.warehouse, fallback=given.fallback, summary=given.summary
        )
    except (OSError, ValueError, KeyError) as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        return 2
    print(json.dumps(verdict.as_dict()))
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
