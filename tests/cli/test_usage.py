"""Wrong words on the command line: exit code 2, one line that says what to write, never a traceback."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from cli.commands import COMMANDS
from cli.parser import parse
from core.errors import ConfigError
from tests.cli.program import MAIN, assay
from tests.config.files import write

WRONG = [
    pytest.param("--trigger-interval 5s", "E120", "needs `--streaming`", id="21-trigger-without-streaming"),
    pytest.param(
        "--event-mode", "E120", "write `--streaming --event-mode`", id="event-mode-without-streaming"
    ),
    pytest.param("--event-mode --web-only", "E120", "conflict", id="22-event-mode-with-web-only"),
    pytest.param("--streaming --event-mode --web-only", "E120", "conflict", id="22-all-three"),
    pytest.param("--web-only --no-web", "E120", "conflict", id="page-only-without-page"),
    pytest.param(
        "--streaming --engine actors", "E120", "`--streaming --event-mode`", id="micro-batch-by-actors"
    ),
    pytest.param("--streaming --event-mode --engine spark", "E120", "reads by actors", id="events-by-spark"),
    pytest.param(
        "--streaming --event-mode --trigger-interval 5s",
        "E120",
        "leave one of them out",
        id="trigger-of-events",
    ),
    pytest.param("--streaming --trigger-interval 5parsecs", "E120", "min (minutes)", id="11-trigger-unit"),
    pytest.param(
        "--streaming --trigger-interval '10 parsecs'", "E120", "`parsecs`", id="11-trigger-unit-apart"
    ),
    pytest.param("--streaming --trigger-interval 0", "E120", "has no unit", id="11-trigger-nothing"),
    pytest.param("--streaming --trigger-interval '0 seconds'", "E120", "more than 0", id="11-trigger-zero"),
    pytest.param("--port abc", "E120", "`abc` is no port", id="08-port-flag"),
    pytest.param("--port 70000", "E120", "0 to 65535", id="09-port-flag"),
    pytest.param("--max-reject-rate 5", "E120", "from 0 to 1", id="share"),
    pytest.param("--max-reject-rate nan", "E120", "from 0 to 1", id="share-nan"),
    pytest.param("--since soon", "E120", "2013-02-01", id="since"),
    pytest.param("--since 2013-02-01 --until 2013-01-01", "E120", "before `--until`", id="since-after-until"),
    pytest.param("--engine magic", "E120", "invalid choice", id="engine"),
    pytest.param("--strem", "E120", "did you mean `--streaming`", id="unknown-flag"),
    pytest.param("statsu", "E120", "did you mean `status`", id="unknown-command"),
    pytest.param("replay x", "E121", "`replay` is not in this version", id="command-of-a-later-version"),
    pytest.param("schema list", "E121", "`schema` is not in this version", id="schema-later"),
    pytest.param("--config x status", "E120", "the command comes first", id="command-last"),
    pytest.param("status --summary x", "E120", "`--summary` is not known here", id="flag-of-another-command"),
    pytest.param("--config", "E120", "expected one argument", id="flag-without-value"),
]


@pytest.mark.parametrize(("words", "code", "said"), WRONG)
def test_wrong_words_are_refused_with_the_right_ones(words, code, said):
    with pytest.raises(ConfigError) as raised:
        parse(shlex.split(words))

    assert raised.value.code == code
    assert said in raised.value.message
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("command", ["run", "status", "fsck", "validate"])
def test_an_empty_data_directory_is_not_the_working_directory(command):
    with pytest.raises(ConfigError, match="it is empty") as raised:
        parse([command, "--data-dir", ""])

    assert raised.value.code == "E120"


@pytest.mark.parametrize(
    "words",
    ["--event-mode", "--trigger-interval 5s", "--event-mode --web-only", "--streaming --engine actors", "x"],
)
def test_the_program_ends_with_2_and_one_line(words, tmp_path):
    ended = assay(tmp_path, *words.split())

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("assay: E12")
    assert ended.stderr.count("\n") == 1


def test_help_of_every_command_loads_no_engine():
    """``assay judge`` in a shell's pipe must start fast: ray and pyspark load when a run needs them."""
    code = (
        "import sys, main; from cli.commands import COMMANDS\n"
        "print(main.main(['--help']), *[main.main([name, '--help']) for name in COMMANDS])\n"
        "print({'ray', 'pyspark'} & set(sys.modules) or 'light')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=MAIN.parent, text=True, capture_output=True, timeout=60, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert all(f"  {name} " in ended.stdout for name in COMMANDS)
    assert ended.stdout.endswith("0 0 0 0 0 0\nlight\n")


@pytest.mark.parametrize("command", ["status", "validate", "run"])
def test_a_broken_file_stops_every_command(command, tmp_path):
    write(tmp_path, "soruces: {}\n")

    ended = assay(tmp_path, command, "--config", "assay.yml")

    assert ended.returncode == 2
    assert "assay.yml:1:1: E105 `soruces` is not a key of the file; did you mean `sources`?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_source_lists_those_there_are(tmp_path):
    write(tmp_path)

    ended = assay(tmp_path, "--config", "assay.yml", "--source", "nope", "--validate-config")

    assert ended.returncode == 2
    assert ended.stderr == "assay: E146 `--source nope`: no such source; there is `flights`\n"
