"""The exact path that is generated says what the careful one says, of good documents as well as bad ones."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings

from bench.events import lines
from quality import compile_judge
from quality.exact import judge_exactly
from quality.judge import PythonJudge
from quality.reading import Unreadable, read
from tests.quality.test_paths_agree import NOW, ODD, WIDE_RULES, documents, good, one, sale, wide

FLAT: dict[str, Any] = {
    "required": ["id", "when", "gone"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]{1,4}-[0-9]+$", "x-pii": True},
        "when": {"type": ["string", "null"], "format": "date-time"},
        "day": {"type": "string", "format": "date", "maxLength": 10},
        "n": {"type": "integer", "minimum": -2, "exclusiveMaximum": 10},
        "x": {"type": ["number", "null"], "minimum": 0, "maximum": 0.3},
        "kind": {"type": ["string", "null"], "enum": ["ab", None]},
        "flag": {"type": ["boolean", "null"]},
        "a/b": {"type": "integer", "multipleOf": 3},
        "any": {},
    },
}
FLAT_RULES: dict[str, Any] = {
    "event_time": "when", "expected_every": "1 hour", "clock": "2026-11-22T12:00:00Z", "expected": ["n", "n", "x", "any.part"],
    "critical": ["small"],
    "rules": [
        {"id": "small", "check": "n < 9"},
        {"id": "sum", "check": "n + x <= 3.2", "measure": "accuracy", "weight": 0.5},
        {"id": "quotient", "check": "n / x > 1 or flag", "when": "not (kind == 'ab' and flag)"},
        {"id": "extra", "check": "id matches '^a' and `a/b` % n == 0", "severity": "info"},
    ],
}  # fmt: skip
FLAT_GOOD = {"id": "ab-1", "when": "2026-11-22T11:59:00.5+00:00", "day": "2026-11-22", "n": 1, "x": 0.25, "kind": "ab",
             "flag": False, "a/b": 9, "any": None, "gone": 1}  # fmt: skip
flat = compile_judge(FLAT, FLAT_RULES)


def agrees(judge: PythonJudge, line: bytes) -> bool:
    """Whether the generated function decided; what it says is held against the careful path."""
    assert judge._exact is not None
    try:
        found = judge._exact(line, NOW)
    except Exception:
        found = None
    if found is None:
        return False
    assert found == judge_exactly(judge._plan, line, NOW), line
    return True


@settings(max_examples=300, deadline=None)
@given(documents())
def test_wide_documents(line: bytes) -> None:
    """Nested and untyped fields, repeated keys, odd numbers."""
    agrees(wide, line)


@pytest.mark.parametrize("colon", [":", " : "], ids=["tight", "spaced"])
def test_every_odd_value_in_every_flat_field(colon: str) -> None:
    """In place of the good value, after it, and without it; by both generated paths."""
    known = {name: json.dumps(value) for name, value in FLAT_GOOD.items()}
    for name, value in itertools.product([*known, "unknown"], ODD):
        here = [(key, value if key == name else text) for key, text in known.items()]
        others = [(key, text) for key, text in known.items() if key != name]
        for pairs in (here, [*known.items(), (name, value)], others, [*reversed(here)]):
            line = ("{" + ",".join(f'"{key}"{colon}{text}' for key, text in pairs) + "}").encode()
            careful = judge_exactly(flat._plan, line, NOW)
            row = one(flat, line)
            assert (row["score"], row["tier"], row["valid"]) == (
                careful.score,
                careful.tier,
                careful.valid,
            ), line
            agrees(flat, line)


def test_it_decides_every_record_that_can_be_read() -> None:
    """Were it to give up silently, it would only cost time; so no bad sale may make it."""
    for line in lines(2000, seed=11):
        try:
            read(line)
        except Unreadable:
            assert not agrees(sale, line)
        else:
            assert agrees(sale, line), line
    assert agrees(wide, json.dumps(good).encode())
    assert agrees(flat, json.dumps(FLAT_GOOD).encode())


def test_without_it_a_judge_says_the_same() -> None:
    """Sizes of objects are left to the careful path."""
    judge = compile_judge({**FLAT, "minProperties": 2}, {})

    assert judge._exact is None
    assert one(judge, b'{"id":"ab-1"}')["reasons"][0]["path"] == "/when"


def test_a_field_expected_twice_counts_twice_on_both_paths() -> None:
    """A record with it missing: one third is there."""
    judge = compile_judge(
        {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}, {"expected": ["a", "a", "b"]}
    )
    line = b'{"b":"x"}'

    assert one(judge, line)["completeness"] == judge_exactly(judge._plan, line, NOW).measures[0] == 1 / 3


def test_rules_judge_alike_merged_and_one_by_one() -> None:
    """All rules of the wide dataset, each alone: the generated loop against the careful path."""
    for rule in WIDE_RULES["rules"]:
        alone = compile_judge(wide_schema(), {**WIDE_RULES, "rules": [rule]})
        for n, x in itertools.product((-2, 0, 3, 9), (0.0, 0.1, 0.3, None)):
            line = json.dumps(
                {**good, "n": n, "x": x, "place": None if x is None else good["place"]}
            ).encode()
            row, careful = one(alone, line), judge_exactly(alone._plan, line, NOW)
            assert (row["score"], row["accuracy"], row["consistency"]) == (
                careful.score, careful.measures[1], careful.measures[4])  # fmt: skip


def wide_schema() -> dict[str, Any]:
    """The wide schema, which the rules above belong to."""
    from tests.quality.test_paths_agree import WIDE

    return WIDE
