"""What an aggregate is: its window, keys and measures, held against the columns of Gold."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from core.aggregation import RESERVED, BadAggregate, aggregate_table, check_name, measure
from core.errors import ConfigError
from core.frame import TIMESTAMP
from core.tiers import MEASURES
from schemas.columns import Column
from store.documents import arrow_type
from store.windows import Window

FORMAT = 1
"""Of the files; a new one makes every aggregate anew."""
NUMERIC = frozenset({"integer", "number", "decimal"})
KEYS = frozenset({"string", "integer", "boolean", "date", "timestamp", "decimal"})
ORDERED = NUMERIC | {"string", "date", "timestamp"}
STATE = "assay_state_"
"""Columns of the files, behind the table's own, from which further records are added."""
_OWN = {
    **dict.fromkeys(("assay_source", "assay_schema", "assay_rules"), "string"),
    **dict.fromkeys(("assay_score", *(f"assay_{one}" for one in MEASURES)), "number"),
    **dict.fromkeys(("assay_event_time", "assay_arrived_at"), "timestamp"),
}
_TYPES = {"string": "STRING", "number": "DOUBLE", "timestamp": "TIMESTAMP"}
_ARROW = {"string": pa.string(), "number": pa.float64(), "timestamp": TIMESTAMP}


@dataclass(frozen=True, slots=True)
class Field:
    """A column of Gold that an aggregate reads."""

    name: str
    """As the table has it."""
    holds: str
    type: str
    """As HiveQL writes it."""
    arrow: pa.DataType
    scale: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """One column of results."""

    name: str
    function: str
    of: Field | None

    @property
    def type(self) -> str:
        """As HiveQL writes it: sums of whole numbers are BIGINT, means DOUBLE, decimals keep their scale."""
        if self.function == "count" or self.of is None:
            return "BIGINT"
        if self.function == "avg":
            return "DOUBLE"
        if self.function == "sum" and self.of.holds == "decimal":
            return f"DECIMAL(38,{self.of.scale})"
        return self.of.type

    @property
    def arrow(self) -> pa.DataType:
        """What the files have."""
        if self.function == "count" or self.of is None:
            return pa.int64()
        if self.function == "avg":
            return pa.float64()
        if self.function == "sum" and self.of.holds == "decimal":
            return pa.decimal128(38, self.of.scale)
        return self.of.arrow

    @property
    def words(self) -> str:
        """For people: ``avg(dep_delay)``."""
        return self.function if self.of is None else f"{self.function}({self.of.name})"


