"""What records and rules may hold on purpose or by accident, and the stated answer to each."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.batch import Reason
from core.errors import BadSchema, ConfigError
from quality import JudgeSpec, check_rule, compile_judge
from quality.patterns import compile_pattern
from tests.quality.test_paths_agree import NOW, offsets

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "x": {"type": "number"}, "t": {"type": "string"}, "any": {}},
    "required": ["id"],
}
judge = compile_judge(SCHEMA, {})


def one(line: bytes, **more: Any) -> dict[str, Any]:
    """The judgement of one document."""
    rows: list[dict[str, Any]] = judge.judge(line, offsets([line]), now_us=NOW, **more).to_pylist()
    return rows[0]


@pytest.mark.parametrize(("line", "rule", "path"), [
    pytest.param(b"", "parse", "", id="empty"),
    pytest.param(b"  ", "parse", "", id="blank"),
    pytest.param(b'{"id":1', "parse", "", id="cut off"),
    pytest.param(b'{"id":1} x', "parse", "", id="more behind it"),
    pytest.param(b'{"id":NaN}', "parse", "", id="NaN"),
    pytest.param(b'{"id":1,"x":-Infinity}', "parse", "", id="Infinity"),
    pytest.param(b'{"id":1,"t":"\\ud800"}', "parse", "", id="lone surrogate"),
    pytest.param(b'{"id":1,"any":"\\ud800"}', "parse", "", id="lone surrogate, untyped"),
    pytest.param(b'{"id":1,"t":"\xff"}', "parse", "", id="not UTF-8"),
    pytest.param(b'\xef\xbb\xbf{"id":1}', "parse", "", id="byte order mark"),
    pytest.param('{"id":1}'.encode("utf-16"), "parse", "", id="UTF-16"),
    pytest.param(b'{"id":1,"t":"a\nb"}', "parse", "", id="bare control character"),
    pytest.param(b'{"id":01}', "parse", "", id="leading zero"),
    pytest.param(b"[" * 100_000, "parse", "", id="depth 100,000, open"),
    pytest.param(b'{"id":1,"any":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "parse", "", id="depth 100,000"),
    pytest.param(b'{"id":1,"any":' + b"[" * 200 + b"]" * 200 + b"}", "parse", "", id="depth 201"),
    pytest.param(b'{"id":1,"id":1}', "duplicate-key", "/id", id="duplicate key"),
    pytest.param(b'{"id":1, "id" : 1}', "duplicate-key", "/id", id="duplicate key with blanks"),
    pytest.param(b'{"id":1,"i\\u0064":1}', "duplicate-key", "/id", id="duplicate key, escaped"),
    pytest.param(b'{"id":1,"t":"\\":","id" :1}', "duplicate-key", "/id", id="duplicate key behind a decoy"),
    pytest.param(b'{"id":1,"any":{"a":[{"b/c":1,"b/c":2}]}}', "duplicate-key", "/any/a/0/b~1c", id="duplicate key deep down"),
    pytest.param(b'{"id":1,"more":{"a":1,"a":2}}', "duplicate-key", "/more/a", id="duplicate key in an unknown field"),
    pytest.param(b'{"id":1,"x":1e400}', "number-range", "/x", id="1e400"),
    pytest.param(b'{"id":1,"any":[-1e400]}', "number-range", "/any/0", id="-1e400, untyped"),
    pytest.param(b'{"id":' + b"9" * 400 + b"}", "number-range", "/id", id="400 digits"),
    pytest.param(b'{"id":' + b"9" * 9000 + b"}", "number-range", "/id", id="9000 digits"),
    pytest.param(b"12", "type", "", id="a number"),
    pytest.param(b"null", "type", "", id="null"),
    pytest.param(b'"text"', "type", "", id="a text"),
    pytest.param(b"[]", "type", "", id="an array"),
    pytest.param(b"{}", "required", "/id", id="required missing"),
    pytest.param(b'{"id":null}', "type", "/id", id="required null"),
])  # fmt: skip
def test_is_rejected(line: bytes, rule: str, path: str) -> None:
    """Rule and place; not valid; tier Rejected."""
    row = one(line)

    assert (row["valid"], row["tier"]) == (False, 0)
    assert (row["reasons"][0]["rule"], row["reasons"][0]["path"]) == (rule, path)
    assert row["reasons"][0]["severity"] == "critical"


@pytest.mark.parametrize(("line", "valid", "rule"), [
    pytest.param(b'{"id":1.0}', True, None, id="1.0 is an integer"),
    pytest.param(b'{"id":1e2}', True, None, id="1e2 is an integer"),
    pytest.param(b'{"id":"12"}', False, "type", id="text for a number"),
    pytest.param(b'{"id":true}', False, "type", id="true is no integer"),
    pytest.param(b'{"id":1,"x":null}', False, "type", id="null in an optional field that refuses it"),
    pytest.param(b'{"id":' + b"9" * 40 + b"}", True, "column-range", id="40 digits"),
    pytest.param(b'{"id":9223372036854775808}', True, "column-range", id="2**63"),
    pytest.param(b'{"id":-9223372036854775808}', True, None, id="-2**63"),
    pytest.param(b'{"id":1,"t":"a \\":b\\\\"}', True, None, id="quotes and colons in texts"),
])  # fmt: skip
def test_is_judged(line: bytes, valid: bool, rule: str | None) -> None:
    """Readable, with at most one reason."""
    row = one(line)

    assert row["valid"] is valid
    assert [reason["rule"] for reason in row["reasons"] or []] == ([rule] if rule else [])


def test_unknown_fields_are_kept_exactly() -> None:
    """As JSON in `extra`, every digit."""
    row = one(b'{"id": 1, "b": {"n": 0.10000000000000000001, "t": "\xc3\xa9"}, "a": [null, true]}')

    assert row["extra"] == '{"b":{"n":0.10000000000000000001,"t":"é"},"a":[null,true]}'.encode()


def test_a_refused_record_has_its_reason_first_and_keeps_its_place() -> None:
    """A source's own refusal stands in its row; the others are judged."""
    data, reason = (
        b'{"id":1}\n\n{"id":2}',
        Reason("", "ragged-row", "critical", "3 fields", "2", "a field is missing"),
    )
    rows = judge.judge(data, now_us=NOW, refused={1: reason}).to_pylist()

    assert [row["tier"] for row in rows] == [1, 0, 1]
    assert rows[1]["reasons"] == [reason.as_dict()]
    assert (rows[1]["valid"], rows[1]["score"], rows[1]["completeness"], rows[1]["accuracy"]) == (
        False,
        0.0,
        0.0,
        None,
    )


