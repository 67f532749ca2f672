"""``assay judge`` as a process: a line in, a judgement out (CONTRACTS.md §5)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import MAIN

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "qty": {"type": "integer", "minimum": 0},
        "at": {"type": "string"},
    },
}
RULES = """
event_time: at
expected_every: 1 hour
thresholds: {gold: 0.9}
rules:
  - {id: few, check: qty < 100, severity: minor, message: more than we have}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With S.json and R.yml."""
    (tmp_path / "S.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "R.yml").write_text(RULES)
    return tmp_path


def judge(folder: Path, *words: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``assay judge`` there."""
    return subprocess.run([sys.executable, str(MAIN), "judge", *words], cwd=folder, input=lines,
                          capture_output=True, timeout=60, check=False)  # fmt: skip


def judgements(folder: Path, lines: bytes, *words: str) -> list[dict[str, Any]]:
    """What it prints, parsed."""
    done = judge(folder, "--schema", "S.json", *words, lines=lines)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_a_judgement_has_the_shape_of_the_contract(folder: Path) -> None:
    """Keys and their order, to the character; the last line needs no ending."""
    good, bad = judgements(folder, b'{"id":1,"qty":3,"at":"x"}\n{"id":1,"qty":-3,"at":"x"}')

    assert good == {
        "tier": "gold", "score": 1.0, "valid": True, "reasons": [],
        "scores": {"completeness": 1.0, "accuracy": 1.0, "timeliness": None, "compliance": 1.0, "consistency": None},
    }  # fmt: skip
    assert list(bad) == ["tier", "score", "valid", "scores", "reasons"]
    assert list(bad["scores"]) == ["completeness", "accuracy", "timeliness", "compliance", "consistency"]
    assert (bad["tier"], bad["valid"]) == ("bronze", False)
    assert bad["reasons"] == [{"path": "/qty", "rule": "minimum", "severity": "major", "expected": "≥ 0", "got": "-3",
                               "message": "too small"}]  # fmt: skip


def test_rules_and_clock_are_obeyed(folder: Path) -> None:
    """Two hours old at ``--now``: timeliness one half; a broken rule: silver."""
    lines = b'{"id":1,"qty":1,"at":"2026-11-22T10:00:00Z"}\n{"id":1,"qty":100,"at":"2026-11-22T12:00:00Z"}\n'
    old, many = judgements(folder, lines, "--rules", "R.yml", "--now", "2026-11-22T12:00:00Z")

    assert (old["tier"], old["score"], old["scores"]["timeliness"]) == ("gold", 0.9, 0.5)
    assert (many["tier"], many["score"], many["scores"]["consistency"]) == ("silver", 0.8, 0.0)
    assert [(why["rule"], why["message"]) for why in many["reasons"]] == [("few", "more than we have")]


@pytest.mark.parametrize(("line", "rule", "path"), [
    (b"no json", "parse", ""), (b"", "parse", ""), (b'{"id":1', "parse", ""), (b'{"id":NaN}', "parse", ""),
    (b'{"id":1,"t":"\xff"}', "parse", ""), (b'{"id":1,"id":2}', "duplicate-key", "/id"),
    (b'{"id":1,"more":{"a":1,"a":1}}', "duplicate-key", "/more/a"), (b'{"id":1e400}', "number-range", "/id"),
    (b'{"id":1,"more":[' + b"9" * 400 + b"]}", "number-range", "/more/0"), (b"[1]", "type", ""),
])  # fmt: skip
def test_lines_that_cannot_be_read_keep_their_place(folder: Path, line: bytes, rule: str, path: str) -> None:
    """Rejected between two good ones; the command itself ends with 0."""
    good = b'{"id":1,"qty":1,"at":"x"}'
    before, found, after = judgements(folder, b"\n".join([good, line, good]) + b"\n")

    assert (before, before["tier"]) == (after, "gold")
    assert (found["tier"], found["valid"], found["score"]) == ("rejected", False, 0.0)
    assert (found["reasons"][0]["rule"], found["reasons"][0]["path"]) == (rule, path)


