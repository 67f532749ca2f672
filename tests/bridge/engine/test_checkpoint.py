"""A checkpoint that is another's, or half there, is refused in words; one that lost its last commit is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.engine.checkpoint import OWNER, check, own
from core.errors import ConfigError

MINE = {"source": "flights", "type": "file", "splits": "/data/state/spark/streams/flights/splits"}


def a_checkpoint(folder: Path, batches: int = 4) -> Path:
    """As Spark leaves it after so many micro-batches of one file stream."""
    own(folder, MINE)
    (folder / "metadata").write_text('{"id":"6ad3cf1e-6a38-4c2c-b9c0-8a8a9ad7b2f9"}')
    for name in ("offsets", "commits", "sources/0"):
        (folder / name).mkdir(parents=True)
    for number in range(batches):
        offset = ["v1", json.dumps({"batchWatermarkMs": 0}), json.dumps({"logOffset": number})]
        (folder / "offsets" / str(number)).write_text("\n".join(offset))
        (folder / "commits" / str(number)).write_text('v1\n{"nextBatchWatermarkMs":0}')
        (folder / "sources" / "0" / str(number)).write_text("v1\n")
    return folder


def remove(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return act


WHOLE = [
    pytest.param(remove(), id="whole"),
    pytest.param(remove("commits/3"), id="the-last-commit-is-gone"),
    pytest.param(remove("commits/3", "commits/2"), id="the-last-two-are-gone"),
    pytest.param(remove("offsets/0", "commits/0"), id="old-ones-were-tidied-up"),
]
HALF = [
    pytest.param(remove("metadata"), "no `metadata`", id="metadata"),
    pytest.param(lambda folder: (folder / "metadata").write_text(""), "no `metadata`", id="metadata-empty"),
    pytest.param(remove("offsets"), "no `offsets`", id="offsets"),
    pytest.param(remove("offsets/3"), "`offsets/3`", id="last-offset"),
    pytest.param(remove("offsets/1"), "`offsets/1`", id="an-offset-between"),
    pytest.param(remove("commits"), "no `commits`", id="commits"),
    pytest.param(remove("sources"), "no `sources`", id="sources"),
    pytest.param(remove("sources/0/3"), "`sources/0/3`", id="last-of-the-source"),
    pytest.param(
        lambda folder: (folder / "offsets" / "3").write_text("v1\n{}\n{half"),
        "cannot be read",
        id="half-an-offset",
    ),
]


@pytest.mark.parametrize("harm", WHOLE)
def test_what_spark_can_go_on_with_passes(tmp_path: Path, harm: Callable[[Path], None]):
    folder = a_checkpoint(tmp_path / "flights")
    harm(folder)
    check(folder, MINE)


@pytest.mark.parametrize(("harm", "said"), HALF)
def test_half_a_checkpoint_is_refused_with_its_mend(tmp_path: Path, harm: Callable[[Path], None], said: str):
    folder = a_checkpoint(tmp_path / "flights")
    harm(folder)
    with pytest.raises(ConfigError) as raised:
        check(folder, MINE)
    assert raised.value.code == "E124"
    assert said in raised.value.message
    assert "delete that folder" in raised.value.message


def test_a_checkpoint_of_another_stream_is_refused(tmp_path: Path):
    folder = a_checkpoint(tmp_path / "flights")
    with pytest.raises(ConfigError, match="its source is `flights`, here it is `sales`") as raised:
        check(folder, {**MINE, "source": "sales"})
    assert raised.value.code == "E123"
    (folder / OWNER).unlink()
    with pytest.raises(ConfigError, match="not made by Assay") as raised:
        check(folder, MINE)
    assert raised.value.code == "E123"


def test_a_new_one_and_an_unused_one_pass(tmp_path: Path):
    check(tmp_path / "none", MINE)
    own(tmp_path / "new", MINE)
    check(tmp_path / "new", MINE)