@dataclass(frozen=True)
class Definition:
    """One aggregate of one dataset."""

    dataset: str
    table: str
    """``gold_flights_by_day``"""
    window: Window
    keys: tuple[Field, ...]
    measures: tuple[Measure, ...]
    watermark_us: int | None = None

    @property
    def version(self) -> str:
        """First 12 hex digits of the SHA-256 over everything that decides a row."""
        fields = [[one.name, one.type] for one in self.keys]
        measures = [[one.name, one.function, one.of and [one.of.name, one.of.type]] for one in self.measures]
        text = json.dumps(
            [FORMAT, self.dataset, self.table, self.window.length_us, fields, measures, self.watermark_us]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def columns(self) -> tuple[tuple[str, str, str], ...]:
        """Name, HiveQL type and comment of every column but the partition's."""
        return (
            ("window_start", "TIMESTAMP", "when the window begins, UTC; decides the partition"),
            ("window_end", "TIMESTAMP", "when it is over, UTC; belongs to the next window"),
            *[(key.name, key.type, key.comment or "key of the group") for key in self.keys],
            *[(one.name, one.type, _comment(one)) for one in self.measures],
            ("assay_commit", "BIGINT", "Gold up to this commit is in the rows of this day"),
            ("assay_definition", "STRING", "first 12 hex digits of the definition's content hash"),
        )

    @property
    def schema(self) -> pa.Schema:
        """The table's own columns as the files have them."""
        return pa.schema(
            [("window_start", TIMESTAMP), ("window_end", TIMESTAMP)]
            + [(key.name, key.arrow) for key in self.keys]
            + [(one.name, one.arrow) for one in self.measures]
            + [("assay_commit", pa.int64()), ("assay_definition", pa.string())]
        )

    @property
    def fields(self) -> dict[str, tuple[Field, frozenset[str]]]:
        """Columns that measures are taken of, in order, and the functions that are wanted of each."""
        found: dict[str, tuple[Field, frozenset[str]]] = {}
        for one in self.measures:
            if one.of is not None:
                known = found.get(one.of.name, (one.of, frozenset()))[1]
                found[one.of.name] = (one.of, known | {one.function})
        return found


def define(
    dataset: str, *, name: str, window_s: int, keys: Iterable[str], measures: Mapping[str, str],
    watermark_s: float | None, columns: Sequence[Column],
) -> Definition:  # fmt: skip
    """An aggregate over the columns of one dataset.

    Args:
        name: the last part of the table's name.
        keys: fields as the schema spells them, or columns as the table does.
        measures: name -> ``count`` or ``avg(<field>)``.
        columns: the dataset's typed columns.

    Raises:
        ConfigError: E156 no such field, or one of a type that cannot be used so, E157 two columns of one name.
            ``facts`` have ``part`` (``keys`` or ``measures``) and ``name``.
    """
    fields = _fields(columns)
    found_keys = {key: _key(key, fields, dataset) for key in keys}
    found = tuple(_measure(name, text, fields, dataset) for name, text in measures.items())
    seen: set[str] = set()
    named = [("keys", key, field.name) for key, field in found_keys.items()]
    for part, written, column in [*named, *(("measures", one.name, one.name) for one in found)]:
        if column in seen:
            raise ConfigError(
                f"two columns of the aggregate would be named `{column}`; leave one out, or name it otherwise",
                "E157", {"part": part, "name": written},
            )  # fmt: skip
        seen.add(column)
    return Definition(
        dataset, aggregate_table(dataset, name), Window(window_s * 1_000_000), tuple(found_keys.values()), found,
        None if watermark_s is None else int(watermark_s * 1e6),
    )  # fmt: skip


def _fields(columns: Sequence[Column]) -> dict[str, Field]:
    own = {name: Field(name, holds, _TYPES[holds], _ARROW[holds]) for name, holds in _OWN.items()}
    named = {
        one.name: Field(one.name, one.holds, one.type, arrow_type(one), one.scale, one.comment)
        for one in columns
    }
    return {**own, **named, **{one.key: named[one.name] for one in columns}}


def _comment(one: Measure) -> str:
    what = (
        "Gold records in the window" if one.of is None else f"{one.words} of the Gold records in the window"
    )
    return f"{what}: {one.of.comment}" if one.of is not None and one.of.comment else what


def _key(name: str, fields: Mapping[str, Field], dataset: str) -> Field:
    field = _field(name, fields, dataset, "keys")
    if field.holds not in KEYS:
        why = "cannot be a key: use a text, a whole number, a decimal, a truth value, a date or an instant"
        raise _unfit(f"the {field.holds} `{name}` {why}", "keys", name)
    if field.name in RESERVED:
        why = "is a column that every aggregate has; it cannot be a key"
        raise ConfigError(f"`{name}` {why}", "E157", {"part": "keys", "name": name})
    return field


def _measure(name: str, text: str, fields: Mapping[str, Field], dataset: str) -> Measure:
    try:
        check_name(name)
        function, of = measure(text)
    except BadAggregate as error:
        raise ConfigError(str(error), "E155", {"part": "measures", "name": name}) from None
    if of is None:
        return Measure(name, function, None)
    field = _field(of, fields, dataset, "measures", name)
    if function in {"sum", "avg"} and field.holds not in NUMERIC:
        why = f"has no {function}: its type is {field.holds}, and only numbers have one"
        raise _unfit(f"`{of}` {why}", "measures", name)
    if function in {"min", "max"} and field.holds not in ORDERED:
        raise _unfit(
            f"`{of}` has no {function}: its type is {field.holds}, which has no order", "measures", name
        )
    if field.holds in {"struct", "array"}:
        raise _unfit(f"`{of}` cannot be counted: its type is {field.holds}", "measures", name)
    return Measure(name, function, field)


def _field(name: str, fields: Mapping[str, Field], dataset: str, part: str, at: str | None = None) -> Field:
    if name in fields:
        return fields[name]
    close = difflib.get_close_matches(name, fields, n=1)
    known = sorted(one for one in fields if not one.startswith("assay_"))
    hint = f"did you mean `{close[0]}`?" if close else f"there is {', '.join(known)}"
    raise _unfit(f"`{name}` is no field of the schema of `{dataset}`; {hint}", part, at or name)


def _unfit(why: str, part: str, name: str) -> ConfigError:
    return ConfigError(why, "E156", {"part": part, "name": name})
