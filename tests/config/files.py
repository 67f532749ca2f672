"""Configuration files for tests: a good one, and one with a line changed."""

from __future__ import annotations

from pathlib import Path

GOOD = """\
sources:
  flights: {type: file, path: "in/*.csv", dataset: flights}
datasets:
  flights:
    schema: flights.json
"""


def write(folder: Path, text: str | bytes = GOOD, name: str = "assay.yml") -> Path:
    """The file, beside a schema that exists. Commands run in ``folder``, so that places read short."""
    (folder / "flights.json").write_text('{"type": "object", "properties": {"id": {"type": "integer"}}}')
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return Path(name)
