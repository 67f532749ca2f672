"""``--validate-config``: everything is checked, nothing is started."""

from __future__ import annotations

import contextlib
import json

import pytest

from cli.compiling import compile_all
from config.faults import ConfigErrors
from config.load import load_with_places
from tests.cli.program import MAIN, assay
from tests.config.files import GOOD, write


def test_a_good_file_is_said_to_be_good_and_leaves_no_trace(tmp_path):
    write(tmp_path)

    ended = assay(tmp_path, "--validate-config", "--config", "assay.yml")

    assert (ended.returncode, ended.stdout) == (0, "config is valid: 1 source, 1 dataset\n"), ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_rule_that_does_not_parse_has_its_place(tmp_path):
    write(tmp_path, GOOD + "    rules:\n      - {id: a, check: 'id >'}\n      - {id: b, check: 'id > 0'}\n")

    ended = assay(tmp_path, "validate", "--config", "assay.yml")

    assert ended.returncode == 2
    assert "assay.yml:7:24: E111 rule `a`, `check`: " in ended.stderr
    assert "1 fault; nothing was started" in ended.stderr


def test_a_rule_about_a_field_that_the_schema_lacks_has_its_place(tmp_path):
    write(tmp_path, GOOD + "    rules:\n      - {id: a, check: 'idd > 0'}\n")

    ended = assay(tmp_path, "validate", "--config", "assay.yml")

    assert ended.returncode == 2
    assert "assay.yml:7:24: E112" in ended.stderr
    assert "did you mean `id`" in ended.stderr


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ("event_time: idd", "6:17", "`event_time`: `idd` is no field of the schema; did you mean `id`"),
        ("clock: 'field:idd'", "6:12", "`clock`: `idd` is no field of the schema"),
        ("expected: [id, idd]", "6:20", "`expected`: `idd` is no field of the schema"),
        ("expected: {id: 1, idd: 2}", "6:28", "`expected`: `idd` is no field of the schema"),
    ],
)
def test_a_setting_that_names_a_field_which_the_schema_lacks_has_its_place(tmp_path, line, place, said):
    path = write(tmp_path, GOOD + f"    {line}\n")

    with contextlib.chdir(tmp_path), pytest.raises(ConfigErrors) as raised:
        compile_all(*load_with_places(path))

    (fault,) = raised.value.faults
    assert f"{fault.line}:{fault.column}" == place
    assert fault.code == "E112"
    assert said in fault.message


def test_a_page_without_tokens_where_others_can_reach_it_is_refused(tmp_path):
    write(tmp_path, GOOD + "web: {host: 0.0.0.0, auth: none}\n")

    ended = assay(tmp_path, "validate", "--config", "assay.yml")

    assert ended.returncode == 2
    assert "E602 `web.auth: none` is for loopback only" in ended.stderr


def test_a_schema_that_is_none_has_its_place(tmp_path):
    write(tmp_path)
    (tmp_path / "flights.json").write_text('{"type": "objekt"}')

    ended = assay(tmp_path, "validate", "--config", "assay.yml")

    assert ended.returncode == 2
    assert "assay.yml:5:13: E5" in ended.stderr
    assert "dataset `flights` (`flights.json`)" in ended.stderr


def test_the_configuration_that_ships_compiles():
    ended = assay(MAIN.parent, "validate")

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("aggregate", "place", "said"),
    [
        (
            "keys: [idd], measures: {n: count}",
            "7:41",
            "E156 `idd` is no field of the schema of `flights`; did you mean `id`",
        ),
        ("measures: {n: sum(idd)}", "7:48", "E156 `idd` is no field of the schema"),
        (
            "measures: {n: sum(at)}",
            "7:48",
            "E156 `at` has no sum: its type is timestamp, and only numbers have one",
        ),
        ("keys: [tags], measures: {n: count}", "7:41", "E156 the array `tags` cannot be a key"),
        ("keys: [id], measures: {id_: count, n: min(tags)}", "7:72", "E156 `tags` has no min"),
        (
            "keys: [year, year_], measures: {n: count}",
            "7:47",
            "E157 two columns of the aggregate would be named `year_`",
        ),
    ],
)
def test_an_aggregate_of_what_the_schema_does_not_have_has_its_place(tmp_path, aggregate, place, said):
    path = write(tmp_path, GOOD + f"    event_time: at\n    aggregates: [{{window: 1 day, {aggregate}}}]\n")
    kinds = {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}, "year": {"type": "integer"},
             "tags": {"type": "array", "items": {"type": "string"}}}  # fmt: skip
    (tmp_path / "flights.json").write_text(json.dumps({"type": "object", "properties": kinds}))

    with contextlib.chdir(tmp_path), pytest.raises(ConfigErrors) as raised:
        compile_all(*load_with_places(path))

    (fault,) = raised.value.faults
    assert str(fault).startswith(f"assay.yml:{place}: {said}")
