"""Tables of a real PostgreSQL and a real MariaDB, over TLS, read by Spark in ranges: every row once, digit by digit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.engine.jdbc import JdbcKind
from config.models import JdbcSettings
from core.errors import AssayError
from core.span import Span
from tests.bridge.engine.conftest import a_session
from tests.bridge.engine.tables import TableDirectory
from tests.services.mariadb import MariaDb
from tests.services.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POSTGRES_THINGS = """
CREATE TABLE things (id bigint PRIMARY KEY, name text, qty numeric, at timestamptz, day date);
INSERT INTO things SELECT i, CASE WHEN i % 7 = 0 THEN repeat('x', 30) ELSE 'n' || i END, i * 1.10,
  timestamptz '2026-11-19 00:00:00+00' + i * interval '1 minute', date '2026-11-19' + i / 1440 FROM generate_series(0, 2999) i;
"""
MARIADB_THINGS = """
CREATE TABLE things (id bigint PRIMARY KEY, name varchar(50), qty decimal(20, 5), at datetime(6), day date);
INSERT INTO things SELECT seq, IF(seq % 7 = 0, repeat('x', 30), concat('n', seq)), seq * 1.10,
  timestamp '2026-11-19 00:00:00' + INTERVAL seq MINUTE, date '2026-11-19' + INTERVAL (seq DIV 1440) DAY FROM seq_0_to_2999;
"""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A session with the drivers, which it has because a source needs them."""
    source = JdbcSettings(type="jdbc", dataset="things", url="jdbc:postgresql://h/d", table="t", key=("id",))  # type: ignore[arg-type]
    with a_session(tmp_path_factory.mktemp("session"), things=source) as session:
        yield session.spark


@pytest.fixture
def shop(postgres: Postgres) -> Postgres:
    """An empty database ``shop``."""
    postgres.database("shop")
    return postgres


def settings(server: Postgres | MariaDb, **more: Any) -> JdbcSettings:
    """The table ``things`` of ``shop``, over TLS with the server's certificate checked."""
    given: dict[str, Any] = {
        "type": "jdbc", "dataset": "things", "url": server.jdbc("shop"), "user": server.user, "password": server.password,
        "table": "things", "key": ("id",), "range_rows": 700, "num_partitions": 2, "tls": "verify", "tls_ca": server.tls.authority,
    }  # fmt: skip
    given |= more
    return JdbcSettings.model_validate({name: value for name, value in given.items() if value is not None})


def directory(tmp_path: Path, spark: Any, read: JdbcSettings, name: str = "data") -> TableDirectory:
    return TableDirectory(tmp_path / name, read, spark=spark)


def documents(found: TableDirectory) -> list[dict[str, Any]]:
    return [json.loads(row["assay_raw"]) for row in found.rows()]


@pytest.fixture(params=["postgresql", "mariadb"])
def things(request: pytest.FixtureRequest, postgres: Postgres, mariadb: MariaDb) -> Postgres | MariaDb:
    """3,000 rows of three days, in either."""
    if request.param == "postgresql":
        postgres.psql(POSTGRES_THINGS, postgres.database("shop"))
        return postgres
    mariadb.sql(MARIADB_THINGS, mariadb.database("shop"))
    return mariadb


def run(server: Postgres | MariaDb, sql: str) -> None:
    """A statement in ``shop``."""
    server.psql(sql, "shop") if isinstance(server, Postgres) else server.sql(sql, "shop")