def test_integers_of_any_length_stay_exact(folder: Path) -> None:
    """Valid, with a remark that no column holds them."""
    [found] = judgements(folder, b'{"id":' + b"9" * 40 + b',"qty":1,"at":"x"}')

    assert (found["valid"], found["reasons"][0]["rule"]) == (True, "column-range")
    assert found["reasons"][0]["got"] == "9" * 40


def test_every_line_is_answered_in_order_across_batches(folder: Path) -> None:
    """More than is read at once, which is 1 MiB."""
    lines = [b'{"id":%d,"qty":%d,"at":"%s"}' % (n, n % 3 - 1, b"x" * 500) for n in range(5000)]
    found = judgements(folder, b"\n".join(lines))

    assert [one["valid"] for one in found] == [n % 3 != 0 for n in range(5000)]


def test_no_line_no_judgement(folder: Path) -> None:
    """Nothing in, nothing out."""
    assert judgements(folder, b"") == []


def test_explain_says_what_runs_how_and_reads_nothing(folder: Path) -> None:
    """As JSON."""
    done = judge(folder, "--schema", "S.json", "--rules", "R.yml", "--explain")
    found = json.loads(done.stdout)

    assert done.returncode == 0
    assert (found["fast"], found["fields"]["qty"], found["rules"]) == (True, "generated", ["few"])
    assert found["compiled"] == ["minimum", "properties", "required", "type"]


@pytest.mark.parametrize(("files", "words", "expected"), [
    pytest.param({}, ["--schema", "gone.json"], ["--schema", "gone.json", "No such file"], id="no schema file"),
    pytest.param({"S.json": "{"}, ["--schema", "S.json"], ["schema", "JSON"], id="schema is no JSON"),
    pytest.param({"S.json": '{"type":"strnig"}'}, ["--schema", "S.json"], ["schema", "/type"], id="schema refused"),
    pytest.param({"S.json": '{"properties":{"a":{"pattern":"("}}}'}, ["--schema", "S.json"], ["`(`", "regular"], id="pattern"),
    pytest.param({}, ["--schema", "S.json", "--rules", "gone.yml"], ["--rules", "gone.yml"], id="no rules file"),
    pytest.param({"R.yml": "a: ["}, ["--schema", "S.json", "--rules", "R.yml"], ["R.yml", "no YAML"], id="rules are no YAML"),
    pytest.param({"R.yml": "clock: arrival\nclock: '2014-01-01T00:00:00Z'\n"}, ["--schema", "S.json", "--rules", "R.yml"],
                 ["E104", "R.yml:2:1", "`clock`"], id="rules repeat a key"),
    pytest.param({"R.yml": "- a"}, ["--schema", "S.json", "--rules", "R.yml"], ["R.yml", "mapping"], id="rules are a list"),
    pytest.param({"R.yml": "rules: [{id: a, check: qyt > 1}]"}, ["--schema", "S.json", "--rules", "R.yml"],
                 ["rule `a`", "qyt", "did you mean `qty`"], id="unknown field"),
    pytest.param({}, ["--schema", "S.json", "--now", "noon"], ["--now", "noon", "2026-11-22T12:00:00Z"], id="now"),
])  # fmt: skip
def test_what_is_wrong_ends_it_with_2_and_one_line(
    folder: Path, files: dict[str, str], words: list[str], expected: list[str]
) -> None:
    """On standard error, naming the place; nothing on standard output."""
    for name, text in files.items():
        (folder / name).write_text(text)
    done = judge(folder, *words, lines=b'{"id":1}\n')
    said = done.stderr.decode()

    assert (done.returncode, done.stdout, said.count("\n")) == (2, b"", 1)
    assert [word for word in expected if word not in said] == []
    assert "Traceback" not in said


def test_a_reader_that_leaves_gets_no_traceback(folder: Path) -> None:
    """As with ``| head -1``."""
    with subprocess.Popen(
        [sys.executable, str(MAIN), "judge", "--schema", "S.json"], cwd=folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(b'{"id":1}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["valid"]
        process.stdout.close()
        try:
            process.stdin.write(b'{"id":1}\n' * 1000)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already
        assert b"Traceback" not in process.stderr.read()
