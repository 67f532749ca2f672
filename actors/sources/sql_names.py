"""Names of tables and columns: only what the database's own catalogue lists goes into a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and how its values become JSON values where the driver gives others; None: as they are."""

    name: str
    as_json: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view as its database describes it."""

    name: str
    columns: tuple[Column, ...]
    indexed: frozenset[str] | None
    """Columns that an index begins with; None: not known (a view)."""


def exact_table(wanted: str, names: Iterable[str]) -> str:
    """``wanted``, if it is there exactly so.

    Raises:
        ConfigError: E404 there is no such table; E407 that can be no name.
    """
    return _exact(wanted, list(names), "table", "E404")


def exact_columns(wanted: Iterable[str], table: Table, what: str, code: str = "E405") -> list[Column]:
    """The columns of these names.

    Raises:
        ConfigError: one is missing.
    """
    by_name = {column.name: column for column in table.columns}
    return [by_name[_exact(name, list(by_name), f"{what} of table `{table.name}`", code)] for name in wanted]


def _exact(wanted: str, names: list[str], what: str, code: str) -> str:
    if '"' in wanted or "\0" in wanted or ";" in wanted:
        raise ConfigError(f"{wanted!r} is no valid identifier for a {what}; give the plain name", "E407")
    if wanted in names:
        return wanted
    folded = {name.casefold(): name for name in names}
    near = [folded[name] for name in get_close_matches(wanted.casefold(), folded, n=3, cutoff=0.5)]
    hint = (
        "did you mean " + " or ".join(f"`{name}`" for name in near) if near else "there are " + _listed(names)
    )
    raise ConfigError(
        f"there is no {what} `{wanted}`; {hint}?" if near else f"there is no {what} `{wanted}`; {hint}", code
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:10])
    return (shown + " …" if len(names) > 10 else shown) or "none"
