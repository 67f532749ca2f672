"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "config", "schemas", "quality", "store", "actors", "web", "cli", "bridge")
MODULES = sorted(
    ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
    for room in ROOMS
    for path in (CHECKOUT / room).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str):
    result = doctest.testmod(importlib.import_module(name))

    assert result.attempted
    assert not result.failed
