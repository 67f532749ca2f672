"""Tables, progress and the summary file."""

from __future__ import annotations

import io
import json

import pytest

from cli.progress import Progress
from cli.summary import Summary
from cli.table import closing_table
from core.errors import ConfigError
from core.ledger import Counts
from core.status import SourceFacts, ledger_of, source_object


def status(read: int, state: str = "running", lag: int | None = None) -> dict:
    counts = Counts(read=read, gold=read - 3, rejected=3) if read else Counts()
    facts = SourceFacts("flights", "file", "flights")
    source = source_object(facts, counts, state=state, lag={"records": lag, "seconds": None})
    return {"state": state, "sources": [source], "ledger": ledger_of([source]), "stations": [], "stores": []}


def test_the_closing_table_has_a_line_a_source_and_one_for_all():
    text = closing_table(
        status(336_776), {"flights": (4.2, 80_184.7)}, {"flights": "assay.gold_flights"}, colour=False
    )

    heads, _, flights, total = text.splitlines()
    assert heads.split() == [
        "source",
        "read",
        "gold",
        "silver",
        "bronze",
        "rejected",
        "seconds",
        "records/s",
        "where",
        "it",
        "landed",
    ]
    assert flights.split() == [
        "flights",
        "336,776",
        "336,773",
        "0",
        "0",
        "3",
        "4.2",
        "80,185",
        "assay.gold_flights",
    ]
    assert total.endswith("the books balance")


def test_an_imbalance_is_shouted():
    document = status(10)
    document["ledger"]["imbalance"] = 1

    assert "IMBALANCE +1" in closing_table(document, {}, {}, colour=False)


def test_colour_does_not_change_the_words():
    assert "\x1b[" in closing_table(status(10), {}, {}, colour=True)
    assert "the books balance" in closing_table(status(10), {}, {}, colour=True)


def test_plain_progress_is_a_line_when_something_changed_and_time_passed():
    out, now = io.StringIO(), iter([0.0, 1.0, 6.0, 7.0])
    progress = Progress(out, every_s=5, clock=lambda: next(now))

    for document in (status(10, lag=30), status(20), status(30), status(40, "drained")):
        progress.update(document)
    progress.close()

    lines = out.getvalue().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["read 10", "read 30", "read 40"]
    assert "30 to go" in lines[0]
    assert progress.rates() == {"flights": (7.0, pytest.approx(30 / 7))}


def test_bars_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    out.isatty = lambda: True
    progress = Progress(out)

    progress.update(status(10, lag=30))
    progress.update(status(40, "drained", lag=0))
    progress.close()

    assert "flights" in out.getvalue()
    assert "40" in out.getvalue()


def test_the_last_line_of_a_summary_is_the_status(tmp_path):
    summary = Summary(tmp_path / "deep" / "run.jsonl", every_s=5)

    summary.update(status(10), now=0)
    summary.update(status(20), now=1)
    summary.close(status(30))

    lines = [json.loads(line) for line in (tmp_path / "deep" / "run.jsonl").read_text().splitlines()]
    assert [line["ledger"]["read"] for line in lines] == [10, 30]


def test_a_summary_that_cannot_be_written_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match="E120"):
        Summary(tmp_path)
