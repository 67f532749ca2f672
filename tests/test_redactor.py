"""Secrets planted in every kind of field come out nowhere: stdout, stderr, logs, signals, views."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import timeit

import pytest

from config import logs
from config.load import load
from config.view import view
from core import redact
from core.errors import SourceUnavailable
from core.signals import encode, signal
from tests.cli.program import MAIN, assay
from tests.config.files import write

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nTUlJQ2FuYXJ5LWNhbmFyeS1jYW5hcnk\nbW9yZS1jYW5hcnktbGluZQ\n-----END RSA PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Each test starts with nothing remembered."""
    monkeypatch.setattr(redact, "_known", frozenset())
    monkeypatch.setattr(redact, "_known_pattern", None)


SHAPES = [
    pytest.param("postgresql://app:canary1@db:5432/x", "postgresql://app:***@db:5432/x", id="url"),
    pytest.param("postgresql://app:can@ary1@db/x", "postgresql://app:***@db/x", id="url-with-at"),
    pytest.param("https://canary-token@host/x", "https://***@host/x", id="url-user-only"),
    pytest.param("redis://:canary1@h", "redis://:***@h", id="url-without-user"),
    pytest.param("https://h/x?api_key=canary1&q=5", "https://h/x?api_key=***&q=5", id="query"),
    pytest.param("Authorization: Bearer canary1canary", "Authorization: ***", id="authorization"),
    pytest.param("{'Authorization': 'Basic Y2FuYXJ5MTpjYW5hcnkx'}", "{'Authorization': '***'}", id="header-dict"),
    pytest.param("sent Bearer canary1canary to h", "sent Bearer *** to h", id="bearer"),
    pytest.param("password=canary1 user=app", "password=*** user=app", id="dsn"),
    pytest.param("password='can ary1', x", "password='***', x", id="quoted"),
    pytest.param('{"client_secret": "can\\"ary1", "n": 1}', '{"client_secret": "***", "n": 1}', id="json"),
    pytest.param("aws AKIACANARY1CANARY1AB ok", "aws *** ok", id="aws-id"),
    pytest.param("aws_secret_access_key = canary1/abc+", "aws_secret_access_key = ***", id="aws-secret"),
    pytest.param(f"got {JWT}.", "got ***.", id="jwt"),
    pytest.param(f"key:\n{PEM}\nend", "key:\n***\nend", id="pem"),
    pytest.param("-----BEGIN PRIVATE KEY-----\ncanary1", "***", id="pem-cut"),
    pytest.param("ghp_canary1canary1canary1", "***", id="github"),
    pytest.param("Set-Cookie: session=canary1; Path=/", "Set-Cookie: ***", id="cookie"),
]  # fmt: skip

PLAIN = [
    "`web.auth` must be `token` or `none`",
    "`password` is missing in `sources.s`",
    "http://127.0.0.1:8080/x@y",
    "sqlite:///data/chinook.db",
    "flights.csv:12:3: monkey=5 keyboard=7",
    "read 336,776 of 336,776 at 80,000/s",
    "basic auth is off",
]


def test_a_text_seen_before_is_masked_once_its_secret_is_known():
    assert redact.redact("hello canary-value") == "hello canary-value"

    redact.remember("canary-value")

    assert redact.redact("hello canary-value") == "hello ***"


def test_a_status_is_masked_in_about_a_millisecond():
    counts = dict.fromkeys(
        ("read", "gold", "silver", "bronze", "rejected", "quarantined", "duplicate"), 123456
    )
    source = {"type": "file", "dataset": "flights", "state": "running", **counts, "last_error": None}
    status = {"sources": [{"name": f"source{n}", **source} for n in range(60)]}
    redact.redact_value(status)
    took = min(timeit.repeat(lambda: redact.redact_value(status), number=1, repeat=20))

    assert len(json.dumps(status)) > 10_000
    assert took < 0.003, f"{took * 1000:.1f} ms"


@pytest.mark.parametrize(("text", "shown"), SHAPES)
def test_a_secret_is_known_by_its_shape(text, shown):
    assert redact.redact(text) == shown
    assert redact.redact(shown) == shown, "once is enough"


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text):
    assert redact.redact(text) == text


@pytest.mark.parametrize(
    "spelled",
    ["p@ss/canary é", "p%40ss%2Fcanary%20%C3%A9", "cEBzcy9jYW5hcnkgw6k=", '{"x": "p@ss/canary \\u00e9"}'],
)
def test_a_remembered_secret_is_known_in_every_spelling(spelled):
    redact.remember("p@ss/canary é")

    assert "canary" not in redact.redact(spelled)
    assert "***" in redact.redact(spelled)


def test_short_values_are_not_remembered():
    redact.remember("", "1", "abc")

    assert redact.redact("1 abc") == "1 abc"


def test_values_are_masked_by_key_and_in_every_text():
    value = {
        "api_key": "canary1", "headers": {"X-Auth-Token": ["canary1"]}, "tokens": 4, "auth": "token", "password": None,
        "nested": [{"url": "https://u:canary1@h"}], "raw": b"password=canary1",
    }  # fmt: skip

    assert redact.redact_value(value) == {
        "api_key": "***", "headers": {"X-Auth-Token": "***"}, "tokens": 4, "auth": "token", "password": None,
        "nested": [{"url": "https://u:***@h"}], "raw": "password=***",
    }  # fmt: skip


