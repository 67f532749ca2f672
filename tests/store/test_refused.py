"""Refused files stay countable: in the folded log, its checkpoints, the status, the tables and the metrics."""

from __future__ import annotations

from cli.table import closing_table, status_table
from core.ledger import Counts
from core.status import SourceFacts, StatusBoard, source_object, stored_document
from store.log import CommitLog
from store.manifest import Manifest, Quarantine
from store.summary import stored_refused
from web.metrics import _of_sources

CSVS = SourceFacts("csvs", "file", "csvs")
TWO = {"csvs": {"files": 2, "bytes": 30}}


def test_the_log_and_its_checkpoint_count_refused_files(tmp_path):
    log = CommitLog(tmp_path)
    for number, size in ((1, 10), (2, 20)):
        note = Quarantine(source="csvs", what=f"{number}.csv", reason="E207", bytes_unread=size)
        log.append(Manifest(commit=number, at_us=0, quarantined=[note]))

    assert stored_refused(tmp_path) == TWO
    log.checkpoint(log.state())
    log.path(1).unlink()
    assert stored_refused(tmp_path) == TWO


def test_a_running_system_shows_what_the_writer_says():
    board = StatusBoard(mode="event", sources=[CSVS], stored={"old": Counts()}, started_at=0.0)
    board.take({"station": "writer", "kind": "writer", "state": "running", "refused": TWO})
    source = source_object(CSVS, Counts(), state="running")
    board.take({"station": "connector:csvs", "kind": "connector", "state": "running", "source": source})

    csvs, old = board.document()["sources"]

    assert csvs["refused"] == {"files": 2, "bytes": 30}
    assert old["refused"] == {"files": 0, "bytes": 0}


def test_people_and_prometheus_are_told(tmp_path):
    document = stored_document({"csvs": Counts()}, [CSVS], TWO)

    line = "csvs: 2 files were refused; see quarantine/csvs"
    assert line in closing_table(document, {}, {}, colour=False).splitlines()
    assert line in status_table(document, tmp_path).splitlines()
    assert 'assay_source_refused_files{source="csvs"} 2' in "".join(_of_sources(document["sources"], {}))