def test_no_more_than_20_reasons_and_one_that_counts() -> None:
    """The cap keeps the worst."""
    many = compile_judge(
        {"properties": {f"f{n}": {"type": "integer"} for n in range(30)}, "required": ["f0"]}
    )
    line = ("{" + ",".join(f'"f{n}":"x"' for n in range(1, 30)) + "}").encode()
    reasons = many.judge(line, now_us=NOW).to_pylist()[0]["reasons"]

    assert len(reasons) == 21
    assert reasons[0]["rule"] == "required"
    assert reasons[20]["message"] == "11 more reasons"  # 29 types, one missing, one for the score


def test_marked_fields_are_masked_everywhere() -> None:
    """Wrong values, rule operands and unreadable bytes alike."""
    schema = {
        "properties": {
            "ssn": {"type": "string", "pattern": "^[0-9]+$", "x-pii": True},
            "n": {"type": "integer"},
        }
    }
    private = compile_judge(schema, {"rules": [{"id": "short", "check": "len(ssn) < n"}]})
    rows = private.judge(
        b'{"ssn":"secret-x","n":1}\n{"ssn":"secret-y\n{"ssn":12345678,"n":1}', now_us=NOW
    ).to_pylist()

    assert "secret" not in str(rows)
    assert "12345678" not in str(rows)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "a*a*a*b", "(?=a)a+b", "(x+x+)+y", ".*.*=.*"])
def test_patterns_run_in_linear_time(pattern: str) -> None:
    """50,000 characters made for backtracking."""
    started = time.process_time()
    compile_pattern(pattern).test("a" * 50_000 + "!")

    assert time.process_time() - started < 1


