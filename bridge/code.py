"""Our own code as one zip, for executors that do not share this machine's checkout."""

from __future__ import annotations

import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "config", "schemas", "quality", "store", "actors", "bridge")
"""What a task imports, and what that imports."""


def code_zip(folder: Path) -> Path:
    """Write ``folder/assay.zip`` anew, modules only: 0.1 s."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "assay.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for room in ROOMS:
            for path in sorted((CHECKOUT / room).rglob("*.py")):
                made.write(path, path.relative_to(CHECKOUT))
    return target


def is_local(master: str) -> bool:
    """Whether tasks run in processes beside the driver, from this checkout."""
    return master.partition("[")[0] == "local"
