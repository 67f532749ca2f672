"""One session, one metastore: tables, partitions, and what queries see."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.ddl import tables_of
from bridge.hive import Tables
from bridge.java import Java, find_java
from bridge.session import Session
from core.errors import StoreUnavailable
from core.tiers import TIER_WORDS
from tests.bridge.commits import SCHEMA, VALUES, Commits, a_config, a_plan, days

pytestmark = pytest.mark.slow


class Spy:
    """The session, with every statement written down; ``before`` runs ahead of each."""

    def __init__(self, session):
        self.session = session
        self.said: list[str] = []
        self.before = lambda text: None

    def sql(self, text):
        self.said.append(text)
        self.before(text)
        return self.session.sql(text)

    def rows(self, text):
        self.said.append(text)
        return self.session.rows(text)

    def count(self, start):
        return sum(text.startswith(start) for text in self.said)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("it's here") / "data"


@pytest.fixture(scope="module")
def session(root):
    java = find_java()
    assert isinstance(java, Java), java
    session = Session(root, a_config(root), java)
    session.start()
    yield session
    session.stop()
    assert not session.alive


@pytest.fixture
def hive(session, root, request):
    """A database of the test's own."""
    name = request.node.name.removeprefix("test_")[:40].rstrip("_").split("[")[0]
    folder = root.parent / name
    spy = Spy(session)
    tables = Tables(spy, name, str(folder / "warehouse"), folder / "fallback")
    tables.prepare([a_plan()])
    spy.said.clear()
    yield tables, spy, Commits(folder, a_plan()), name
    session.sql(f"DROP DATABASE {name} CASCADE")


def one(spy, text):
    return spy.session.rows(text)[0][0]


def test_tables_and_views_of_four_tiers_are_made(hive):
    _, spy, _, name = hive

    found = {row["tableName"] for row in spy.session.rows(f"SHOW TABLES IN {name}")}

    views = {f"{tier}_orders" for tier in TIER_WORDS}
    assert found == views | {f"{view}_files" for view in views} | {"assay_visible"}


def test_preparing_again_changes_nothing(hive):
    tables, spy, _, _ = hive

    assert tables.prepare([a_plan()]) == []

    assert not [text for text in spy.said if text.startswith(("ALTER", "CREATE EXTERNAL", "CREATE VIEW"))]


def test_types_comments_and_properties_are_as_planned(hive):
    _, spy, commits, name = hive
    table = tables_of(a_plan(), name, str(commits.warehouse))[0]

    rows = spy.session.rows(f"DESCRIBE {name}.gold_orders_files")
    described = {row[0]: (row[1], row[2]) for row in rows}
    properties = dict(spy.session.rows(f"SHOW TBLPROPERTIES {name}.gold_orders_files"))
    formatted = {
        row[0]: row[1] for row in spy.session.rows(f"DESCRIBE FORMATTED {name}.gold_orders_files") if row[1]
    }

    for column, kind, comment in table.columns:
        assert described[column][0] == kind.replace("`", "").lower()
        assert (described[column][1] or "") == comment
    assert [row[0] for row in rows[len(table.columns) : len(table.columns) + 3]] == ["year", "month", "day"]
    assert properties["discover.partitions"] == "false" and properties["external.table.purge"] == "false"
    assert properties["assay.schema"] == "orders:1" and properties["assay.rules"] == "0123456789ab"
    assert (
        formatted["Type"] == "EXTERNAL" and formatted["Location"] == f"file:{commits.warehouse}/gold_orders"
    )
    assert formatted["Comment"] == "Orders, it's a test"
    shown = {row[0]: row[2] for row in spy.session.rows(f"DESCRIBE {name}.gold_orders")}
    assert shown["qty"] == "How many; it's a count"


