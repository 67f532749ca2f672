"""One session, one metastore: tables, partitions, and what queries see."""

from __future__ import annotations

import json
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
from tests.bridge.commits import LINEAGE, SCHEMA, VALUES, Commits, a_config, a_plan, days

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
    assert properties["assay.sources"] == "orders" and json.loads(properties["assay.lineage"]) == LINEAGE
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


def test_a_tier_in_the_fallback_is_registered_once_it_came_home_and_the_others_flow(hive):
    tables, spy, commits, name = hive
    fallback = commits.root / "fallback"
    manifest = commits.add(days(2), tiers=("gold", "bronze"), fallback=fallback)

    assert tables.register([manifest]) == 1
    assert one(spy, f"SELECT count(*) FROM {name}.bronze_orders") == 2
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 0 and tables.away

    for file in manifest.files:
        if file.place == "fallback":
            (commits.warehouse / file.path).parent.mkdir(parents=True)
            (fallback / file.staged).replace(commits.warehouse / file.path)
    for _ in range(2):
        tables.come_home()

    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 2 and not tables.away
    assert len(spy.session.rows(f"SHOW PARTITIONS {name}.gold_orders_files")) == 2


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
    tables.register([Commits(commits.root, wider, {**VALUES, "note": "x"}).add(days(2))])

    rows = spy.session.rows(f"SELECT note, count(*) AS n FROM {name}.gold_orders GROUP BY note ORDER BY note")
    assert [(row[0], row[1]) for row in rows] == [(None, 1), ("x", 2)]
    assert spy.count("ALTER TABLE") == 2 * 2 + 2 + 1, (
        "columns and properties of two, properties of two, partitions"
    )
    assert (
        dict(spy.session.rows(f"SHOW TBLPROPERTIES {name}.bronze_orders_files"))["assay.schema"] == "orders:2"
    )


def test_a_changed_type_begins_a_new_version_behind_the_same_view(hive):
    """Old files keep their table and their types; the view shows both in the new one, and a struct gains a field."""
    tables, spy, commits, name = hive
    tables.register([commits.add(days(1))])
    buyer = {"type": "object", "properties": {"name": {"type": "string"}, "vip": {"type": "boolean"}}}
    later = {**SCHEMA["properties"], "qty": {"type": "string"}, "price": {"type": "integer"}, "buyer": buyer}
    plan = a_plan({"properties": later}, version=2, older=[SCHEMA])
    query = f"SELECT qty, price, buyer, total, tags FROM {name}.gold_orders ORDER BY assay_batch"
    before = one(spy, f"SELECT count(*) FROM {name}.gold_orders")

    assert tables.plan(plan) == []
    assert before == one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 1
    new = {"qty": "many", "price": 7, "buyer": {"name": "Bo", "vip": True}}
    tables.register([Commits(commits.root, plan, {**VALUES, **new}).add(days(2), rows=2)])

    rows = [row.asDict(recursive=True) for row in spy.session.rows(query)]
    same = {"total": VALUES["total"], "tags": ["a", "b"]}
    assert rows[0] == {"qty": str(2**60), "price": 0, "buyer": {"name": "Zoë", "vip": None}, **same}
    assert rows[1:] == [{**new, **same}] * 4
    assert one(spy, f"SELECT qty FROM {name}.gold_orders_files") == 2**60, "as it was written"
    assert one(spy, f"SELECT qty FROM {name}.gold_orders_files_v2 LIMIT 1") == "many"
    assert {row[0] for row in spy.session.rows(f"SHOW PARTITIONS {name}.gold_orders_files_v2")} == {
        "year=2013/month=1/day=1", "year=2013/month=1/day=2",
    }  # fmt: skip
    spy.said.clear()
    again = Tables(spy, name, str(commits.warehouse), commits.root / "fallback")
    assert again.prepare([plan]) == []
    assert not [text for text in spy.said if text.startswith(("ALTER", "CREATE EXTERNAL", "CREATE VIEW"))]


def test_a_field_that_is_gone_can_still_be_queried(hive):
    tables, spy, commits, name = hive
    tables.register([commits.add(days(1))])
    fewer = {"properties": {key: value for key, value in SCHEMA["properties"].items() if key != "qty"}}
    plan = a_plan({"properties": {**fewer["properties"], "qty": SCHEMA["properties"]["qty"]}}, version=2)

    assert tables.plan(plan) == []
    tables.register([Commits(commits.root, a_plan(fewer, version=2)).add(days(1), rows=2)])

    rows = spy.session.rows(f"SELECT qty, price FROM {name}.gold_orders ORDER BY assay_batch")
    assert [tuple(row) for row in rows] == [(2**60, 0.1), (None, 0.1), (None, 0.1)]


def test_a_table_that_somebody_changed_is_said_with_what_mends_it(hive):
    tables, spy, commits, name = hive
    tables.register([commits.add(days(1))])

    faults = tables.plan(
        a_plan({"properties": {**SCHEMA["properties"], "qty": {"type": "string"}}}, version=2)
    )

    assert [fault.code for fault in faults] == ["E727", "E727"]
    assert "`qty`" in str(faults[0]) and "bigint" in str(faults[0]) and "drop the table" in str(faults[0])
    assert one(spy, f"SELECT qty FROM {name}.gold_orders") == 2**60
    for tier in ("gold", "silver"):
        spy.session.sql(f"DROP TABLE {name}.{tier}_orders_files")
    assert tables.prepare([a_plan()]) == []
    assert one(spy, f"SELECT qty FROM {name}.gold_orders") == 2**60


