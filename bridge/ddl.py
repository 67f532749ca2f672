"""HiveQL for Assay's tables and views: text from plans. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.casting import cast_of, null_of
from core.tiers import TIER_WORDS
from schemas.columns import Column
from store.layout import table_directory

VISIBLE = "assay_visible"
WAREHOUSE = "assay.warehouse"
"""Property of the database: whose tables it holds."""
VIEW = "assay.view"
"""Property of a view: a digest of what it says, so that it is written again only when that changes."""
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


FIXED = {"discover.partitions": "false", "external.table.purge": "false"}
"""What discovers or purges by itself is set off: only Assay adds and removes."""
TYPED = frozenset({"gold", "silver"})
"""Tiers whose tables have the schema's own columns."""


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
    older: tuple[tuple[Column, ...], ...] = ()
    """The columns of earlier versions of the Silver and Gold tables, the first one first (``schemas.versions``)."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further properties: ``assay.sources``, ``assay.lineage``."""

    @property
    def version(self) -> int:
        """Of the Silver and Gold tables that take new rows."""
        return len(self.older) + 1


@dataclass(frozen=True, slots=True)
class AggregatePlan(TablePlan):
    """The one table of an aggregate: its files hold whole days and are replaced at once, so no commit number guards them."""

    definition: str = ""
    """Rows of another one are of no account."""
    made: tuple[tuple[str, str, str], ...] = ()
    """Name, type, comment of its columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """One tier of one dataset; of Silver and Gold, one version of it."""

    tier: str
    plan: TablePlan
    database: str
    location: str
    """Absolute path or URI of its directory."""
    version: int = 1

    @property
    def view(self) -> str:
        """``assay.gold_flights``: what people query."""
        return f"{self.database}.{self.tier}_{self.plan.dataset}"

    @property
    def name(self) -> str:
        """``assay.gold_flights_files``: the external table; ``…_files_v2`` of the second version."""
        return f"{self.view}_files" + (f"_v{self.version}" if self.version > 1 else "")

    @property
    def typed(self) -> tuple[Column, ...]:
        """The schema's own columns that it has."""
        if self.tier not in TYPED:
            return ()
        return self.plan.columns if self.version == self.plan.version else self.plan.older[self.version - 1]

    @property
    def columns(self) -> tuple[tuple[str, str, str], ...]:
        """Name, type, comment of every column but the partition's."""
        if isinstance(self.plan, AggregatePlan):
            return self.plan.made
        return ASSAY_COLUMNS + tuple((one.name, one.type, one.comment) for one in self.typed)

    @property
    def in_log(self) -> bool:
        """Whether manifests name its files."""
        return not isinstance(self.plan, AggregatePlan)

    @property
    def properties(self) -> dict[str, str]:
        """Table properties."""
        found = {**FIXED, "assay.layout": layout_of(self.columns)}
        if self.tier in TYPED and self.version < self.plan.version:
            return found  # what its last rows were judged by is said already
        return {**found, "assay.schema": self.plan.schema, "assay.rules": self.plan.rules, **self.plan.facts}

    @property
    def comment(self) -> str:
        """One line for ``DESCRIBE``."""
        return self.plan.comment or f"{self.tier} records of {self.plan.dataset}"


def tables_of(plan: TablePlan, database: str, warehouse: str) -> list[Table]:
    """The tables of a dataset: four, and the earlier versions of Silver and Gold. By tier, the newest last."""
    if isinstance(plan, AggregatePlan):
        return [Table("gold", plan, database, f"{warehouse}/gold_{plan.dataset}")]
    return [
        Table(tier, plan, database, f"{warehouse}/{table_directory(tier, plan.dataset, version)}", version)
        for tier in TIER_WORDS
        for version in range(1, (plan.version if tier in TYPED else 1) + 1)
    ]


def layout_of(columns: Iterable[tuple[str, str, str]]) -> str:
    """A short hash of names and types: equal where a table needs no change."""
    return digest(",".join(f"{name} {kind.lower()}" for name, kind, _ in columns))


def create_table(table: Table) -> str:
    """The external table over the files."""
    day_of = "assay_event_time" if isinstance(table, Table) else "window_start"
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.name} ({_columns(table.columns)}) COMMENT {_text(table.comment)} "
        f"PARTITIONED BY (`year` INT COMMENT 'UTC, of {day_of}', `month` INT COMMENT 'UTC', `day` INT COMMENT 'UTC') "
        f"STORED AS PARQUET LOCATION {_text(table.location)} TBLPROPERTIES ({properties_of(table.properties)})"
    )