def test_every_row_once_in_ranges_over_tls_and_then_only_new_ones(
    spark: Any, tmp_path: Path, things: Postgres | MariaDb
) -> None:
    found = directory(tmp_path, spark, settings(things))
    (done,) = found.by_spark(spark)
    assert (done.read, done.rows, len(done.outcomes)) == (3000, 3000, 5)
    assert [row["assay_ordinal"] for row in found.rows() if row["assay_ordinal"] < 3] == [0, 1, 2] or len(
        found.ids()
    ) == 3000
    rows = {row["assay_ordinal"]: row for row in found.rows()}
    assert sorted(rows) == list(range(3000))
    assert rows[17]["assay_position"] == '{"table":"things","key":17}'
    assert json.loads(rows[17]["assay_raw"])["at"] == "2026-11-19T00:17:00Z"
    assert b'"qty":18.7' in rows[17]["assay_raw"]
    assert found.counts.read == 3000 and found.counts.duplicate == 0

    assert found.by_spark(spark) == [], "nothing is new"
    run(things, "INSERT INTO things (id, name) VALUES (3000, 'new'), (3005, 'new'), (-2, 'negative')")
    (more,) = found.by_spark(spark)
    assert more.rows == 3
    assert len(found.ids()) == len(set(found.ids())) == 3003


def test_killed_between_chunks_nothing_is_doubled_and_ids_are_the_same(
    spark: Any, tmp_path: Path, shop: Postgres
) -> None:
    shop.psql(POSTGRES_THINGS, "shop")
    whole = directory(tmp_path, spark, settings(shop, tls="require", tls_ca=None), "whole")
    whole.by_spark(spark)
    cut = directory(tmp_path, spark, settings(shop, num_partitions=1, range_rows=1000), "cut")
    chunks, kind = cut.chunks()
    work = kind.plan(1 << 30)
    assert work is not None
    chunks.do(spark, work, "job/0")
    kind.close()  # the rest of this run never came
    assert cut.counts.read == 1000

    assert [done.rows for done in cut.by_spark(spark)] == [1000, 1000]
    assert cut.rows() == whole.rows()
    assert cut.counts == whole.counts


def test_a_column_of_instants_is_walked_with_its_ties(
    spark: Any, tmp_path: Path, things: Postgres | MariaDb
) -> None:
    """Not by key: rows are numbered by their place in a range; what comes later at the last instant is read."""
    read = settings(things, partition_column="at", range_rows=1500)
    found = directory(tmp_path, spark, read)
    found.by_spark(spark)
    assert len(set(found.ids())) == 3000
    assert [done.number for done in found.by_spark(spark)] == [0], (
        "the last instant is read again, and nothing is new"
    )
    run(things, "INSERT INTO things (id, at) SELECT 5000, max(at) FROM things")
    (done,) = found.by_spark(spark)
    assert (done.read, done.rows, done.outcomes[0].events) == (1, 1, 2), (
        "the known tie is an event, and no record"
    )
    assert sorted(document["id"] for document in documents(found)) == [*range(3000), 5000]

    run(things, "UPDATE things SET at = '2026-12-01 00:00:00' WHERE id = 7")
    found.by_spark(spark)
    assert sorted(document["id"] for document in documents(found))[7:9] == [7, 7], (
        "a changed row is a new record"
    )


def test_a_back_fill_by_event_time(spark: Any, tmp_path: Path, shop: Postgres) -> None:
    """By key, rows are judged and dropped; by event time, only that range is asked for. The next run takes the rest."""
    shop.psql(POSTGRES_THINGS, "shop")
    day = 86_400_000_000
    span = Span(20_777 * day, 20_778 * day)  # 2026-11-20
    for column in (None, "at"):
        found = directory(tmp_path, spark, settings(shop, partition_column=column), str(column))
        found.by_spark(spark, span)
        assert {document["at"][:10] for document in documents(found)} == {"2026-11-20"}
        assert len(found.ids()) == 1440
        found.by_spark(spark)
        assert sorted(document["id"] for document in documents(found)) == list(range(3000))
    with pytest.raises(AssayError) as refused:
        directory(tmp_path, spark, settings(shop, partition_column="day"), "day").by_spark(spark, span)
    assert refused.value.code == "E442"


