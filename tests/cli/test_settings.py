"""From flags to settings: which sources, and where the log files go."""

from __future__ import annotations

import argparse
import logging

import pytest

from cli.settings import settings
from config import logs
from config.faults import ConfigErrors
from tests.cli.program import assay
from tests.config.files import GOOD, write

TWO = GOOD.replace("datasets:\n", '  other: {type: file, path: "in/*.csv", dataset: other}\ndatasets:\n') + (
    "  other:\n    schema: flights.json\n    rules: [{id: a, check: 'gone > 0'}]\n"
)


@pytest.fixture(autouse=True)
def quiet_again():
    """Each test leaves the process without the log file it opened."""
    yield
    logs.configure()
    logs._beside.clear()


def arguments(path, **more):
    return argparse.Namespace(
        **{"config": path, "data_dir": None, "log_format": "text", "source": [], **more}
    )


def test_only_the_datasets_of_the_named_sources_are_compiled(tmp_path, monkeypatch):
    path = write(tmp_path, TWO)
    monkeypatch.chdir(tmp_path)

    config = settings(arguments(path, source=["flights"]), compiled=True)

    assert list(config.datasets) == ["flights"]
    with pytest.raises(ConfigErrors, match="E112"):
        settings(arguments(path), compiled=True)


@pytest.mark.parametrize(("data", "where"), [("data", "logs"), ("elsewhere/data", "elsewhere/logs")])
@pytest.mark.parametrize("absolute", [False, True])
def test_log_files_lie_beside_the_data_directory(tmp_path, monkeypatch, data, where, absolute):
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    root = tmp_path / data

    settings(arguments(path, data_dir=root if absolute else root.relative_to(tmp_path)))
    logging.getLogger("assay.test").info("something")

    assert "something" in (tmp_path / where / "assay.log").read_text()
    assert logs.folder().resolve() == tmp_path / where
    assert sorted(tmp_path.rglob("logs")) == [tmp_path / where]


def test_status_of_a_named_directory_needs_no_settings(tmp_path):
    ended = assay(tmp_path, "status", "--data-dir", "data")

    assert ended.returncode == 0, ended.stderr
    assert "the books balance" in ended.stdout
    assert "E100" in ended.stderr and "shown is what `data` holds" in ended.stderr
    assert assay(tmp_path, "status").returncode == 2
