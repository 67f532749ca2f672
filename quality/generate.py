"""Python written from a schema and its rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quality.measures import Plan


@dataclass(frozen=True, slots=True)
class FastPath:
    """The generated function, or None, and what it covers."""

    run: Callable[[list[bytes], int, Any], list[int]] | None
    explain: dict[str, Any]
    source: str = ""


def generate(plan: Plan) -> FastPath:
    """The fast path of a plan."""
    return FastPath(None, {})
