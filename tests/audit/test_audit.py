"""The auditor sees every way in which a record can go wrong between the input and the tables."""

from __future__ import annotations

import ast
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.audit.audit import Input, Verdict, audit, sample_inputs

SCRIPT = Path(__file__).parent / "audit.py"
NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)
LINES = [b"1,gold", b"2,gold", b'3,"silver\nof two lines"', b"4,bronze", b"5,rejected", b"6,rejected"]
TIERS = ("gold", "gold", "silver", "bronze", "rejected", "rejected")
COMMON = {
    **dict.fromkeys(("assay_id", "assay_source", "assay_position"), pa.string()),
    "assay_ordinal": pa.int64(),
    **dict.fromkeys(("assay_event_time", "assay_arrived_at"), pa.timestamp("us", tz="UTC")),
    **dict.fromkeys(
        [
            f"assay_{m}"
            for m in ("score", "completeness", "accuracy", "timeliness", "compliance", "consistency")
        ],
        pa.float64(),
    ),
    "assay_reasons": pa.list_(pa.struct({"rule": pa.string()})),
    "assay_raw": pa.binary(),
}
Row = dict[str, Any]


class Data:
    """A data directory with one CSV input and its tables, to spoil in one way at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "in" / "things.csv"
        self.file.parent.mkdir()
        self.file.write_bytes(b"row_id,text\r\n" + b"\r\n".join(LINES))
        self.rows = [self.row(n, tier) for n, tier in enumerate(TIERS)]

    def row(self, n: int, tier: str) -> Row:
        offset = len(b"row_id,text\r\n") + sum(len(line) + 2 for line in LINES[:n])
        return {
            "tier": tier, "day": NOON, "assay_id": f"things.abc.{offset}", "assay_ordinal": offset,
            "assay_source": "things", "assay_position": json.dumps({"file": "things.csv", "offset": offset, "line": n + 2}),
            "assay_event_time": NOON, "assay_arrived_at": NOON, "assay_score": 0.5, "assay_completeness": 1.0,
            "assay_accuracy": 0.0, "assay_timeliness": None, "assay_compliance": 0.5, "assay_consistency": None,
            "assay_reasons": [{"rule": "bad"}] if tier == "rejected" else [], "assay_raw": LINES[n],
        }  # fmt: skip

    def path(self, row: Row) -> str:
        day = row["day"]
        return f"{row['tier']}_things/year={day.year}/month={day.month}/day={day.day}/c1-0.parquet"

    def write(self, below: str = "warehouse") -> None:
        for path in {self.path(row) for row in self.rows}:
            rows = [row for row in self.rows if self.path(row) == path]
            file = self.root / below / path
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(COMMON)), file)

    def audit(self, **more: Any) -> Verdict:
        return audit(self.root, [Input.parse(f"things={self.root}/in/*.csv")], **more)

    def summary(self, **changes: int) -> Path:
        books = {
            "gold": 2,
            "silver": 1,
            "bronze": 1,
            "rejected": 2,
            "quarantined": 0,
            "duplicate": 0,
            "in_flight": 0,
        }
        one = {"name": "things", "dataset": "things", "read": 6, **books, **changes}
        file = self.root / "summary.json"
        file.write_text(
            '{"progress": 1}\n' + json.dumps({"sources": [one], "ledger": {"imbalance": 0}}) + "\n"
        )
        return file


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def test_a_whole_table_passes(data: Data):
    data.write()

    verdict = data.audit(summary=data.summary())

    assert verdict.as_dict()["problems"] == []
    assert verdict.rows == {"things": {"gold": 2, "silver": 1, "bronze": 1, "rejected": 2}}
    assert verdict.expected == {"things": 6}
    assert verdict.compared_bytes == 6


def lose(data: Data) -> None:
    del data.rows[1]


def double(data: Data) -> None:
    data.rows.append(dict(data.rows[3]))


def double_under_another_id(data: Data) -> None:
    data.rows.append({**data.rows[3], "assay_id": f"things.zzz.{data.rows[3]['assay_ordinal']}"})


def put_into_two_tiers(data: Data) -> None:
    data.rows.append({**data.rows[3], "tier": "silver"})


def flip_a_byte(data: Data) -> None:
    data.rows[0]["assay_raw"] = b"1,golf"


def cut_the_raw_bytes(data: Data) -> None:
    data.rows[0]["assay_raw"] = b"1,gol"


def forget_the_reason(data: Data) -> None:
    data.rows[4]["assay_reasons"] = []


def measure_too_much(data: Data) -> None:
    data.rows[2]["assay_compliance"] = 1.5


def measure_nothing(data: Data) -> None:
    data.rows[2]["assay_score"] = None


def measure_no_number(data: Data) -> None:
    data.rows[2]["assay_accuracy"] = float("nan")


def put_on_another_day(data: Data) -> None:
    data.rows[2]["day"] = datetime(2013, 1, 3, tzinfo=UTC)


def reject_by_event_day(data: Data) -> None:
    data.rows[4]["assay_arrived_at"] = datetime(2013, 1, 3, tzinfo=UTC)


def invent_a_record(data: Data) -> None:
    position = json.dumps({"file": "things.csv", "offset": 3, "line": 1})
    data.rows.append(
        {**data.rows[0], "assay_id": "things.abc.3", "assay_ordinal": 3, "assay_position": position}
    )


def give_another_ordinal(data: Data) -> None:
    data.rows[0]["assay_ordinal"] = 99


@pytest.mark.parametrize(
    ("spoil", "kinds"),
    [
        pytest.param(lose, {"missing"}, id="a-row-removed"),
        pytest.param(double, {"doubled"}, id="a-row-twice"),
        pytest.param(double_under_another_id, {"doubled"}, id="a-row-twice-by-two-ids"),
        pytest.param(put_into_two_tiers, {"doubled", "two-tiers"}, id="in-two-tiers"),
        pytest.param(flip_a_byte, {"bytes"}, id="a-byte-flipped"),
        pytest.param(cut_the_raw_bytes, {"bytes"}, id="bytes-cut"),
        pytest.param(forget_the_reason, {"no-reason"}, id="rejected-without-reason"),
        pytest.param(measure_too_much, {"measure"}, id="measure-above-1"),
        pytest.param(measure_nothing, {"measure"}, id="score-null"),
        pytest.param(measure_no_number, {"measure"}, id="measure-nan"),
        pytest.param(put_on_another_day, {"day"}, id="wrong-day"),
        pytest.param(reject_by_event_day, {"day"}, id="rejects-go-by-arrival"),
        pytest.param(invent_a_record, {"unknown"}, id="no-such-record"),
        pytest.param(give_another_ordinal, {"id"}, id="id-and-ordinal-differ"),
    ],
)
def test_each_fault_is_seen_and_named(data: Data, spoil: Any, kinds: set[str]):
    spoil(data)
    data.write()

    verdict = data.audit()

    assert verdict.kinds == kinds
    assert not verdict.ok


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        pytest.param({"gold": 1, "silver": 2}, {"ledger"}, id="tiers-differ"),
        pytest.param({"read": 7}, {"imbalance"}, id="one-more-read"),
        pytest.param({"read": 7, "in_flight": 1}, set(), id="one-on-its-way"),
    ],
)
def test_the_systems_own_books_must_agree(data: Data, changes: dict[str, int], kinds: set[str]):
    data.write()

    assert data.audit(summary=data.summary(**changes)).kinds == kinds


@pytest.mark.parametrize("place", ["warehouse", "fallback"])
def test_files_that_wait_for_their_place_are_counted(data: Data, place: str):
    data.write()
    name = "gold_things/year=2013/month=1/day=2/c1-0.parquet"
    staged = data.root / place / "gold_things/_staging/c1-0.parquet"
    staged.parent.mkdir(parents=True)
    (data.root / "warehouse" / name).rename(staged)
    entry = {
        "staged": "gold_things/_staging/c1-0.parquet", "path": name, "place": place, "tier": "gold", "dataset": "things",
    }  # fmt: skip
    (data.root / "commits").mkdir()
    (data.root / "commits" / "000000000001.json").write_text(json.dumps({"v": 1, "files": [entry]}))

    found = data.audit()
    staged.unlink()
    lost = data.audit()

    assert (found.ok, found.waiting) == (True, 1)
    assert lost.kinds == {"file-lost", "missing"}


def test_staged_files_that_no_manifest_names_do_not_count(data: Data):
    data.write()
    staged = data.root / "warehouse" / "gold_things" / "_staging" / "c2-0.parquet"
    staged.parent.mkdir()
    staged.write_bytes((data.root / "warehouse" / data.path(data.rows[0])).read_bytes())

    assert data.audit().ok


def test_rows_without_bytes_of_their_own_are_compared_by_value(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute("CREATE TABLE sales (id INTEGER PRIMARY KEY, total REAL, note TEXT)")
        shop.executemany("INSERT INTO sales VALUES (?, ?, ?)", [(1, 1.98, None), (2, 0.5, "two")])
        shop.commit()
    pq.write_table(pa.table({"row_id": [1, 2], "total": [1.98, 0.5]}), tmp_path / "sales.parquet")
    data = Data(tmp_path)
    data.rows = [
        {
            **data.row(n, "gold"),
            "assay_position": json.dumps({"table": "sales", "key": n + 1}),
            "assay_raw": raw,
        }
        for n, raw in enumerate([b'{"id":1,"total":1.98,"note":null}', b'{"id":2,"total":0.6,"note":"two"}'])
    ]
    data.write()

    verdict = audit(tmp_path, [Input.parse(f"things={tmp_path}/shop.db#sales:id")])
    parquet = audit(tmp_path, [Input.parse(f"things={tmp_path}/sales.parquet:row_id")])

    assert verdict.kinds == {"bytes"}
    assert verdict.counts["bytes", "things"] == 1
    assert parquet.kinds == {"unknown", "missing"}, "its rows have `row_id`, those of the table `id`"


def test_json_lines_are_found_at_their_offsets(tmp_path: Path):
    data = Data(tmp_path)
    lines = [b'{"row_id": 1}', b"no json at all", b'{"row_id": 2, "a": "\\n"}']
    (tmp_path / "in" / "things.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    at = 0
    data.rows = []
    for n, line in enumerate(lines):
        position = json.dumps({"file": "in/things.jsonl", "offset": at, "line": n + 1})
        ids = {
            "assay_id": f"things.abc.{at}",
            "assay_ordinal": at,
            "assay_position": position,
            "assay_raw": line,
        }
        data.rows.append({**data.row(n, "bronze"), **ids})
        at += len(line) + 1
    data.write()

    assert audit(tmp_path, [Input.parse(f"things={tmp_path}/in/*.jsonl")]).as_dict()["problems"] == []


def test_the_command_prints_one_line_and_its_exit_code_is_the_verdict(data: Data):
    lose(data)
    data.write()
    command = [sys.executable, str(SCRIPT), "--root", str(data.root), "--inputs"]

    red = subprocess.run([*command, f"things={data.file}"], capture_output=True, text=True, check=False)
    blind = subprocess.run([*command, "things=/nowhere/*.csv"], capture_output=True, text=True, check=False)

    assert red.returncode == 1
    assert json.loads(red.stdout)["problems"] == [
        {"kind": "missing", "dataset": "things", "count": 1, "examples": ["2"]}
    ]
    assert blind.returncode == 2
    assert "no input file" in json.loads(blind.stdout)["error"]


def test_the_sample_files_are_the_inputs_when_none_is_named(data: Data):
    for name in ("airlines", "airports"):
        (data.root / "samples" / name).mkdir(parents=True)
        (data.root / "samples" / name / f"{name}.csv").write_text("row_id\n1\n")
    summary = data.summary()
    summary.write_text(summary.read_text().replace('"dataset": "things"', '"dataset": "airlines"'))

    assert [one.dataset for one in sample_inputs(data.root)] == ["airports", "airlines"]
    assert [one.dataset for one in sample_inputs(data.root, summary)] == ["airlines"]


def test_the_auditor_uses_none_of_assays_code():
    names: set[str] = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])

    assert names <= {*sys.stdlib_module_names, "pyarrow"}
