"""What the stations' processes do not load: pandas (which is here for Spark), and Arrow where no record is looked into."""

from __future__ import annotations

import subprocess
import sys

import pytest

PLAN = """
import os, sys
from pathlib import Path
from actors.plan import Plan
from actors.stations import BusStation, RegistryStation, WriterStation
from config.load import load
config = load(Path("config/data_sources.yml"))
plan = Plan(config=config, root=config.storage.root, mode="event", sources=(), bus_address="ipc://nowhere", cwd=os.getcwd())
"""
PANDAS = """
WriterStation(plan)
import actors.connector, actors.sources.table, quality
import pyarrow as pa
pa.array([1.0]); pa.scalar(b"x", pa.binary())
assert "pandas" not in sys.modules, "pandas was loaded"
assert len(pa.table({"a": [1]}).to_pandas()) == 1  # whoever wants it still gets it
"""
ARROW = """
import actors.supervisor
BusStation(plan); RegistryStation(plan)
loaded = {"pyarrow", "numpy", "pandas"} & set(sys.modules)
assert not loaded, f"loaded: {loaded}"
"""


@pytest.mark.parametrize(
    "work",
    [pytest.param(PANDAS, id="none loads pandas"), pytest.param(ARROW, id="bus and registry load no Arrow")],
)
def test_a_station_loads_no_more_than_it_needs(work: str) -> None:
    done = subprocess.run([sys.executable, "-c", PLAN + work], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