def test_every_type_reads_back_exactly(hive):
    tables, spy, commits, name = hive

    tables.register([commits.add(days(1))])

    row = spy.session.rows(f"SELECT *, cast(at AS STRING) AS at_text FROM {name}.gold_orders")[0].asDict(
        recursive=True
    )
    for field in ("qty", "price", "total", "paid", "day_", "buyer", "tags", "more"):
        assert row[field] == VALUES[field], field
    assert row["total"] == Decimal("1234567890.12")
    assert row["at_text"] == "2013-01-01 05:17:00.123456"
    assert row["at"].astimezone(UTC) == datetime(2013, 1, 1, 5, 17, 0, 123456, tzinfo=UTC)
    assert row["assay_reasons"][0]["expected"] == "≥ 0" and bytes(row["assay_raw"]) == b"{}"
    assert (row["year"], row["month"], row["day"]) == (2013, 1, 1)


def test_waiting_commits_share_one_alter_a_table(hive):
    tables, spy, commits, name = hive
    waiting = [commits.add(days(3), tiers=TIER_WORDS), commits.add(days(5), tiers=("gold",))]

    assert tables.register(waiting) == 2

    assert spy.count("ALTER TABLE") == 4 and spy.count("ALTER VIEW") == 1
    assert len(spy.session.rows(f"SHOW PARTITIONS {name}.gold_orders_files")) == 5
    assert {tier: one(spy, f"SELECT count(*) FROM {name}.{tier}_orders") for tier in TIER_WORDS} == {
        "gold": 8, "silver": 3, "bronze": 3, "rejected": 3,
    }  # fmt: skip
    spy.said.clear()
    tables.register([commits.add(days(5))])
    assert spy.count("ALTER TABLE") == 0, "known partitions are not added again"
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 13


def test_registering_again_doubles_nothing(hive, root):
    tables, spy, commits, name = hive
    waiting = [commits.add(days(3), rows=2), commits.add(days(2))]
    tables.register(waiting)
    again = Tables(spy, name, str(commits.warehouse), root / "fallback")
    again.prepare([a_plan()])

    assert again.visible == 2
    assert again.register(waiting) == 2

    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 8


def test_rows_of_a_commit_that_is_not_registered_are_hidden(hive):
    tables, spy, commits, name = hive
    tables.register([commits.add(days(2), rows=3)])

    commits.add(days(2), rows=5)

    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders_files") == 16, "the files are there"
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 6


def test_a_commit_with_a_file_still_in_staging_waits(hive):
    tables, spy, commits, name = hive
    first, second = commits.add(days(2)), commits.add(days(4), move=False)
    third = commits.add(days(1))
    for file in second.files[:-1]:
        commits.move(file)

    assert tables.register([first, second, third]) == 1
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 2

    commits.move(second.files[-1])
    assert tables.register([second, third]) == 3
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 7


