"""Pandas is installed here (for Spark) and no station loads it."""

from __future__ import annotations

import subprocess
import sys

WORK = """
import sys
import actors.stations
import actors.connector, actors.sources.table, actors.writer, quality
import pyarrow as pa
pa.array([1.0]); pa.scalar(b"x", pa.binary())
assert "pandas" not in sys.modules, "pandas was loaded"
assert len(pa.table({"a": [1]}).to_pandas()) == 1  # whoever wants it still gets it
"""


def test_a_station_does_without_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
