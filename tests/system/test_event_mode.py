"""Event mode on a watched folder: new, growing and replaced files, until SIGTERM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.site import Run, flights, samples

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def stored(run: Run, rows: int, what: str) -> None:
    """Wait until so many records are counted, committed, and in parquet."""
    run.until(lambda books: books["read"] == rows and not books["in_flight"], what=f"{what}: counted")
    run.until(lambda books: run.site.rows() == rows, what=f"{what}: in committed parquet")
    assert run.books()["imbalance"] == 0


def test_what_happens_in_the_folder_happens_in_the_tables(tmp_path: Path) -> None:
    lines = (samples() / "flights" / "flights.csv").read_bytes().splitlines(keepends=True)
    header, data = lines[0], lines[1:]
    site = flights(tmp_path, 1_000)
    site.config["sources"]["flights"] |= {"poll_interval_s": 0.2, "settle_s": 0.5}
    run = site.start("--no-web", "--streaming", "--event-mode")
    stored(run, 1_000, "the first file")
    wanted = data[:1_000]

    dropped, growing = tmp_path / "in" / "dropped.csv", tmp_path / "in" / "growing.csv"
    (tmp_path / "dropped").write_bytes(header + b"".join(data[1_000:1_500]))
    os.replace(tmp_path / "dropped", dropped)
    wanted += data[1_000:1_500]
    stored(run, 1_500, "a file dropped into the folder")

    growing.write_bytes(header + b"".join(data[2_000:2_100]))
    stored(run, 1_600, "a file that will grow")
    with growing.open("ab") as file:
        file.write(b"".join(data[2_100:2_200]) + data[2_200][:30])
        file.flush()
        run.until(lambda books: books["read"] >= 1_700, what="the whole lines of a file that grew")
        file.write(data[2_200][30:] + b"".join(data[2_201:2_300]))
    wanted += data[2_000:2_300]
    run.until(lambda books: books["read"] >= 1_800, what="the rest of it")

    (tmp_path / "other").write_bytes(header + b"".join(data[3_000:3_250]))
    os.replace(tmp_path / "other", dropped)
    wanted += data[3_000:3_250]
    stored(run, run.books()["read"] + 250, "a file put in the place of another")

    assert run.stop(120) == 0, run.text()[-3000:]
    found = site.raw()
    assert found == sorted(line.rstrip(b"\r\n") for line in wanted)
    assert run.books()["rejected"] + run.books()["gold"] + run.books()["silver"] + run.books()[
        "bronze"
    ] == len(found)
