"""What a connector counts for /metrics."""

from __future__ import annotations

import json

import pyarrow as pa

from core.judging import counts_by_tier
from core.tally import Tally
from quality import compile_judge

SCHEMA = json.dumps(
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0}}, "required": ["n"]}
)
STRICT = {"thresholds": {"gold": 1, "silver": 1, "bronze": 1}}


def test_a_reject_counts_under_what_was_wrong_and_not_under_its_score():
    lines = b'{"n": -1}\n{"n": 1}\n[]\n{"n": -2}\n'
    records = compile_judge(SCHEMA.encode(), STRICT).judge(lines, now_us=0)
    reasons = [[why["rule"] for why in found or []] for found in records.column("reasons").to_pylist()]
    tally = Tally()

    tally.judged(records, counts_by_tier(records))

    assert reasons[0][0] == "score", reasons
    assert tally.rules == {"minimum": 2, "type": 1}, reasons


def test_a_score_that_is_the_only_reason_counts_as_itself():
    why = {"path": "", "rule": "score", "severity": "major", "expected": "", "got": "", "message": ""}
    of = compile_judge(SCHEMA.encode()).judge(b'{"n": 1}\n', now_us=0)
    reasons = pa.array([[why]], of.schema.field("reasons").type)
    records = of.set_column(of.schema.get_field_index("reasons"), "reasons", reasons)
    records = records.set_column(records.schema.get_field_index("tier"), "tier", pa.array([0], pa.uint8()))
    tally = Tally()

    tally.judged(records, counts_by_tier(records))

    assert tally.rules == {"score": 1}


def test_the_last_commit_is_remembered_only_when_records_were_committed():
    tally = Tally()
    tally.settled([])
    before = tally.as_dict()["settled_at"]
    tally.settled([12.5])

    assert before is None
    assert tally.as_dict()["settled_at"] > 1_700_000_000


def test_rules_and_measures_are_those_of_every_frame_whenever_they_are_asked_for():
    judge = compile_judge(SCHEMA.encode(), STRICT)
    tally = Tally()
    asked = []

    for _ in range(3):
        records = judge.judge(b'{"n": -1}\n{"n": 1}\n[]\n', now_us=0)
        tally.judged(records, counts_by_tier(records))
        asked.append(tally.as_dict()["rules"]["minimum"])
    records = judge.judge(b'{"n": -1}\n' * 9000, now_us=0)
    tally.judged(records, counts_by_tier(records))

    assert asked == [1, 2, 3]
    assert tally.rules == {"minimum": 9003, "type": 3}
    assert tally.measures["accuracy"] == 0.0
    assert tally.as_dict()["measures"] == tally.measures
