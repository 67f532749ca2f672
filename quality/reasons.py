"""Reasons as plain tuples, the way the kernel keeps them, and how a value is shown in one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

Why = tuple[str, str, str, str, str, str]
"""(path, rule, severity, expected, got, message), the fields of ``core.batch.Reason`` in order."""

_quoted = json.encoder.encode_basestring
MASK = "•••"
MOST = 20
_SHOWN = 80
_RANK = {"critical": 0, "major": 1, "minor": 2, "info": 3}


def show(value: Any, masked: bool = False) -> str:
    """A value in at most 80 characters; nothing of it where it is masked.

    >>> show("x"), show(None), show("secret", masked=True)
    ('"x"', 'null', '•••')
    """
    if masked:
        return MASK
    kind = type(value)
    if kind is int or kind is float:
        text = (
            repr(value)
            if kind is float or abs(value) < 10**100
            else f"{str(value)[:40]}… ({len(str(value))} digits)"
        )
    elif kind is str:
        text = _quoted(value[: _SHOWN + 1])
    elif value is None:
        return "null"
    else:
        text = dump(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def dump(value: Any) -> str:
    """A decoded value as compact JSON, every number as exact as it was read."""
    kind = type(value)
    if kind is dict:
        inside = ",".join(f"{_quoted(key)}:{dump(part)}" for key, part in value.items())
        return "{" + inside + "}"
    if kind is list:
        return "[" + ",".join(map(dump, value)) + "]"
    if kind is Decimal:
        return str(value)
    if kind is str:
        return _quoted(value)
    return json.dumps(value, ensure_ascii=False)


def in_order(reasons: Sequence[Why]) -> list[Why]:
    """Worst first, else as found; at most 20, then one that says how many more there are."""
    ordered = sorted(reasons, key=lambda why: _RANK[why[2]]) if len(reasons) > 1 else list(reasons)
    if len(ordered) > MOST:
        more = len(ordered) - MOST
        ordered[MOST:] = [
            ("", "more", "info", f"at most {MOST} reasons", str(len(ordered)), f"{more} more reasons")
        ]
    return ordered