POSTGRES_TYPES = """
CREATE TABLE things (id int PRIMARY KEY, b boolean, d numeric(10,2), big numeric, f double precision, s varchar(20), dt timestamp,
  ts timestamptz, da date, tm time, bl bytea, js jsonb, uu uuid, arr numeric[], iv interval, name char(3));
INSERT INTO things VALUES (1, true, 1.10, 123456789012345678901234567890123456789.12345678901234567890123, 0.1, 'é"\\', '2024-01-02 03:04:05.123456',
  '2024-01-02 03:04:05+02', '2024-01-02', '12:34:56', '\\x00ff', '{"a": [1, 2.50]}', '123e4567-e89b-12d3-a456-426655440000', '{1.10,2}',
  '1 day', 'ab'), (2, null, 'NaN', null, 'Infinity', null, null, null, null, null, null, null, null, null, null, null);
"""
MARIADB_TYPES = """
CREATE TABLE things (id int PRIMARY KEY, b boolean, d decimal(10,2), big decimal(40,5), u bigint unsigned, s varchar(20), dt datetime(6),
  ts timestamp(6) NULL, da date, tm time, bl blob, js json, uu uuid, y year, e enum('a', 'b'), name char(3));
INSERT INTO things VALUES (1, true, 1.10, 12345678901234567890123456789012345.12345, 18446744073709551615, 'é"\\\\', '2024-01-02 03:04:05.123456',
  '2024-01-02 01:04:05', '2024-01-02', '12:34:56', x'00ff', '{"a": [1, 2.50]}', '123e4567-e89b-12d3-a456-426655440000', 2024, 'b', 'ab');
"""


def test_types_of_postgresql_are_exact(spark: Any, tmp_path: Path, shop: Postgres) -> None:
    shop.psql(POSTGRES_TYPES, "shop")
    found = directory(tmp_path, spark, settings(shop))
    found.by_spark(spark)
    one, two = (
        row["assay_raw"].decode() for row in sorted(found.rows(), key=lambda row: row["assay_ordinal"])
    )
    assert one == (
        '{"id":1,"b":true,"d":1.10,"big":123456789012345678901234567890123456789.12345678901234567890123,"f":0.1,"s":"é\\"\\\\",'
        '"dt":"2024-01-02T03:04:05.123456Z","ts":"2024-01-02T01:04:05Z","da":"2024-01-02","tm":"12:34:56","bl":"AP8=",'
        '"js":{"a": [1, 2.50]},"uu":"123e4567-e89b-12d3-a456-426655440000","arr":[1.10,2],"iv":"1 day","name":"ab"}'
    )
    assert two.startswith('{"id":2,"b":null,"d":"NaN","big":null,"f":"Infinity","s":null,"dt":null')


def test_types_of_mariadb_are_exact(spark: Any, tmp_path: Path, mariadb: MariaDb) -> None:
    mariadb.sql(MARIADB_TYPES, mariadb.database("shop"))
    found = directory(tmp_path, spark, settings(mariadb))
    found.by_spark(spark)
    (row,) = found.rows()
    assert row["assay_raw"].decode() == (
        '{"id":1,"b":true,"d":1.10,"big":12345678901234567890123456789012345.12345,"u":18446744073709551615,"s":"é\\"\\\\",'
        '"dt":"2024-01-02T03:04:05.123456Z","ts":"2024-01-02T01:04:05Z","da":"2024-01-02","tm":"12:34:56","bl":"AP8=",'
        '"js":{"a": [1, 2.50]},"uu":"123e4567-e89b-12d3-a456-426655440000","y":2024,"e":"b","name":"ab"}'
    )


def test_a_query_is_read_and_another_one_under_its_name_is_refused(
    spark: Any, tmp_path: Path, shop: Postgres
) -> None:
    shop.psql(POSTGRES_THINGS, "shop")
    query = "SELECT id, upper(name) AS name FROM things WHERE id < 10;"
    found = directory(tmp_path, spark, settings(shop, table=None, query=query))
    found.by_spark(spark)
    assert {document["name"] for document in documents(found)} >= {"N1", "N2"}
    found.settings = settings(shop, table=None, query=query.replace("10", "20"))
    with pytest.raises(AssayError, match="another query") as refused:
        found.by_spark(spark)
    assert refused.value.code == "E441"