@pytest.mark.parametrize(("pattern", "text", "matches"), [
    ("^\\d+$", "٣", False), ("^\\w$", "é", False), ("^a$", "a\n", False), ("b", "abc", True), ("^\\s$", "\ufeff", True),
    ("^[\\d-]+$", "1-2", True), ("^\\u0041\\/$", "A/", True), ("^.$", "\u2028", False), ("^.$", "😀", True), ("^[^\\w]$", "é", True),
    ("^(?<y>\\d{4})$", "2013", True), ("^\\S+$", "a\u00a0", False), ("^$", "", True), ("^[[a]$", "[", True),
])  # fmt: skip
def test_patterns_mean_what_ecma_says(pattern: str, text: str, matches: bool) -> None:
    """On whichever engine they run."""
    assert bool(compile_pattern(pattern).test(text)) is matches


@pytest.mark.parametrize(("text", "code", "column", "word"), [
    ("", "E111", 1, "empty"),
    ("qty >", "E111", 6, "end"),
    ("qty = 3", "E111", 5, "=="),
    ("qty > 3 qty", "E111", 9, "end of the expression"),
    ("total + 'x' > 1", "E111", 9, "numbers"),
    ("quantty > 3", "E112", 1, "did you mean `qty`"),
    ("qty > 0 and nosuch(qty)", "E111", 13, "no function"),
    ("qty", None, 0, ""),
    ("qty + 1", "E111", 5, "true or false"),
    ("qty == null", "E111", 8, "is null"),
    ("qty.__class__ is null", None, 0, ""),
    ("__import__('os')", "E111", 1, "no function"),
    ("(" * 500 + "qty" + ")" * 500, "E111", 41, "deeper"),
    ("not " * 390 + "qty > 1", "E111", 1, "in a row"),
    ("+".join(["qty"] * 300) + " > 1", "E111", None, "split the rule"),
    ("qty > 1 or " * 300 + "qty > 2", "E111", None, ""),
    ("t matches '('", "E502", None, "regular expression"),
    ("t matches 3", "E111", 11, "quotes"),
    ("round(qty, 99) > 1", "E111", 12, "0 to 12"),
    ("lambda: 1", "E111", 7, "no meaning"),
    ("qty > 1; qty", "E111", 8, "no meaning"),
    ("'a", "E111", 1, "not closed"),
])  # fmt: skip
def test_rules_are_refused_with_their_column(
    text: str, code: str | None, column: int | None, word: str
) -> None:
    """Or accepted; never anything else."""
    fields = {"qty", "total", "t"}
    if code is None:
        check_rule(text, fields)
        return
    with pytest.raises((ConfigError, BadSchema)) as caught:
        check_rule(text, fields)

    assert caught.value.code == code
    assert word in caught.value.message
    if column is not None:
        assert caught.value.facts["column"] == column


@pytest.mark.parametrize(("entry", "word"), [
    ({"ruels": []}, "did you mean `rules`"),
    ({"clock": "yesterday"}, "instant"),
    ({"expected_every": "often"}, "5 minutes"),
    ({"weights": {"accuracy": -1}}, "≥ 0"),
    ({"weights": {"acuracy": 1}}, "did you mean `accuracy`"),
    ({"thresholds": {"gold": 0.7}}, "gold ≥ silver"),
    ({"thresholds": {"gold": float("nan")}}, "0 to 1"),
    ({"critical": ["nosuch"]}, "id of a rule"),
    ({"rules": [{"id": "a", "check": "x > 1"}, {"id": "a", "check": "x > 1"}]}, "twice"),
    ({"rules": [{"id": "a"}]}, "expression"),
    ({"rules": [{"id": "a", "check": "x > 1", "severity": "bad"}]}, "critical, major"),
    ({"rules": "x"}, "a list"),
])  # fmt: skip
def test_a_wrong_dataset_is_refused_in_a_sentence(entry: dict[str, Any], word: str) -> None:
    """ConfigError E110."""
    with pytest.raises(ConfigError) as caught:
        JudgeSpec.from_mapping(entry)

    assert caught.value.code == "E110"
    assert word in caught.value.message


@pytest.mark.parametrize(("schema", "code"), [
    (b"{", "E500"), (b"[]", "E500"), ({"type": "strnig"}, "E501"), ({"pattern": "("}, "E502"), ({"$schema": "x:y"}, "E503"),
    ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "E501"), ({"$ref": "https://example.invalid/x"}, "E501"),
])  # fmt: skip
def test_a_wrong_schema_is_refused(schema: Any, code: str) -> None:
    """BadSchema with its code."""
    with pytest.raises(BadSchema) as caught:
        compile_judge(schema)

    assert caught.value.code == code
