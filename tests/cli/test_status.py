"""``assay status`` without a run, with one, and with nothing there."""

from __future__ import annotations

import fcntl
import json

from cli.status import is_running
from tests.cli.program import assay
from tests.config.files import write


def test_nothing_stored_yet_is_all_zeros(tmp_path):
    write(tmp_path)

    ended = assay(tmp_path, "status", "--json", "--config", "assay.yml")

    document = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [source["name"] for source in document["sources"]] == ["flights"]
    assert document["ledger"]["read"] == document["ledger"]["imbalance"] == 0
    assert not (tmp_path / "data").exists()


def test_people_get_a_table(tmp_path):
    write(tmp_path)

    ended = assay(tmp_path, "status", "--config", "assay.yml")

    lines = ended.stdout.splitlines()
    assert lines[0] == "data directory: data"
    assert lines[2].split()[:5] == ["source", "state", "read", "gold", "silver"]
    assert lines[-1].endswith("the books balance")


def test_what_a_running_system_says_is_shown_with_secrets_masked(tmp_path):
    write(tmp_path)
    state = tmp_path / "data" / "state"
    state.mkdir(parents=True)
    (state / "status.json").write_text('{"state": "running", "why": "password=canary-4711"}')
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        ended = assay(tmp_path, "status", "--json", "--config", "assay.yml")

        assert is_running(tmp_path / "data")
    assert json.loads(ended.stdout) == {"state": "running", "why": "password=***"}
    assert not is_running(tmp_path / "data")


def test_a_dead_runs_last_words_are_not_believed(tmp_path):
    write(tmp_path)
    state = tmp_path / "data" / "state"
    state.mkdir(parents=True)
    (state / "status.json").write_text('{"state": "running"}')
    (state / "lock").write_text("4711")

    ended = assay(tmp_path, "status", "--json", "--config", "assay.yml")

    assert json.loads(ended.stdout)["state"] == "done"
