"""One input, every mode: the same ids, tiers, scores, reasons and columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.events import DATASET, SCHEMA, write_jsonl
from tests.system.site import Site, flights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def mixed(folder: Path, rows: int) -> Site:
    """Half of them flights in CSV, half of them sales as JSON lines, some of these mutated."""
    site = flights(folder, rows // 2)
    (folder / "sales").mkdir()
    (folder / "sale.json").write_text(json.dumps(SCHEMA))
    for part in range(2):
        write_jsonl(folder / "sales" / f"sales-{part}.jsonl", rows // 4, seed=part)
    common = {"type": "file", "settle_s": 0.2, "poll_interval_s": 0.2}
    site.config["sources"]["flights"] |= {**common, "chunk_rows": 10_000}
    site.config["sources"]["sales"] = {
        **common,
        "path": str(folder / "sales" / "*.jsonl"),
        "dataset": "sales",
    }
    site.config["datasets"]["sales"] = {"schema": str(folder / "sale.json"), **DATASET}
    return site


def test_a_hundred_thousand_mixed_rows_are_the_same_in_every_mode(tmp_path: Path) -> None:
    done = mixed(tmp_path, 100_000).command("parity", "--keep", str(tmp_path / "kept"), timeout_s=800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all modes agree" in done.stdout
    for mode in ("batch on actors", "batch on Spark", "micro-batch", "event mode"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(mode))
        assert line.split()[-6:] == ["100,000", "0", "0", "0", "0", "0"], line

    stored = next(
        (tmp_path / "kept" / "micro-batch" / "warehouse").glob("gold_sales/year=*/month=*/day=*/*.parquet")
    )
    stored.unlink()
    from cli.parity_tables import differences

    found = differences(
        tmp_path / "kept" / "batch-on-actors", tmp_path / "kept" / "micro-batch", ["sales", "flights"]
    )
    assert found.counts["ids"] > 0, "a file that is gone is seen"
