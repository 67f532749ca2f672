"""The generated path, the exact path and jsonschema-rs say the same of every document."""

from __future__ import annotations

import itertools
import json
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.events import DATASET, SCHEMA, lines
from quality import compile_judge
from quality.exact import judge_exactly
from quality.judge import PythonJudge
from quality.reading import Unreadable, read

NOW = 1_795_348_800_000_000
WIDE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "when", "n"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]{1,4}-\\d+$"},
        "when": {"type": "string", "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        "n": {"type": "integer", "minimum": -2, "exclusiveMaximum": 10},
        "x": {"type": ["number", "null"], "minimum": 0, "maximum": 0.3},
        "y": {"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 1e3},
        "price": {"type": "number", "multipleOf": 0.01, "x-decimal": [10, 2]},
        "kind": {"enum": ["a", "b", None]},
        "level": {"type": "integer", "enum": [1, 2, 3]},
        "fixed": {"const": 1.0},
        "text": {"type": ["string", "null"], "minLength": 1, "maxLength": 3},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 3},
        "sizes": {"type": "array", "items": {"type": ["number", "null"], "minimum": 1}, "minItems": 1},
        "mail": {"type": "string", "format": "email"},
        "any": {},
        "never": False,
        "either": {"type": ["integer", "string"], "minimum": 3, "minLength": 2},
        "place": {
            "type": ["object", "null"],
            "required": ["city"],
            "properties": {
                "city": {"type": "string"},
                "zip": {"type": "string", "pattern": "[0-9]"},
                "n": {"type": "number", "minimum": 0},
            },
            "additionalProperties": False,
        },
        "one": {"oneOf": [{"type": "integer"}, {"minimum": 2}]},
        "refer": {"$ref": "#/$defs/small"},
    },
    "additionalProperties": {"type": "integer"},
    "$defs": {"small": {"type": "integer", "maximum": 5}},
}
WIDE_RULES: dict[str, Any] = {
    "event_time": "when", "expected_every": "1 hour", "expected": {"id": 1, "x": 0.5, "place.city": 2, "day": 1},
    "rules": [
        {"id": "sums", "check": "abs(n + x) <= 3 or y is null", "weight": 0.3},
        {"id": "towns", "when": "place.city is not null", "check": "len(place.city) > 1", "measure": "accuracy"},
        {"id": "price", "check": "price * 2 >= y", "severity": "minor"},
        {"id": "either", "check": "either in [3, 'ab'] or n / x > 2"},
        {"id": "dates", "check": "date(day) <= date(when)", "severity": "critical"},
        {"id": "texts", "check": "coalesce(text, kind, 'z') matches '^[a-m]'", "weight": 0.1, "severity": "info"},
    ],
}  # fmt: skip

good: dict[str, Any] = {
    "id": "ab-12", "when": "2026-11-22T11:00:00Z", "day": "2026-11-22", "n": 3, "x": 0.1, "y": 1.25, "price": 19.99, "kind": "a",
    "level": 2, "fixed": 1, "text": "ab", "flag": True, "tags": ["x"], "sizes": [1.5, None], "mail": "a@b.example",
    "any": {"a": [1, "x"]}, "either": 3, "place": {"city": "Bern", "zip": "3000", "n": 1}, "one": 1, "refer": 4,
}  # fmt: skip
ODD = [
    "null", "0", "-0.0", "1.0", "1e2", "3", "0.3", "0.30000000000000000001", "0.29999999999999999999", "-1e-400", "1e-400",
    "1e400", "9" * 40, "9" * 400, "9223372036854775808", "-9223372036854775809", "1.5", "-1.5", "1000", "19.995", "12345678901.25",
    "NaN", "Infinity", "true", '""', '"ab"', '"abcd"', '"12"', '"x\\":1,\\"y"', '"\\ud800"', '"\\u00e9"', '"a\\nb"', '"\U0001f600"',
    '"2026-11-22T11:00:00Z"', '"2026-11-22 11:00:00"', '"2026-11-22"', '"2026-13-01"', '"2016-12-31T23:59:60Z"', "[]", "{}",
    '["a", "a"]', '[""]', "[0.5]", '{"city": "B"}', '{"city": 1, "x": 2}', '{"city": "B", "city": "C"}', '{"a": 1, "a" : 2}', "[1,", "9", "10", "-2", "-3", "0.0", "0.00",
]  # fmt: skip
odd = st.sampled_from(ODD)
names = st.sampled_from([*WIDE["properties"], "unknown", "a b", "i\\u0064"])