def add_columns(table: Table, new: Sequence[tuple[str, str, str]]) -> str:
    """Columns that an older table does not have; older files read as NULL there."""
    return f"ALTER TABLE {table.name} ADD COLUMNS ({_columns(new)})"


def set_properties(name: str, properties: Mapping[str, str], kind: str = "TABLE") -> str:
    """Bring the properties of a table or VIEW up to date."""
    return f"ALTER {kind} {name} SET TBLPROPERTIES ({properties_of(properties)})"


def add_partitions(table: str, location: str, days: Iterable[Day]) -> str:
    """All of ``days`` in one statement; those that are there stay as they are."""
    parts = " ".join(
        f"PARTITION (year={year}, month={month}, day={day}) LOCATION "
        + _text(f"{location}/year={year}/month={month}/day={day}")
        for year, month, day in days
    )
    return f"ALTER TABLE {table} ADD IF NOT EXISTS {parts}"


def view_body(tables: Sequence[Table]) -> str:
    """What a tier's view says: rows of whole commits only, of all versions of its table, in the types of the newest.

    Columns that only older versions have stay, NULL for newer rows; an older value that cannot be had in the newer
    type is NULL, and stands in the older version's own table and in ``assay_raw``.
    """
    if isinstance(plan := tables[-1].plan, AggregatePlan):
        names = [f"`{name}`" for name, _, _ in plan.made]
        return (
            f"SELECT {', '.join(names)}, `year`, `month`, `day` FROM {tables[-1].name} "
            f"WHERE assay_definition = {_text(plan.definition)}"
        )
    shown = {column.name: column for table in tables for column in table.typed}
    branches = []
    for table in tables:
        own = {column.name: column for column in table.typed}
        names = [f"`{name}`" for name, _, _ in ASSAY_COLUMNS] + [
            f"`{name}`" if len(tables) == 1 else f"{_value(own.get(name), column)} AS `{name}`"
            for name, column in shown.items()
        ]
        branches.append(
            f"SELECT {', '.join(names)}, `year`, `month`, `day` FROM {table.name} "
            f"WHERE assay_batch <= (SELECT last_commit FROM {table.database}.{VISIBLE})"
        )
    return " UNION ALL ".join(branches)


def _value(own: Column | None, wanted: Column) -> str:
    return null_of(wanted) if own is None else cast_of(f"`{own.name}`", own, wanted)


def table_view(tables: Sequence[Table], *, replace: bool) -> str:
    """The view people query. ``replace``: it is there already.

    ``ALTER VIEW`` changes a view in one step; ``CREATE OR REPLACE`` would drop it first.
    """
    newest, body = tables[-1], view_body(tables)
    if replace:
        return f"ALTER VIEW {newest.view} AS {body}"
    said = properties_of({VIEW: digest(body)})
    described = {name: comment for table in tables for name, _, comment in table.columns}
    names = ", ".join(f"`{name}`" + _commented(comment) for name, comment in described.items())
    return (
        f"CREATE VIEW IF NOT EXISTS {newest.view} ({names}, `year`, `month`, `day`) "
        f"COMMENT {_text(newest.comment)} TBLPROPERTIES ({said}) AS {body}"
    )


def digest(text: str) -> str:
    """Twelve hex digits that tell one text from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def visible_view(database: str, commit: int, *, replace: bool) -> str:
    """The number of the newest commit that may be seen, as a view that holds a literal.

    A query reads it while it is analysed, before it lists any file: so it cannot see a part of a commit
    that was made after. A number in a file would be read after the listing.
    """
    body = f"SELECT CAST({commit} AS BIGINT) AS last_commit"
    verb = "ALTER VIEW" if replace else "CREATE VIEW IF NOT EXISTS"
    return f"{verb} {database}.{VISIBLE} AS {body}"


def _columns(columns: Iterable[tuple[str, str, str]]) -> str:
    return ", ".join(f"`{name}` {kind}{_commented(comment)}" for name, kind, comment in columns)


def _commented(comment: str) -> str:
    return f" COMMENT {_text(comment[:LONGEST_COMMENT])}" if comment else ""


def properties_of(properties: Mapping[str, str]) -> str:
    """``'key'='value', …``, quoted."""
    return ", ".join(f"{_text(key)}={_text(value)}" for key, value in properties.items())


def _text(value: str) -> str:
    """A string literal, safe for any text."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ") + "'"
