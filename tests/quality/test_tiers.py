"""Thresholds, weights and critical rules: where one tier ends and the next begins."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from quality import compile_judge
from tests.quality.test_paths_agree import NOW, exactly, one

SCHEMA: dict[str, Any] = {
    "properties": {name: {"type": "string"} for name in "abcde"} | {"n": {"type": "integer", "minimum": 0}}
}
GOLD, SILVER, BRONZE, REJECTED = 3, 2, 1, 0


def row(dataset: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """The judgement, which both paths must share."""
    judge = compile_judge(SCHEMA, dataset)
    line = json.dumps(record).encode()
    found, careful = one(judge, line), exactly(judge, line)
    assert {key: found[key] for key in careful} == careful
    return found


@pytest.mark.parametrize("there", range(6))
@pytest.mark.parametrize(("name", "tier"), [("gold", GOLD), ("silver", SILVER), ("bronze", BRONZE)])
def test_a_threshold_is_reached_by_equality_and_missed_by_one_ulp(name: str, tier: int, there: int) -> None:
    """The score itself as threshold, then the next double above it."""
    record = dict.fromkeys("abcde"[:there], "x")
    weights = {"completeness": 3, "compliance": 0.7}
    score = row({"weights": weights}, record)["score"]
    assert score == (30 * there / 6 + 7 * 1.0) / 37
    order = ("gold", "silver", "bronze")
    equal = {key: 1.0 if order.index(key) < order.index(name) else score for key in order}
    missed = equal | {name: math.nextafter(score, 2)}
    below = dict.fromkeys(order[order.index(name) + 1 :], 0.0)

    assert row({"weights": weights, "thresholds": equal | below}, record)["tier"] == tier
    assert row({"weights": weights, "thresholds": missed | below}, record)["tier"] == tier - 1


def test_a_perfect_score_reaches_a_threshold_of_one() -> None:
    """Nothing is lost to rounding."""
    record = {**dict.fromkeys("abcde", "x"), "n": 1}
    weights = {"completeness": 0.1, "accuracy": 0.2, "compliance": 0.7}

    assert (
        row({"weights": weights, "thresholds": {"gold": 1, "silver": 1, "bronze": 1}}, record)["tier"] == GOLD
    )


def test_a_score_below_bronze_is_rejected_with_its_reason() -> None:
    """The reason names threshold and score."""
    found = row({"weights": {"compliance": 0}}, {"a": "x"})

    assert (found["tier"], found["score"]) == (REJECTED, 1 / 6)
    assert [(why["rule"], why["expected"], why["got"]) for why in found["reasons"]] == [
        ("score", "≥ 0.5", "0.1667")
    ]


@pytest.mark.parametrize(("weights", "score"), [
    pytest.param({}, (0.5 + 1 + 1 + 0.5) / 4, id="all alike"),
    pytest.param({"completeness": 0}, 2.5 / 3, id="completeness for nothing"),
    pytest.param({"completeness": 0.5, "consistency": 2.5}, (0.25 + 1 + 1 + 1.25) / 5, id="fractions"),
    pytest.param({"timeliness": 100}, 3 / 4, id="of a measure that does not apply"),
    pytest.param(dict.fromkeys(("completeness", "accuracy", "compliance", "consistency"), 0), 0, id="nothing counts"),
])  # fmt: skip
def test_weights(weights: dict[str, float], score: float) -> None:
    """Completeness ½, accuracy 1, timeliness null, compliance 1, consistency ½."""
    rules = [{"id": "holds", "check": "n > 0"}, {"id": "breaks", "check": "n > 9"}]
    found = row(
        {"rules": rules, "weights": weights, "thresholds": {"bronze": 0}},
        {"a": "x", "n": 1, "c": "x"},
    )

    assert found["score"] == score


@pytest.mark.parametrize(("severity", "listed", "tier", "shown"), [
    ("info", False, GOLD, "info"), ("minor", False, SILVER, "minor"), ("major", False, SILVER, "major"),
    ("critical", False, REJECTED, "critical"), ("info", True, REJECTED, "critical"), ("minor", True, REJECTED, "critical"),
])  # fmt: skip
def test_a_broken_rule_caps_the_tier(severity: str, listed: bool, tier: int, shown: str) -> None:
    """A rule without weight, so that the score is perfect; listed as critical its own severity does not matter."""
    rule = {"id": "odd", "check": "n % 2 == 1", "severity": severity, "weight": 0}
    found = row(
        {"rules": [rule], "critical": ["odd"] if listed else []}, {**dict.fromkeys("abcde", "x"), "n": 2}
    )

    assert (found["score"], found["tier"], found["valid"]) == (1.0, tier, True)
    assert [(why["rule"], why["severity"]) for why in found["reasons"]] == [("odd", shown)]


def test_a_critical_rule_that_does_not_apply_rejects_nothing() -> None:
    """Null, or a `when` that is not true."""
    rule = {"id": "odd", "check": "n % 2 == 1", "when": "a == 'x'", "severity": "critical"}
    for record in ({"n": 2}, {"a": "x"}, {"a": "x", "n": None}):
        assert row({"rules": [rule], "thresholds": {"bronze": 0}}, record)["tier"] != REJECTED
    assert row({"rules": [rule], "thresholds": {"bronze": 0}}, {"a": "x", "n": 2})["tier"] == REJECTED


def test_an_invalid_record_is_bronze_at_best() -> None:
    """Whatever its score."""
    found = row(
        {"thresholds": {"gold": 0.1, "silver": 0.1, "bronze": 0.1}}, {**dict.fromkeys("abcde", "x"), "n": -1}
    )

    assert (found["valid"], found["tier"]) == (False, BRONZE)


def test_time_decides_at_its_edges() -> None:
    """Exactly one interval old, 1 µs more, five minutes ahead, 1 µs more."""
    schema = {"properties": {"at": {"type": "string", "format": "date-time"}}}
    judge = compile_judge(
        schema, {"event_time": "at", "expected_every": "1 hour", "clock": "2026-11-22T12:00:00Z"}
    )
    half = 2.0 ** (-1 / 3_600_000_000)
    for text, value in (
        ("2026-11-22T11:00:00Z", 1.0), ("2026-11-22T10:59:59.999999Z", half), ("2026-11-22T10:00:00Z", 0.5),
        ("2026-11-22T13:05:00+01:00", 1.0), ("2026-11-22T12:05:00.000001Z", 0.0),
    ):  # fmt: skip
        line = json.dumps({"at": text}).encode()
        assert one(judge, line)["timeliness"] == exactly(judge, line)["timeliness"] == value, text
    assert judge.judge(b'{"at":"2016-12-31T23:59:60Z"}', now_us=NOW).to_pylist()[0]["valid"]
