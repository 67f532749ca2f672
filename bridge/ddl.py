"""HiveQL for Assay's tables and views: text from plans. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.tiers import TIER_WORDS
from schemas.columns import Column

VISIBLE = "assay_visible"
LONGEST_COMMENT = 250
"""The metastore keeps 256 characters of a column's comment."""

Day = tuple[int, int, int]
"""Year, month, day: a partition."""

_REASON = (
    "STRUCT<`path`:STRING,`rule`:STRING,`severity`:STRING,`expected`:STRING,`got`:STRING,`message`:STRING>"
)

ASSAY_COLUMNS: tuple[tuple[str, str, str], ...] = (
    (
        "assay_id",
        "STRING",
        "<source>.<partition>.<ordinal>: where it was read; reading again gives the same id",
    ),
    ("assay_ordinal", "BIGINT", "the last part of the id as a number; files are sorted by it"),
    ("assay_source", "STRING", "name of the source"),
    ("assay_position", "STRING", "where it was read, in words, JSON"),
    (
        "assay_event_time",
        "TIMESTAMP",
        "when it happened, UTC; arrival where that is not known; decides the partition",
    ),
    ("assay_arrived_at", "TIMESTAMP", "when it was first read, UTC"),
    ("assay_schema", "STRING", "the schema it was judged by: subject:version"),
    ("assay_rules", "STRING", "the rules it was judged by: first 12 hex digits of their hash"),
    ("assay_score", "DOUBLE", "weighted mean of the measures, 0 to 1"),
    ("assay_completeness", "DOUBLE", "share of expected fields that are there; null: does not apply"),
    ("assay_accuracy", "DOUBLE", "patterns, ranges and sets, 0 to 1; null: does not apply"),
    ("assay_timeliness", "DOUBLE", "age against the expected interval, 0 to 1; null: does not apply"),
    ("assay_compliance", "DOUBLE", "how far the schema accepts it, 0 to 1; null: does not apply"),
    ("assay_consistency", "DOUBLE", "business rules across fields, 0 to 1; null: does not apply"),
    ("assay_reasons", f"ARRAY<{_REASON}>", "why it is not perfect; empty if it is"),
    ("assay_batch", "BIGINT", "number of the commit it came with"),
    ("assay_replay", "STRING", "the replay that moved it here; null: none"),
    ("assay_rewrite", "BIGINT", "the compaction that rewrote it; null: none"),
    ("assay_extra", "STRING", "JSON of fields the schema does not know; null: none"),
    ("assay_raw", "BINARY", "the bytes as received"),
    ("assay_content_type", "STRING", "what assay_raw is"),
)
"""Name, type, comment (docs/contracts.md §3), in the order of the tables."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What one dataset's tables are made from."""

    dataset: str
    schema: str
    """``subject:version``"""
    rules: str
    columns: tuple[Column, ...]
    """The schema's own, from ``schemas.columns.columns``; Silver and Gold have them."""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One tier of one dataset."""

    tier: str
    plan: TablePlan
    database: str
    location: str
    """Absolute path or URI of its directory."""

    @property
    def view(self) -> str:
        """``assay.gold_flights``: what people query."""
        return f"{self.database}.{self.tier}_{self.plan.dataset}"

    @property
    def name(self) -> str:
        """``assay.gold_flights_files``: the external table."""
        return f"{self.view}_files"

    @property
    def columns(self) -> tuple[tuple[str, str, str], ...]:
        """Name, type, comment of every column but the partition's."""
        if self.tier not in {"gold", "silver"}:
            return ASSAY_COLUMNS
        return ASSAY_COLUMNS + tuple((one.name, one.type, one.comment) for one in self.plan.columns)

    @property
    def properties(self) -> dict[str, str]:
        """Table properties. What discovers or purges by itself is set off: only Assay adds and removes."""
        return {
            "discover.partitions": "false", "external.table.purge": "false",
            "assay.schema": self.plan.schema, "assay.rules": self.plan.rules,
            "assay.layout": layout_of(self.columns),
        }  # fmt: skip

    @property
    def comment(self) -> str:
        """One line for ``DESCRIBE``."""
        return self.plan.comment or f"{self.tier} records of {self.plan.dataset}"


def tables_of(plan: TablePlan, database: str, warehouse: str) -> list[Table]:
    """The four tables of a dataset."""
    return [Table(tier, plan, database, f"{warehouse}/{tier}_{plan.dataset}") for tier in TIER_WORDS]


def layout_of(columns: Iterable[tuple[str, str, str]]) -> str:
    """A short hash of names and types: equal where a table needs no change."""
    text = ",".join(f"{name} {kind.lower()}" for name, kind, _ in columns)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def create_table(table: Table) -> str:
    """The external table over the files."""
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.name} ({_columns(table.columns)}) COMMENT {_text(table.comment)} "
        "PARTITIONED BY (`year` INT COMMENT 'UTC, of assay_event_time', `month` INT COMMENT 'UTC', `day` INT COMMENT 'UTC') "
        f"STORED AS PARQUET LOCATION {_text(table.location)} TBLPROPERTIES ({_properties(table.properties)})"
    )


def add_columns(table: Table, new: Sequence[tuple[str, str, str]]) -> str:
    """Columns that an older table does not have; older files read as NULL there."""
    return f"ALTER TABLE {table.name} ADD COLUMNS ({_columns(new)})"


def set_properties(table: Table) -> str:
    """Bring the properties up to date."""
    return f"ALTER TABLE {table.name} SET TBLPROPERTIES ({_properties(table.properties)})"


def add_partitions(table: str, location: str, days: Iterable[Day]) -> str:
    """All of ``days`` in one statement; those that are there stay as they are."""
    parts = " ".join(
        f"PARTITION (year={year}, month={month}, day={day}) LOCATION "
        + _text(f"{location}/year={year}/month={month}/day={day}")
        for year, month, day in days
    )
    return f"ALTER TABLE {table} ADD IF NOT EXISTS {parts}"


def table_view(table: Table, *, replace: bool) -> str:
    """The view people query: rows of whole commits only. ``replace``: it is there already.

    ``ALTER VIEW`` changes a view in one step; ``CREATE OR REPLACE`` would drop it first.
    """
    names = ", ".join(f"`{name}`" for name, _, _ in table.columns)
    body = (
        f"SELECT {names}, `year`, `month`, `day` FROM {table.name} "
        f"WHERE assay_batch <= (SELECT last_commit FROM {table.database}.{VISIBLE})"
    )
    if replace:
        return f"ALTER VIEW {table.view} AS {body}"
    return f"CREATE VIEW IF NOT EXISTS {table.view} COMMENT {_text(table.comment)} AS {body}"


def visible_view(database: str, commit: int, *, replace: bool) -> str:
    """The number of the newest commit that may be seen, as a view that holds a literal.

    A query reads it while it is analysed, before it lists any file: so it cannot see a part of a commit
    that was made after. A number in a file would be read after the listing.
    """
    body = f"SELECT CAST({commit} AS BIGINT) AS last_commit"
    verb = "ALTER VIEW" if replace else "CREATE VIEW IF NOT EXISTS"
    return f"{verb} {database}.{VISIBLE} AS {body}"


def _columns(columns: Iterable[tuple[str, str, str]]) -> str:
    return ", ".join(
        f"`{name}` {kind}" + (f" COMMENT {_text(comment[:LONGEST_COMMENT])}" if comment else "")
        for name, kind, comment in columns
    )


def _properties(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{_text(key)}={_text(value)}" for key, value in properties.items())


def _text(value: str) -> str:
    """A string literal, safe for any text."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ") + "'"