def test_statistics_come_from_the_manifests(hive):
    tables, spy, commits, name = hive
    manifests = [commits.add(days(2), rows=3), commits.add(days(1), tiers=("gold", "rejected"), rows=2)]
    tables.register(manifests)
    spy.said.clear()

    tables.describe()
    tables.describe()

    assert spy.count("ALTER TABLE") == 2, "one for each table that has grown"
    size = sum(file.bytes for manifest in manifests for file in manifest.files if file.tier == "gold")

    def statistics():
        rows = spy.session.rows(f"DESCRIBE FORMATTED {name}.gold_orders_files")
        return next(row[1] for row in rows if row[0] == "Statistics")

    assert statistics() == f"{size} bytes, 8 rows"
    again = Tables(spy, name, str(commits.warehouse), commits.root / "fallback")
    again.prepare([a_plan()])
    again.count_stored(commits.log.state().files)
    last = commits.add(days(1))
    again.register([last])
    again.describe()
    assert statistics() == f"{size + last.files[0].bytes} bytes, 9 rows"


def test_foreign_files_in_a_partition_are_named_if_queries_would_read_them(hive):
    tables, spy, commits, name = hive
    manifest = commits.add(days(2))
    tables.register([manifest])
    folder = (commits.warehouse / manifest.files[0].path).parent
    (folder / "_notes.txt").write_text("hidden")
    (folder / ".notes.txt.crc").write_text("hidden")
    assert tables.strangers(tables.days) == []
    assert one(spy, f"SELECT count(*) FROM {name}.gold_orders") == 2

    (folder / "notes.txt").write_text("visible")
    (folder / "broken.parquet").write_text("PAR1, not quite")

    found = tables.strangers(tables.days_of([manifest]))
    assert [(fault.code, fault.facts["path"]) for fault in found] == [
        ("E728", str(folder / "broken.parquet")), ("E728", str(folder / "notes.txt")),
    ]  # fmt: skip
    assert f"`{name}.gold_orders_files`" in str(found[0]) and "begin its name with `_`" in str(found[0])
    with pytest.raises(StoreUnavailable) as refused:
        spy.session.rows(f"SELECT qty FROM {name}.gold_orders")
    assert refused.value.code == "E730" and str(folder) in str(refused.value)
    assert len(spy.session.rows(f"SELECT qty FROM {name}.gold_orders WHERE day = 2")) == 1, (
        "other days are fine"
    )


def test_a_database_of_another_warehouse_is_refused(hive, tmp_path):
    _, spy, _, name = hive

    with pytest.raises(StoreUnavailable) as caught:
        Tables(spy, name, str(tmp_path / "warehouse"), tmp_path / "fallback").prepare([a_plan()])

    assert caught.value.code == "E729" and str(tmp_path) in str(caught.value)


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


def test_an_aggregate_is_a_table_like_others_and_its_view_follows_the_definition(hive):
    from actors.aggregates import aggregate_plan
    from store.aggregating import Aggregates
    from store.definition import define
    from store.layout import Layout
    from store.windows import day_of_number

    tables, spy, commits, name = hive
    commits.add(days(2), rows=3)

    def kept(measures, keys=("paid",)):
        definition = define("orders", name="day", window_s=86_400, keys=keys, measures=measures, watermark_s=None,
                            columns=commits.plan.columns)  # fmt: skip
        follower = Aggregates(Layout.of(commits.root), [definition])
        follower.open()
        assert tables.plan(aggregate_plan(definition, "orders:1", "0123456789ab")) == []
        for table, found in follower.step().days.items():
            tables.add_days(table, {day_of_number(day) for day in found})
        return follower

    def found():
        return [
            tuple(row)
            for row in spy.session.rows(f"SELECT * FROM {name}.gold_orders_by_day ORDER BY window_start")
        ]

    first = datetime(2013, 1, 1, tzinfo=UTC)
    follower = kept({"n": "count", "sold": "sum(total)", "mean": "avg(price)", "most": "max(qty)"})
    rows = found()
    assert [row[2:7] for row in rows] == [(True, 3, Decimal("3703703670.36"), 0.1, 2**60)] * 2
    assert [row[-3:] for row in rows] == [(2013, 1, 1), (2013, 1, 2)]
    assert [row[0].astimezone(UTC) for row in rows] == [first, first.replace(day=2)]
    described = {row[0]: row[2] for row in spy.session.rows(f"DESCRIBE {name}.gold_orders_by_day_files")}
    assert described["most"] == "max(qty) of the Gold records in the window: How many; it's a count"

    commits.add(days(3), rows=1)
    for table, touched in follower.step().days.items():
        tables.add_days(table, {day_of_number(day) for day in touched})
    assert [row[3] for row in found()] == [4, 4, 1]

    kept({"n": "count", "cheapest": "min(price)"}, keys=())
    rows = spy.session.rows(f"SELECT n, cheapest FROM {name}.gold_orders_by_day ORDER BY window_start")
    assert [tuple(row) for row in rows] == [(4, 0.1), (4, 0.1), (1, 0.1)]

    kept({"n": "max(price)"}, keys=())  # of another type than before
    assert [row[0] for row in spy.session.rows(f"SELECT n FROM {name}.gold_orders_by_day")] == [0.1] * 3
    assert tables.strangers(tables.days) == []