@st.composite
def documents(draw: Any) -> bytes:
    """A good document with fields left out, changed, repeated and moved, in several ways of writing JSON."""
    parts = {name: json.dumps(value) for name, value in good.items()}
    for name in draw(st.lists(names, max_size=2)):
        parts.pop(name, None)
    pairs = list(parts.items())
    for name, value in draw(st.lists(st.tuples(names, odd), max_size=3)):
        if draw(st.booleans()):
            pairs = [pair for pair in pairs if pair[0] != name]
        pairs.insert(draw(st.integers(0, len(pairs))), (name, value))
    colon = draw(st.sampled_from([":", ": ", " : ", "\t:"]))
    text = "{" + ",".join(f'"{name}"{colon}{value}' for name, value in pairs) + "}"
    return text.encode("utf-8", "surrogatepass")


def one(judge: PythonJudge, line: bytes) -> dict[str, Any]:
    """The judgement of a single document."""
    rows: list[dict[str, Any]] = judge.judge(line, offsets([line]), now_us=NOW).to_pylist()
    return rows[0]


def offsets(documents_: list[bytes]) -> pa.Buffer:
    """Where each document starts, as the port wants it."""
    marks = [0]
    for line in documents_:
        marks.append(marks[-1] + len(line))
    return pa.array(marks, pa.int64()).buffers()[1]


def exactly(judge: PythonJudge, line: bytes) -> dict[str, Any]:
    """The same by the exact path alone."""
    verdict = judge_exactly(judge._plan, line, NOW)
    keys = ("path", "rule", "severity", "expected", "got", "message")
    return {
        "valid": verdict.valid, "tier": int(verdict.tier), "score": verdict.score,
        **dict(zip(("completeness", "accuracy", "timeliness", "compliance", "consistency"), verdict.measures, strict=True)),
        "reasons": [dict(zip(keys, why, strict=True)) for why in verdict.reasons] or None, "extra": verdict.extra,
    }  # fmt: skip


PLAIN = {**WIDE, "properties": {name: part for name, part in WIDE["properties"].items() if name not in (
    "any", "either", "fixed", "one", "refer", "never", "price")}}  # fmt: skip
"""Without values that the exact path's functions test, so that every short cut is taken."""
wide = compile_judge(WIDE, WIDE_RULES)
sale = compile_judge(SCHEMA, DATASET)
referee = jsonschema_rs.validator_for(WIDE, validate_formats=True)


def test_both_schemas_have_a_generated_path_that_judges_good_documents() -> None:
    """Nothing here proves anything if every record takes the exact path."""
    for judge, line in ((wide, json.dumps(good).encode()), (sale, lines(2)[1])):
        from quality.judge import _Rows

        assert judge._fast.run is not None
        assert judge._fast.run([line], NOW, _Rows(1, judge._fast)) == []


@settings(max_examples=300, deadline=None)
@given(documents())
def test_generated_path_equals_exact_path(line: bytes) -> None:
    """Validity, tier, score, measures and reasons, to the last bit."""
    expected = exactly(wide, line)
    found = one(wide, line)

    assert {key: found[key] for key in expected} == expected


@settings(max_examples=300, deadline=None)
@given(documents())
def test_validity_equals_jsonschema_rs(line: bytes) -> None:
    """For every document that can be read in one way."""
    valid = one(wide, line)["valid"]
    try:
        value = read(line)
    except Unreadable:
        assert not valid
        return

    assert valid == referee.is_valid(value)


