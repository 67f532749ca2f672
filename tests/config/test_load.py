"""What a good file becomes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from config.load import load, load_with_places, require_absolute
from config.reference import PAGE, page
from config.view import view
from core.errors import ConfigError
from tests.config.files import GOOD, write

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("flag", "env", "written", "root"),
    [
        pytest.param("f", {"ASSAY_DATA": "e"}, "w", "f", id="flag"),
        pytest.param(None, {"ASSAY_DATA": "e"}, "w", "e", id="environment"),
        pytest.param(None, {}, "w", "w", id="file"),
        pytest.param(None, {}, None, "data", id="default"),
        pytest.param(None, {"X": "x"}, "${X}/${Y:-y}", "x/y", id="file-with-variables"),
        pytest.param(None, {}, "${ASSAY_DATA}", "data", id="of-itself"),
    ],
)
def test_the_data_directory_is_settled_once_and_stands_in_values(flag, env, written, root, tmp_path):
    text = GOOD.replace('"in/*.csv"', '"${ASSAY_DATA}/in/*.csv"')
    path = write(tmp_path, text + (f"storage:\n  root: {written}\n" if written else ""))

    config = load(path, data_dir=Path(flag) if flag else None, env=env)

    assert config.storage.root == Path(root)
    assert config.sources["flights"].path == f"{root}/in/*.csv"


def test_inserting(tmp_path):
    (tmp_path / "key").write_text("from-file\n")
    text = (
        GOOD
        + "spark:\n  conf:\n    a: ${A}-${B:-b}\n    b: ${file:key}\n    c: $${A}\n    d: '${C:-}'\nweb:\n  port: ${P}\n"
    )

    config = load(write(tmp_path, text), env={"A": "1", "P": "9090"})

    assert config.spark.conf == {"a": "1-b", "b": "from-file", "c": "${A}", "d": ""}
    assert config.web.port == 9090


def test_inserted_true_false_and_null_mean_what_they_say(tmp_path):
    text = (
        GOOD + "hive:\n  enabled: ${H:-false}\n  metastore_uri: ${M:-null}\nsearch: {enabled: '${S:-true}'}\n"
    )

    config = load(write(tmp_path, text), env={})

    assert config.hive.enabled is False
    assert config.hive.metastore_uri is None
    assert config.search.enabled is True


def test_inserted_text_is_not_inserted_into_again(tmp_path):
    config = load(write(tmp_path, GOOD + "web:\n  host: ${A}\n"), env={"A": "${B}", "B": "no"})

    assert config.web.host == "${B}"


def test_anchors_merge_and_dates_stay_text(tmp_path):
    text = (
        "sources:\n  a: &a {type: file, path: x, dataset: flights, chunk_rows: 5}\n  b:\n    <<: *a\n    path: y\n"
        "datasets:\n  flights: {schema: flights.json, clock: 2014-01-01T00:00:00Z}\n"
    )

    config = load(write(tmp_path, text), env={})

    assert (config.sources["b"].path, config.sources["b"].chunk_rows) == ("y", 5)
    assert config.datasets["flights"].clock == "2014-01-01T00:00:00Z"


def test_places_lead_to_a_rule(tmp_path):
    text = GOOD + '    rules:\n      - id: a\n        check: "id > 0"\n'

    _, places = load_with_places(write(tmp_path, text), env={})

    assert places.at("datasets", "flights", "rules", 0, "check") == (8, 16)
    assert places.at("datasets", "flights", "rules", 0, "when") == (7, 9), (
        "its rule, where it has no such key"
    )


def test_a_config_travels_between_processes(tmp_path):
    config = load(write(tmp_path), env={})

    assert pickle.loads(pickle.dumps(config)) == config


def test_a_job_needs_an_absolute_data_directory(tmp_path):
    path = write(tmp_path)

    require_absolute(load(path, data_dir=tmp_path, env={}))
    with pytest.raises(ConfigError, match="E148 the data directory `data` is relative"):
        require_absolute(load(path, env={}))


def test_the_configuration_that_ships_is_valid(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert load(Path("config/data_sources.yml"), env={}).sources


def test_the_reference_page_is_what_the_models_say():
    assert (ROOT / PAGE).read_text() == page(), "run `python -m config.reference`"


def test_every_setting_is_described():
    undescribed = [line for line in page().splitlines() if line.startswith("| `") and line.endswith("|  |")]

    assert undescribed == []


def test_the_view_masks_what_is_secret(tmp_path):
    text = GOOD.replace(
        "datasets:",
        "  s: {type: sql, url: 'postgresql://u:canary@h/d', table: t, key: [id], dataset: flights}\ndatasets:",
    )

    shown = view(load(write(tmp_path, text + "spark: {conf: {spark.my.secret: canary}}\n"), env={}))

    assert shown["sources"]["s"]["url"] == "postgresql://u:***@h/d"
    assert shown["spark"]["conf"] == {"spark.my.secret": "***"}
    assert shown["datasets"]["flights"]["schema"] == "flights.json"
