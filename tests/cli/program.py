"""The program as a user starts it: another process, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MAIN = Path(__file__).parents[2] / "main.py"


def assay(folder: Path, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``main.py`` with these words; nothing of the caller's Assay settings reaches it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ASSAY_")}
    return subprocess.run(
        [sys.executable, str(MAIN), *words], cwd=folder, env={**kept, **(env or {})}, text=True, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
