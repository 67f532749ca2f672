"""Values of rows as canonical JSON: exact, and the same for every source that has no bytes of its own.

Whole numbers and decimals keep every digit; instants are RFC 3339 in UTC (one without zone is taken as UTC); bytes are
base64. NaN and infinities have no JSON: they become the strings "NaN", "Infinity", "-Infinity", so that a schema that
wants a number refuses them and nobody loses them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

_LONGEST_DECIMAL = 400


def json_value(value: Any) -> str:
    """One value of a database or a Parquet file.

    >>> [json_value(v) for v in (2**70, Decimal("1.10"), float("nan"), b"hi", None, {"a": [True]})]
    ['1180591620717411303424', '1.10', '"NaN"', '"aGk="', 'null', '{"a":[true]}']
    """
    if value is None:
        return "null"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value) if math.isfinite(value) else _not_finite(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{text(str(name))}:{json_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([json_value(item) for item in value]) + "]"
    return text(_as_text(value))


def json_row(names: tuple[str, ...], values: tuple[Any, ...]) -> bytes:
    """One row as an object; ``names`` are JSON strings already (see ``text``)."""
    return (
        "{" + ",".join([f"{n}:{json_value(v)}" for n, v in zip(names, values, strict=True)]) + "}"
    ).encode()


def text(value: str) -> str:
    """A JSON string; a lone surrogate is written as its escape, which the judge refuses."""
    made = str(encode_basestring(value))
    return made.encode("utf-8", "backslashreplace").decode() if not made.isascii() else made


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        return '"NaN"' if value.is_nan() else ('"Infinity"' if value > 0 else '"-Infinity"')
    return format(value, "f") if abs(value.adjusted()) < _LONGEST_DECIMAL else str(value)


def _not_finite(value: float) -> str:
    return '"NaN"' if math.isnan(value) else ('"Infinity"' if value > 0 else '"-Infinity"')


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        zoned = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return zoned.isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, timedelta):
        return f"PT{value.total_seconds():f}S"
    return str(value)
