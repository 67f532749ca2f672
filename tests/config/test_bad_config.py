"""The bad configurations: each gives its code, its place, and words that say how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.exits import exit_code
from config.faults import ConfigErrors
from config.load import load
from tests.config.files import GOOD, write

SOURCE = '  flights: {type: file, path: "in/*.csv", dataset: flights}\n'
TAIL = GOOD.partition("datasets:")[2]


def with_source(changed: str) -> str:
    return GOOD.replace(SOURCE, changed)


def with_dataset(line: str) -> str:
    return GOOD + f"    {line}\n"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [" + ", ".join([f"*{last}"] * 10) + "]\n"
    for last, this in zip("abcd", "bcde", strict=True)
)

ROWS = [
    pytest.param("", ["1:1", "E107", "no sources"], id="02-empty"),
    pytest.param("# nothing\n", ["1:1", "E107", "no sources"], id="02-only-a-comment"),
    pytest.param("sources: {}\n", ["1:1", "E107", "no sources"], id="02-no-source"),
    pytest.param("sources:\n\tflights: {}\n", ["2:1", "E102", "tab", "spaces"], id="03-tab"),
    pytest.param(
        GOOD + "web: {port: 1}\nweb: {port: 2}\n", ["7:1", "E104", "`web`", "line 6", "line 7"], id="04-twice"
    ),
    pytest.param(
        GOOD.replace("sources", "soruces"), ["1:1", "E105", "did you mean `sources`"], id="05-unknown-key"
    ),
    pytest.param(
        with_source(SOURCE.replace("path:", "chunk_row: 5, path:")),
        ["2:25", "E105", "`sources.flights`", "did you mean `chunk_rows`"],
        id="05-unknown-key-of-a-source",
    ),
    pytest.param(
        with_dataset("thresholds: {glod: 1}"),
        ["6:18", "E105", "`datasets.flights.thresholds`", "did you mean `gold`"],
        id="05-unknown-key-deep",
    ),
    pytest.param(
        GOOD + "web: {host: !!python/object/apply:os.system [id]}\n",
        ["6:13", "E102", "tag", "!!python/object/apply:os.system", "refused"],
        id="06-tag",
    ),
    pytest.param(
        GOOD + 'storage: {warehouse: "hdfs://host/tables"}\n',
        ["6:22", "E121", "`hdfs://host/tables`", "local files only"],
        id="warehouse-elsewhere",
    ),
    pytest.param(
        with_source(
            "  f: {type: sql, url: 'sqlite:///x', table: t, key: [k], dataset: flights, lookback: 5 parsecs}\n"
        ),
        ["E142", "`sources.f.lookback`", "`parsecs`", "min (minutes)"],
        id="lookback-unit",
    ),
    pytest.param(BOMB + GOOD, ["E106", "10,000"], id="07-bomb"),
    pytest.param("a: &a [*a]\n" + GOOD, ["E102", "inside its own anchor"], id="07-alias-of-itself"),
    pytest.param("a: " + "[" * 100_000 + "\n", ["1:", "E102", "nested deeper"], id="07-deep"),
    pytest.param(
        GOOD + "hive: {metastore_uri: localhost:9083}\n",
        ["6:23", "E101", "thrift://host:9083"],
        id="metastore",
    ),
    pytest.param(
        GOOD + "web: {port: abc}\n", ["6:13", "E101", "`web.port` is `abc`", "whole number"], id="08-port-abc"
    ),
    pytest.param(
        GOOD + "web:\n  port: 70000\n", ["7:9", "E101", "70000", "at most 65535"], id="09-port-70000"
    ),
    pytest.param(
        with_source(SOURCE.replace("path:", "chunk_rows: -1, path:")),
        ["2:37", "E101", "`sources.flights.chunk_rows` is `-1`", "more than 0"],
        id="10-negative-chunk-rows",
    ),
    pytest.param(
        with_dataset("expected_every: 10 parsecs"),
        ["6:21", "E142", "parsecs", "min (minutes)", "day"],
        id="11-parsecs",
    ),
    pytest.param(
        GOOD + "bus: {backlog: 10 parsecs}\n", ["6:16", "E142", "GB", "GiB"], id="11-parsecs-of-size"
    ),
    pytest.param(
        with_source(SOURCE * 2), ["3:3", "E104", "source `flights`", "line 2", "line 3"], id="12-same-name"
    ),
    pytest.param(
        with_source(SOURCE.replace("flights:", "a/b:", 1)),
        ["2:3", "E140", "`a/b`", "small letter"],
        id="13-slash",
    ),
    pytest.param(
        with_source(SOURCE.replace("flights:", "x" * 300 + ":", 1)),
        ["2:3", "E140", "300 characters"],
        id="13-long",
    ),
    pytest.param(
        GOOD.replace("flights}", "x_by_y}").replace("  flights:\n", "  x_by_y:\n"),
        ["4:3", "E140", "_by_"],
        id="13-dataset-like-an-aggregate",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 5 parsecs, measures: {n: count}}]"),
        ["6:27", "E155", "`datasets.flights.aggregates[0].window`", "`parsecs`"],
        id="window-parsecs",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 2 months, measures: {n: count}}]"),
        ["6:27", "E155", "`months`"],
        id="window-months",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 5 weeks, measures: {n: count}}]"),
        ["6:27", "E155", "`5 weeks` is no window", "31 days"],
        id="window-too-long",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 1 day, measures: {n: median(id)}}]"),
        ["6:48", "E155", "`median(id)` is no measure", "count, sum, avg, min and max"],
        id="measure-unknown",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 1 day, measures: {day: count}}]"),
        ["E155", "`day` is a column that Assay makes itself"],
        id="measure-of-a-reserved-name",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 1 day, measures: {}}]"),
        ["6:44", "E101", "`datasets.flights.aggregates[0].measures`"],
        id="no-measure",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 1 day, keys: [id, id], measures: {n: count}}]"),
        ["E157", "the key `id` stands twice"],
        id="key-twice",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 1 day, measures: {n: count}, watermark: soon}]"),
        ["6:67", "E142", "`soon` is not a duration"],
        id="watermark-soon",
    ),
    pytest.param(
        with_dataset(
            "aggregates: [{window: 1 day, measures: {n: count}}, {window: 24 hours, measures: {n: count}}]"
        ),
        ["6:57", "E157", "two aggregates would be `gold_flights_by_day`", "`name`"],
        id="two-aggregates-of-one-name",
    ),
    pytest.param(
        with_dataset("aggregates: [{window: 1 day, measures: {n: count}}]"),
        ["6:5", "E158", "the dataset `flights` has aggregates but no `event_time`"],
        id="aggregates-without-event-time",
    ),
    pytest.param(
        GOOD + 'web: {host: "${DB_PASS}"}\n',
        ["6:13", "E109", "`DB_PASS` is not set", "DB_PASS:-default"],
        id="15-unset",
    ),
    pytest.param(GOOD + 'web: {host: "${EMPTY}"}\n', ["6:13", "E109", "`EMPTY` is empty"], id="15-empty"),
    pytest.param(GOOD + 'web: {host: "${OPEN"}\n', ["6:13", "E109", "closing brace"], id="15-not-closed"),
    pytest.param(
        GOOD + "web:\n  host: ${file:nowhere/key}\n",
        ["7:9", "E109", "`nowhere/key`", "No such file"],
        id="16-no-file",
    ),
    pytest.param(
        GOOD + "web:\n  host: ${file:.}\n",
        ["7:9", "E109", "cannot be read", "Is a directory"],
        id="16-directory",
    ),
    pytest.param(
        with_dataset("thresholds: {gold: 0.5, silver: 0.8}"),
        ["6:17", "E143", "gold 0.5, silver 0.8", "gold must be at least silver"],
        id="17-thresholds",
    ),
    pytest.param(
        with_dataset("weights: {completeness: 0, accuracy: 0, timeliness: 0, compliance: 0, consistency: 0}"),
        ["6:14", "E144", "sum to 0"],
        id="18-weights-sum-0",
    ),
    pytest.param(
        with_dataset("weights: {accuracy: .nan}"), ["6:25", "E144", "`nan`", "finite"], id="18-weights-nan"
    ),
    pytest.param(
        GOOD.replace("flights.json", "nope.json"),
        ["5:13", "E145", "`nope.json` does not exist"],
        id="19-schema-missing",
    ),
    pytest.param(
        GOOD.replace("type: file", "type: flie"),
        ["2:19", "E141", "`flie`", "`file`, ", "or `sql`", "did you mean `file`"],
        id="20-type",
    ),
    pytest.param(
        GOOD.replace("type: file, ", ""),
        ["2:3", "E108", "`type` is missing", "`file`, ", "or `sql`"],
        id="20-no-type",
    ),
    pytest.param(
        GOOD.encode() + b"# caf\xe9\n",
        ["6:6", "E103", "not UTF-8", "0xe9", f"byte offset {len(GOOD) + 5}", "Latin-1"],
        id="23-latin-1",
    ),
    pytest.param(GOOD.encode("utf-16"), ["1:1", "E103", "0xff", "byte offset 0", "UTF-16"], id="23-utf-16"),
    pytest.param(
        with_source(SOURCE.replace("dataset: flights", "dataset: fligths")),
        ["E145", "2:52", "`fligths` is not defined", "did you mean `flights`"],
        id="dataset-not-defined",
    ),
    pytest.param(
        GOOD.replace("    schema: flights.json\n", "    rules: []\n"),
        ["4:3", "E145", "no schema"],
        id="no-schema",
    ),
    pytest.param(GOOD + "logging: nope.yml\n", ["6:10", "E149", "nope.yml"], id="logging-document-missing"),
    pytest.param(with_dataset("clock: yesterday"), ["6:12", "E101", "`arrival`", "field:<name>"], id="clock"),
    pytest.param(with_dataset("critical: [nope]"), ["6:16", "E145", "`nope`"], id="critical-names-no-rule"),
    pytest.param(GOOD + "bus: {queue: tape}\n", ["6:14", "E101", "`memory` or `disk`"], id="closed-set"),
    pytest.param(
        with_source(SOURCE.replace("path:", "poll_interval_s: .inf, path:")),
        ["E101", "`sources.flights.poll_interval_s` is `inf`", "finite"],
        id="poll-for-ever",
    ),
    pytest.param(
        with_source(SOURCE.replace("path:", "poll_interval_s: .nan, path:")), ["E101", "`nan`"], id="poll-nan"
    ),
    pytest.param(
        with_source(SOURCE.replace("path:", "quote: ',', path:")),
        ["E101", "`sources.flights`", "`,` stands for `delimiter` and for another mark too"],
        id="quote-is-delimiter",
    ),
    pytest.param(
        with_source(SOURCE.replace('"in/*.csv"', '""')),
        ["E101", "`sources.flights.path`", "at least 1"],
        id="no-path",
    ),
    pytest.param("- a\n", ["1:1", "E102", "keys and values"], id="a-list"),
    pytest.param("sources: [a]\n", ["1:10", "E101", "keys and values"], id="sources-is-a-list"),
    pytest.param("sources: a\x00b\n", ["1:11", "E102", "U+0000"], id="control-character"),
    pytest.param("sources: {a: ${X}}\n", ["1:15", "E102", "quotes"], id="braces-in-braces"),
]


@pytest.mark.parametrize(("text", "said"), ROWS)
def test_a_fault_names_its_place_and_how_to_mend_it(text, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, text)

    with pytest.raises(ConfigErrors) as raised:
        load(path, env={"EMPTY": ""})

    lines = [line for line in str(raised.value).splitlines() if all(word in line for word in said)]
    assert lines, f"no line with all of {said} in:\n{raised.value}"
    assert lines[0].startswith("assay.yml:")
    assert exit_code(raised.value) == 2


def test_a_missing_file_names_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigErrors) as raised:
        load(Path("nope.yml"))

    assert "nope.yml: E100" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_all_faults_of_a_file_come_at_once_in_its_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(
        tmp_path,
        'web: {port: abc}\nsources:\n  A: {type: file}\n  b: {type: sqll}\n  c: {type: file, path: "${NO}", dataset: d}\n'
        "datasets:\n  d: {schema: nope.json, thresholds: {gold: 0}}\n",
    )

    with pytest.raises(ConfigErrors) as raised:
        load(path, env={})

    found = [(fault.line, fault.code) for fault in raised.value.faults]
    assert found == [
        (1, "E101"), (3, "E108"), (3, "E108"), (3, "E140"), (4, "E141"), (5, "E109"), (7, "E145"), (7, "E143"),
    ]  # fmt: skip


def test_a_value_that_was_inserted_is_never_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, GOOD + "web:\n  port: ${WEB_PORT}\n")

    with pytest.raises(ConfigErrors) as raised:
        load(path, env={"WEB_PORT": "canary-value"})

    assert "7:9: E101 `web.port` is not right (value not shown)" in str(raised.value)
    assert "canary-value" not in str(raised.value)


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o600, False)])
def test_a_plain_secret_in_a_readable_file_is_a_warning_only(mode, warned, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    source = (
        "  s: {type: sql, url: 'postgresql://u:canary-4711@h/d', table: t, key: [id], dataset: flights}\n"
    )
    path = write(tmp_path, with_source(source))
    path.chmod(mode)

    load(path, env={})

    assert ("assay.yml:2:23: E130" in caplog.text) is warned
    assert "canary-4711" not in caplog.text


def test_settings_without_effect_are_said(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)

    load(write(tmp_path, with_dataset("derive: {speed: distance / air_time}")), env={})

    assert "assay.yml:6:5: E121 `datasets.flights.derive` has no effect" in caplog.text
    caplog.clear()
    load(write(tmp_path, GOOD + "spark: {cache: [gold_flights]}\n"), env={})
    assert "E121 `spark.cache` has no effect" in caplog.text
