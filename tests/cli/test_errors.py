"""How commands end: exit codes, and what is printed instead of a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cli import exits
from cli.errors import guarded
from core.errors import AssayError, BadSchema, ConfigError, Locked, SourceUnavailable, StoreUnavailable
from tests.cli.program import MAIN


def failing(error: BaseException):
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (BadSchema("x"), 2),
        (SourceUnavailable("x"), 4),
        (StoreUnavailable("x"), 5),
        (Locked("x"), 75),
        (AssayError("x"), 1),
        (KeyboardInterrupt(), 130),
        (ExceptionGroup("several", [ValueError("y"), ExceptionGroup("deep", [Locked("x")])]), 75),
    ],
)
def test_each_error_has_its_exit_code(error, code, capsys):
    assert guarded(failing(error)) == code
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_one_line_with_its_code(capsys):
    guarded(failing(SourceUnavailable("`in/*.csv` matches nothing", "E201", {"source": "flights"})))

    assert capsys.readouterr().err == "assay: E201 `in/*.csv` matches nothing [source='flights']\n"


def test_what_nobody_expected_gets_an_id_and_its_traceback_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert guarded(failing(KeyError("password=canary-4711"))) == exits.FAILED

    said = capsys.readouterr().err
    (file,) = (tmp_path / "logs").glob("assay-error-*.log")
    assert said.startswith("assay: E900 unexpected KeyError (error id ")
    assert file.name in said
    assert "Traceback" in file.read_text()
    assert "canary-4711" not in said + file.read_text()


def test_a_reader_that_goes_away_is_no_news():
    reading, writing = os.pipe()
    os.close(reading)

    ended = subprocess.run(
        [sys.executable, str(MAIN), "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)

    assert (ended.returncode, ended.stderr) == (1, "")