@pytest.mark.parametrize("schema", [WIDE, PLAIN], ids=["wide", "plain"])
@pytest.mark.parametrize("colon", [":", ": ", " : "], ids=["tight", "usual", "spaced"])
def test_every_odd_value_in_every_field(schema: dict[str, Any], colon: str) -> None:
    """One change at a time, in place of the good value, before it and after it."""
    rules = [rule for rule in WIDE_RULES["rules"] if rule["id"] not in ("price", "either")]
    judge, judges = (
        compile_judge(schema, {**WIDE_RULES, "rules": rules}),
        jsonschema_rs.validator_for(schema, validate_formats=True),
    )
    known = {name: json.dumps(value) for name, value in good.items() if name in schema["properties"]}
    batch = []
    for name, value in itertools.product([*known, "unknown"], ODD):
        others = [(key, text) for key, text in known.items() if key != name]
        here = [(key, value if key == name else text) for key, text in known.items()]
        for pairs in (here, [*known.items(), (name, value)], [(name, value), *known.items()], others):
            line = "{" + ", ".join(f'"{key}"{colon}{text}' for key, text in pairs) + "}"
            batch.append(line.encode())
    rows = judge.judge(b"".join(batch), offsets(batch), now_us=NOW).to_pylist()

    for line, row in zip(batch, rows, strict=True):
        expected = exactly(judge, line)
        assert {key: row[key] for key in expected} == expected, line
        if not any(why["rule"] in ("parse", "duplicate-key", "number-range") for why in row["reasons"] or ()):
            assert row["valid"] == judges.is_valid(read(line)), line


def test_sales_agree_line_by_line() -> None:
    """The benchmark's own records, whole batch against single exact verdicts."""
    data = lines(3000, seed=7)
    rows = sale.judge(b"\n".join(data), now_us=NOW).to_pylist()

    for line, row in zip(data, rows, strict=True):
        expected = exactly(sale, line)
        assert {key: row[key] for key in expected} == expected
    assert {row["tier"] for row in rows} == {0, 1, 3}


@settings(max_examples=60, deadline=None)
@given(st.lists(documents(), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_order_and_batch_size_change_nothing(batch: list[bytes], rng: Any) -> None:
    """A record's row depends on its bytes and the clock alone."""
    alone = {line: one(wide, line) for line in batch}
    rng.shuffle(batch)
    together = wide.judge(b"".join(batch), offsets(batch), now_us=NOW).to_pylist()

    assert together == [alone[line] for line in batch]


@settings(max_examples=100, deadline=None)
@given(documents())
def test_scores_stay_between_0_and_1(line: bytes) -> None:
    """Score and every measure that applies."""
    row = one(wide, line)

    for name in ("score", "completeness", "accuracy", "timeliness", "compliance", "consistency"):
        assert row[name] is None or 0 <= row[name] <= 1


@settings(max_examples=100, deadline=None)
@given(st.sets(st.sampled_from(list(good))), st.sampled_from(list(good)))
def test_a_null_never_raises_completeness(nulls: set[str], more: str) -> None:
    """One null more leaves it equal or lowers it."""
    record = {**good, **dict.fromkeys(nulls)}
    before = one(wide, json.dumps(record).encode())["completeness"]
    after = one(wide, json.dumps({**record, more: None}).encode())["completeness"]

    assert after <= before


def test_a_rule_without_weight_changes_no_score() -> None:
    """Its reason stands all the same."""
    line = json.dumps({**good, "n": -2, "x": 0.0}).encode()
    idle = {"id": "idle", "check": "n > 100", "weight": 0, "severity": "info"}
    with_it = one(compile_judge(WIDE, {**WIDE_RULES, "rules": [*WIDE_RULES["rules"], idle]}), line)

    assert with_it["score"] == one(wide, line)["score"]
    assert "idle" in [reason["rule"] for reason in with_it["reasons"]]
