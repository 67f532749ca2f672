"""Who may import whom (docs/design.md §5), and where ray, pyspark and elasticsearch may be named."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PURE = {"core", "config", "schemas", "quality", "store"}
MAY_IMPORT = {
    "core": set(),
    "config": {"core"},
    "schemas": {"core"},
    "quality": {"core", "schemas"},
    "store": {"core", "schemas"},
    "actors.sources": {"core", "config", "store"},
    "bridge": {"core", "config", "schemas", "quality", "store", "actors.sources"},
    "web": {"core", "config", "schemas", "quality", "store"},
    "actors": {"core", "config", "schemas", "quality", "store", "bridge", "actors.sources"},
}
FREE = {"cli", "main", "assay"}
ROOMS = {*MAY_IMPORT, *FREE}
NAMED_ONLY_IN = {
    "ray": ("actors/topology.py", "actors/handles.py", "actors/telemetry.py"),
    "pyspark": ("bridge/",),
    "py4j": ("bridge/",),
    "elasticsearch": ("search/",),
}


def room_of(module: str) -> str | None:
    """The room a dotted name lies in; None for what is not ours."""
    if module == "actors.sources" or module.startswith("actors.sources."):
        return "actors.sources"
    first = module.partition(".")[0]
    return first if first in ROOMS else None


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "actors")


def faults(root: Path) -> list[str]:
    """Every import that breaks the rule, in words."""
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        module = ".".join(place.with_suffix("").parts)
        own = room_of(module)
        if own is None:
            continue
        for name in imports_of(path):
            other = room_of(name)
            if own in MAY_IMPORT and other not in {None, own} and other not in MAY_IMPORT[own]:
                found.append(f"{place}: {own} must not import {name}")
            allowed = NAMED_ONLY_IN.get(name.partition(".")[0])
            if allowed and not any(str(place).startswith(one) for one in allowed):
                found.append(f"{place}: {name} may be named only in {', '.join(allowed)}")
    return found


def test_every_import_keeps_to_its_room():
    assert faults(CHECKOUT) == []


@pytest.mark.parametrize(
    ("place", "line", "words"),
    [
        pytest.param(
            "quality/planted.py", "import ray", "quality/planted.py: ray may be named only in", id="ray"
        ),
        pytest.param(
            "web/planted.py", "from actors.bus import Bus", "web must not import actors.bus", id="web"
        ),
        pytest.param(
            "core/planted.py", "import config.models", "core must not import config.models", id="core"
        ),
        pytest.param(
            "actors/sources/planted.py", "import bridge.hive", "must not import bridge.hive", id="sources"
        ),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, place: str, line: str, words: str):
    planted = tmp_path / place
    planted.parent.mkdir(parents=True)
    planted.write_text(line + "\n")

    assert any(words in fault for fault in faults(tmp_path))


def test_pure_rooms_load_without_ray_or_pyspark():
    """Every module of the pure rooms and of the source table, in a process that has neither."""
    modules = [
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
        for room in [*sorted(PURE), "actors/sources"]
        for path in sorted((CHECKOUT / room).rglob("*.py"))
    ]
    code = (
        "import sys, importlib\n"
        "for gone in ('ray', 'pyspark', 'py4j', 'elasticsearch'): sys.modules[gone] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=CHECKOUT, check=True)
