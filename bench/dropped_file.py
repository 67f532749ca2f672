"""A file dropped into a watched folder: seconds until the page counts it, and until it is in committed parquet."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq

from bench.figure import Figure
from tests.system.site import Run, Site, flights
from tests.waiting import until

DROPS = 10
ROWS = 200


def main(quick: bool = False) -> list[Figure]:
    """Medians of ten drops into a running event-mode system, by ``/api/v1/status`` and by the files themselves."""
    with tempfile.TemporaryDirectory(prefix="assay-drop-") as folder:
        site = flights(Path(folder), ROWS)
        run = site.start("--streaming", "--event-mode", "--port", "0")
        try:
            until(
                lambda: run.status().get("ledger", {}).get("gold", 0) > 0,
                120,
                what="the first file is stored",
            )
            times = [_drop(site, run, number) for number in range(3 if quick else DROPS)]
        finally:
            run.stop()
    counted, stored = (statistics.median(column) for column in zip(*times, strict=True))
    return [
        Figure("dropped file: in the page's counts, median", counted, "s", 1.0),
        Figure("dropped file: in committed parquet, median", stored, "s", 2.0),
    ]


def _drop(site: Site, run: Run, number: int) -> tuple[float, float]:
    """Seconds from the rename into the folder to the page's count, and to the rows in parquet."""
    given = site.folder / "in" / "flights.csv"
    before = _page(site, run)["ledger"]["read"]
    stored = _rows(site)
    hidden = site.folder / f"drop-{number}.csv"
    hidden.write_bytes(given.read_bytes())
    hidden.rename(given.with_name(f"drop-{number}.csv"))
    start = time.monotonic()
    until(lambda: _page(site, run)["ledger"]["read"] >= before + ROWS, 30, 0.01)
    counted = time.monotonic() - start
    until(lambda: _rows(site) >= stored + ROWS, 30, 0.01)
    return counted, time.monotonic() - start


def _page(site: Site, run: Run) -> dict:
    address = next(word for word in run.text().split() if word.startswith("http://")).split("/login")[0]
    token = (site.data / "state" / "token").read_text().strip()
    request = urllib.request.Request(f"{address}/api/v1/status", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def _rows(site: Site) -> int:
    return sum(
        pq.read_metadata(path).num_rows
        for path in (site.data / "warehouse").glob("*/year=*/*/*/*.parquet")
        if "_by_" not in path.parts[-5]
    )