def planted(folder) -> dict[str, str]:
    """Writes a configuration with a secret in each kind of field; returns the environment it needs."""
    (folder / "key.pem").write_text(PEM + "\n")
    text = (
        "sources:\n"
        "  a: {type: sql, url: 'postgresql://app:canary-a@h/d', table: t, key: [id], dataset: flights}\n"
        "  b: {type: sql, url: 'sqlite:///in/b.db?password=canary-b', table: t, key: [id], dataset: flights}\n"
        "  c: {type: sql, url: '${DB_URL}', table: t, key: [id], dataset: flights}\n"
        "  d: {type: file, path: 'https://canary-d@h/x.csv', dataset: flights}\n"
        "datasets:\n  flights: {schema: flights.json}\n"
        "spark:\n  conf:\n"
        "    spark.api.token: ${API_TOKEN}\n"
        "    spark.header: 'Authorization: Bearer canary-e-canary'\n"
        "    spark.key: ${file:key.pem}\n"
        "    spark.my.password: canary-f\n"
        "    spark.jwt: " + JWT + "\n"
        "    spark.aws: AKIACANARYCANARYCANA\n"
    )
    write(folder, text)
    (folder / "assay.yml").chmod(0o644)
    return {"DB_URL": "postgresql://app:canary-c@h/d", "API_TOKEN": "canary-token"}


def leaks(text: str) -> list[str]:
    return [
        line
        for line in text.splitlines()
        if "canary" in line.lower() or "TUlJQ2Fu" in line or JWT[:20] in line
    ]


def test_views_logs_and_signals_of_a_planted_configuration_are_clean(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    env = planted(tmp_path)

    config = load(tmp_path / "assay.yml", env=env)

    shown = json.dumps(view(config))
    assert leaks(shown) == []
    assert "postgresql://app:***@h/d" in shown
    assert leaks(repr(config.sources["a"])) == []
    assert leaks(caplog.text) == []
    said = signal(
        "assay.source.failed", "c", "cannot reach canary-c", source="/sources/c", api_key="canary-x", env=env
    )
    assert leaks(encode(redact.signal(said)).decode()) == []


FAILING = """
import logging, sys
from pathlib import Path
from cli.errors import guarded
from cli.settings import settings
from argparse import Namespace
from core.errors import SourceUnavailable

def command():
    config = settings(Namespace(config=Path("assay.yml"), data_dir=None, log_format=sys.argv[1]))
    secrets = [config.sources["c"].url.get_secret_value(), config.spark.conf["spark.key"], "canary-token"]
    log = logging.getLogger("assay.test")
    log.warning("cannot reach %s", secrets[0], extra={"event": "assay.source.failed", "source": secrets[2]})
    try:
        raise OSError(secrets[1])
    except OSError:
        log.exception("key refused")
    if sys.argv[2] == "known":
        raise SourceUnavailable(f"`{secrets[0]}` refuses", "E401", {"token": secrets[2], "key": secrets[1]})
    raise RuntimeError(secrets)

sys.exit(guarded(command))
"""


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("how", "code"), [("known", 4), ("unexpected", 1)])
def test_a_failing_run_leaks_nothing(form, how, code, tmp_path):
    env = {**planted(tmp_path), "PYTHONPATH": str(MAIN.parent), "PATH": "/usr/bin:/bin"}

    ended = subprocess.run(
        [sys.executable, "-c", FAILING, form, how], cwd=tmp_path, env=env, text=True, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip

    files = list((tmp_path / "logs").iterdir())
    assert ended.returncode == code, ended.stderr
    assert tmp_path / "logs" / "assay.log" in files
    assert "cannot reach postgresql://app:***@h/d" in ended.stderr
    assert leaks("\n".join([ended.stdout, ended.stderr, *(file.read_text() for file in files)])) == []


@pytest.mark.parametrize(
    "words",
    [
        "validate --config assay.yml",
        "status --config assay.yml",
        "status --json --config assay.yml",
        "--config assay.yml --source canary-nope-password=canary-z --validate-config",
    ],
)
def test_commands_on_a_planted_configuration_leak_nothing(words, tmp_path):
    env = planted(tmp_path)

    ended = assay(tmp_path, *words.split(), env=env)

    logged = (
        [file.read_text() for file in (tmp_path / "logs").iterdir()] if (tmp_path / "logs").exists() else []
    )
    output = "\n".join([ended.stdout, ended.stderr, *logged]).replace("canary-nope-password", "")
    assert "Traceback" not in output
    assert leaks(output) == []


def test_a_broken_planted_configuration_leaks_nothing(tmp_path):
    env = planted(tmp_path)
    path = tmp_path / "assay.yml"
    path.write_text(
        path.read_text() + "web: {port: '${API_TOKEN}', hots: x}\nwriter: {window_s: 'password=canary-q'}\n"
    )

    ended = assay(tmp_path, "validate", "--config", "assay.yml", env=env)

    assert ended.returncode == 2
    assert "`web.port` is not right (value not shown)" in ended.stderr
    assert leaks(ended.stderr) == []


def test_an_errors_facts_are_masked_where_it_is_shown():
    error = SourceUnavailable(
        "`https://u:canary1@h` refuses", "E301", {"authorization": "Bearer canary1canary"}
    )

    assert leaks(redact.redact(str(error))) == []


def test_a_json_log_line_has_the_fields_people_filter_by(tmp_path, monkeypatch):
    record = logging.LogRecord("assay.x", logging.INFO, "", 0, "stored %d", (5,), None)
    record.event, record.source, record.batch_id = "assay.batch.committed", "flights", 7
    logs.Redact().filter(record)

    line = json.loads(logs.JsonLines().format(record))

    assert line["ts"].endswith("Z")
    assert {key: line[key] for key in line if key != "ts"} == {
        "level": "info", "logger": "assay.x", "event": "assay.batch.committed", "source": "flights", "batch_id": 7,
        "message": "stored 5",
    }  # fmt: skip
