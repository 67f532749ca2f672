"""The words of an aggregate, as people write them: a window, a measure, the name of its table."""

from __future__ import annotations

import re

from core.units import BadUnit, seconds

FUNCTIONS = ("count", "sum", "avg", "min", "max")
LONGEST_WINDOW_S = 31 * 86_400
RESERVED = frozenset({"window_start", "window_end", "year", "month", "day"})
"""Columns that every aggregate has; ``assay_…`` is ours, too."""

_MEASURE = re.compile(r"\s*([a-z]+)\s*(?:\(\s*(.*?)\s*\))?\s*")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_UNITS = ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


class BadAggregate(ValueError):
    """Text that is no window, no measure or no name; says what would be right."""


def window_s(text: str) -> int:
    """A window's length in seconds.

    Raises:
        BadAggregate: no duration, no whole seconds, or longer than 31 days.

    >>> window_s("1 hour"), window_s("15 minutes")
    (3600, 900)
    """
    try:
        length = seconds(text)
    except BadUnit as error:
        raise BadAggregate(str(error)) from None
    if length != int(length) or length > LONGEST_WINDOW_S:
        why = "is no window; it must be whole seconds, from `1 second` to `31 days`"
        raise BadAggregate(f"`{text}` {why}")
    return int(length)


def window_name(length_s: int) -> str:
    """What a table is named for: the unit, or how many of it.

    >>> window_name(3600), window_name(86_400), window_name(900)
    ('hour', 'day', '15_minutes')
    """
    size, unit = next((size, unit) for size, unit in _UNITS if length_s % size == 0)
    return unit if length_s == size else f"{length_s // size}_{unit}s"


def measure(text: str) -> tuple[str, str | None]:
    """A measure's function, and the field that it is taken of; None: of the records themselves.

    Raises:
        BadAggregate: neither ``count`` nor ``<function>(<field>)``.

    >>> measure("count"), measure("avg(dep_delay)")
    (('count', None), ('avg', 'dep_delay'))
    """
    found = _MEASURE.fullmatch(text)
    function, field = found.groups() if found else ("", None)
    if function not in FUNCTIONS or field == "" or (field is None and function != "count"):
        why = "is no measure; write `count`, or one of count, sum, avg, min and max of a field, such as `avg(price)`"
        raise BadAggregate(f"`{text}` {why}")
    return function, field


def check_name(name: str) -> None:
    """Refuse what cannot be a measure's column.

    Raises:
        BadAggregate: the name is reserved, or has characters that a column may not have.
    """
    if name in RESERVED or name.startswith("assay_"):
        raise BadAggregate(f"`{name}` is a column that Assay makes itself; name the measure otherwise")
    if not _NAME.fullmatch(name):
        why = "cannot be a column; use a small letter, then small letters, digits and `_`, at most 63 in all"
        raise BadAggregate(f"`{name}` {why}")


def aggregate_table(dataset: str, name: str) -> str:
    """``gold_flights_by_day``."""
    return f"gold_{dataset}_by_{name}"


def is_aggregate(table: str) -> bool:
    """Whether a table's directory holds windows and no records: no dataset may have ``_by_`` in its name.

    >>> is_aggregate("gold_flights_by_day"), is_aggregate("gold_flights")
    (True, False)
    """
    return "_by_" in table