def test_what_a_database_refuses_is_said_once_and_without_the_password(
    spark: Any, tmp_path: Path, things: Postgres | MariaDb, postgres: Postgres, mariadb: MariaDb
) -> None:
    other = mariadb if isinstance(things, Postgres) else postgres
    url, where = things.jdbc("shop"), f"assay@127.0.0.1:{things.port}"
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"password": "hunter2hunter2"}, "E413", f"{where}/shop refused the login"),
        ({"url": url.replace("127.0.0.1", "[bad")}, "E412", "cannot be read"),
        ({"url": "postgresql://assay:hunter2hunter2@h/x"}, "E412", "cannot be read"),
        ({"url": url.replace("127.0.0.1", "nowhere.invalid"), "tls": None}, "E415", "nowhere.invalid"),
        ({"url": url.replace(str(things.port), "1")}, "E415", "assay@127.0.0.1:1/shop"),
        ({"url": url.replace("/shop", "/nodb")}, "E417", f":{things.port}/nodb"),
        ({"tls_ca": other.tls.authority}, "E416", where),
        ({"table": "thinsg"}, "E404", "did you mean `things`"),
        ({"key": ("idd",)}, "E406", "did you mean `id`"),
        ({"columns": ("nmae",)}, "E405", "did you mean `name`"),
        ({"partition_column": "name"}, "E419", "`name`"),
        ({"table": None, "query": "SELEC 1"}, "E418", "the query"),
        ({"driver": "org.example.NoDriver"}, "E414", "`org.example.NoDriver`"),
        ({"url": "jdbc:oracle:thin:@h:1521:x"}, "E414", "`jdbc:oracle:`"),
        ({"lookback": "1 day"}, "E410", "`id`"),
    ]  # fmt: skip
    for change, code, words in wrong:
        found = directory(tmp_path, spark, settings(things, **change))
        with pytest.raises(AssayError) as refused:
            found.by_spark(spark)
        said = str(refused.value)
        assert (refused.value.code, words in said) == (code, True), (change, said)
        assert things.password not in said and "hunter2hunter2" not in said, said
        assert "\n" not in said and len(said) < 500, said


def test_rows_without_key_are_counted_and_others_read(spark: Any, tmp_path: Path, shop: Postgres) -> None:
    shop.psql(
        "CREATE TABLE things (id bigint, name text); INSERT INTO things VALUES (1, 'a'), (null, 'b'), (2, 'c')",
        "shop",
    )
    found = directory(tmp_path, spark, settings(shop))
    found.by_spark(spark)
    assert len(found.ids()) == 2
    assert found.said("assay.source.unreadable") == [
        "1 rows of table `things` have no `id` and cannot be read by it"
    ]


def test_a_database_that_ends_in_the_midst_is_waited_for(spark: Any, tmp_path: Path, shop: Postgres) -> None:
    shop.psql(POSTGRES_THINGS, "shop")
    found = directory(tmp_path, spark, settings(shop, num_partitions=1, range_rows=1000))
    chunks, kind = found.chunks()
    work = kind.plan(1 << 30)
    assert work is not None and isinstance(kind, JdbcKind)
    shop.psql(
        "ALTER DATABASE shop ALLOW_CONNECTIONS false; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'"
    )
    with pytest.raises(AssayError) as away:
        chunks.do(spark, work, "job/0")
    assert away.value.code == "E415"
    kind.close()
    shop.psql("ALTER DATABASE shop ALLOW_CONNECTIONS true")
    found.by_spark(spark)
    assert len(set(found.ids())) == found.counts.read == 3000