def test_another_session_never_sees_a_part_of_a_commit(hive):
    """A reader looks after every rename and around every statement: all of a commit, in all views, or nothing."""
    tables, spy, commits, name = hive
    reader = spy.session.spark.newSession()
    seen: list[int] = []

    def look(_=None):
        query = (
            f"SELECT (SELECT count(*) FROM {name}.gold_orders), (SELECT count(*) FROM {name}.silver_orders)"
        )
        gold, silver = reader.sql(query).collect()[0]
        seen.append(gold if gold == silver else -1)

    spy.before = look
    for on in (days(2), days(4)[1:]):
        manifest = commits.add(on, tiers=("gold", "silver"), rows=6 // len(on), move=False)
        for file in manifest.files:
            commits.move(file)
            look()
        tables.register([manifest])
        look()

    assert seen == sorted(seen) and set(seen) == {0, 6, 12}, seen
    assert len(seen) >= 4 + 6 + 2 + 2 * 3


def test_a_query_under_way_does_not_see_a_part_of_what_is_committed_meanwhile(hive):
    """It has listed its files, then a commit is moved and registered, then it reads: the state it began with."""
    tables, spy, commits, name = hive
    tables.register([commits.add(days(2), rows=3)])
    reader = spy.session.spark.newSession()
    planned = reader.sql(f"SELECT count(*) FROM {name}.gold_orders")
    manifest = commits.add(days(3)[1:], rows=5, move=False)
    commits.move(manifest.files[0])  # day 2, which is registered: the listing holds this half of the commit
    planned._jdf.queryExecution().executedPlan()

    commits.move(manifest.files[1])
    tables.register([manifest])

    assert planned.collect()[0][0] == 6
    assert reader.sql(f"SELECT count(*) FROM {name}.gold_orders").collect()[0][0] == 16


def test_new_fields_become_columns_and_old_files_read_as_null(hive):
    tables, spy, commits, name = hive
    tables.register([commits.add(days(1))])
    wider = a_plan(
        {"properties": {**SCHEMA["properties"], "note": {"type": "string", "description": "free"}}}, version=2
    )

    spy.said.clear()
    assert tables.plan(wider) == []
    VALUES["note"] = "x"
    try:
        tables.register([Commits(commits.root, wider).add(days(2))])
    finally:
        del VALUES["note"]

    rows = spy.session.rows(f"SELECT note, count(*) AS n FROM {name}.gold_orders GROUP BY note ORDER BY note")
    assert [(row[0], row[1]) for row in rows] == [(None, 1), ("x", 2)]
    assert spy.count("ALTER TABLE") == 2 * 2 + 2 + 1, (
        "columns and properties of two, properties of two, partitions"
    )
    assert (
        dict(spy.session.rows(f"SHOW TBLPROPERTIES {name}.bronze_orders_files"))["assay.schema"] == "orders:2"
    )


def test_a_changed_type_is_refused_in_words_and_the_table_stays(hive):
    tables, spy, commits, name = hive
    tables.register([commits.add(days(1))])

    faults = tables.plan(
        a_plan({"properties": {**SCHEMA["properties"], "qty": {"type": "string"}}}, version=2)
    )

    assert [fault.code for fault in faults] == ["E727", "E727"]
    assert "`qty`" in str(faults[0]) and "bigint" in str(faults[0])
    assert one(spy, f"SELECT qty FROM {name}.gold_orders") == 2**60


def test_a_table_of_somebody_else_is_left_alone(hive):
    tables, spy, commits, name = hive
    spy.session.sql(f"DROP TABLE {name}.gold_orders_files")
    spy.session.sql(
        f"CREATE EXTERNAL TABLE {name}.gold_orders_files (a INT) STORED AS PARQUET LOCATION '{tables_dir(commits)}'"
    )

    faults = tables.prepare([a_plan()])
    tables.register([commits.add(days(1), tiers=("gold", "silver"))])

    assert [fault.code for fault in faults] == ["E726"]
    assert one(spy, f"SELECT count(*) FROM {name}.silver_orders") == 1
    spy.session.sql(f"DROP TABLE {name}.gold_orders_files")


def tables_dir(commits) -> str:
    return str(commits.root / "theirs").replace("'", "\\'")


def test_files_committed_before_hive_was_there_are_found(hive, session):
    tables, spy, commits, name = hive
    manifest = commits.add(days(3))
    spy.session.sql(f"DROP TABLE {name}.gold_orders_files")

    tables.prepare([a_plan()])
    tables.register([manifest])

    assert len(spy.session.rows(f"SHOW PARTITIONS {name}.gold_orders_files")) == 3
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 3


def test_a_bad_statement_is_an_error_with_one_sentence(session):
    with pytest.raises(StoreUnavailable) as caught:
        session.sql("SELECT nothing FROM nowhere")

    assert caught.value.code == "E725" and "\n" not in str(caught.value)


def test_the_session_writes_nothing_outside_the_data_directory(session, root):
    assert (root / "metastore" / "metastore_db").is_dir()
    assert (root / "state" / "spark" / "spark.properties").stat().st_mode & 0o077 == 0
    for name in ("derby.log", "metastore_db", "spark-warehouse", "artifacts"):
        assert not Path(name).exists()
