"""The status document: its shape, its books, and what makes a run degraded."""

from __future__ import annotations

from core.ledger import Counts
from core.status import SourceFacts, StatusBoard, source_object, stored_document

FLIGHTS = SourceFacts("flights", "file", "flights")


def a_board(stored: Counts | None = None) -> StatusBoard:
    return StatusBoard(
        mode="event", sources=[FLIGHTS], stored={"flights": stored or Counts()}, started_at=0.0
    )


def said(board: StatusBoard, counts: Counts, in_flight: int = 0, state: str = "running") -> None:
    source = source_object(FLIGHTS, counts, state=state, in_flight=in_flight)
    board.take({"station": "connector:flights", "kind": "connector", "state": state, "source": source})


def supervised(board: StatusBoard, **states: str) -> None:
    stations = [
        {"name": n.replace("__", ":"), "state": s, "pid": 1, "restarts": 0, "last_error": None}
        for n, s in states.items()
    ]
    board.take({"station": "supervisor", "kind": "supervisor", "stations": stations})


def test_a_missing_record_shows_as_imbalance():
    board = a_board()
    said(board, Counts(read=10, gold=6, rejected=1), in_flight=2)

    assert board.document()["ledger"]["imbalance"] == 1


def test_the_run_counts_from_where_the_data_directory_stood():
    board = a_board(Counts(read=100, gold=100))
    said(board, Counts(read=130, gold=120), in_flight=10)

    assert board.document()["run"] == {
        "read": 30, "gold": 20, "silver": 0, "bronze": 0, "rejected": 0, "quarantined": 0, "duplicate": 0,
        "in_flight": 10, "imbalance": 0,
    }  # fmt: skip


def test_a_station_that_is_started_again_degrades_the_run_and_its_source():
    board = a_board()
    said(board, Counts(read=1), in_flight=1)
    supervised(board, connector__flights="restarting")

    document = board.document()

    assert document["state"] == "degraded"
    assert document["sources"][0]["state"] == "restarting"
    assert document["ledger"]["imbalance"] == 0


def test_the_jvm_is_a_station_of_its_own():
    board = a_board()
    supervised(board, bridge="running")
    board.take(
        {
            "station": "bridge",
            "kind": "bridge",
            "state": "up",
            "waiting": 3,
            "restarts": 2,
            "jvm": {"pid": 7, "state": "up"},
        }
    )

    document = board.document()

    assert {"name": "bridge.jvm", "pid": 7, "state": "up", "restarts": 2} in document["stations"]
    assert document["stores"] == [{"name": "hive", "state": "up", "waiting": 3}]


def test_a_store_that_hangs_makes_the_run_degraded_and_says_why():
    board = a_board()
    error = {"code": "E723", "message": "E723 it takes connections but does not answer"}
    board.take({"station": "bridge", "kind": "bridge", "state": "hanging", "waiting": 3, "last_error": error})

    document = board.document()

    assert document["stores"] == [{"name": "hive", "state": "hanging", "waiting": 3, "last_error": error}]
    assert document["state"] == "degraded"


def test_stored_counts_make_a_document_of_the_same_shape():
    stored = stored_document({"flights": Counts(read=2, gold=2), "old": Counts(read=1, bronze=1)}, [FLIGHTS])

    assert set(stored) == set(a_board().document())
    assert [source["name"] for source in stored["sources"]] == ["flights", "old"]
    assert stored["ledger"]["read"] == 3
    assert stored["ledger"]["imbalance"] == 0


def test_a_writer_that_is_refused_takes_its_store_down_and_degrades_the_run():
    board = a_board()
    board.take({"station": "writer", "kind": "writer", "state": "refused", "waiting": 7})
    refused = board.document()
    board.take({"station": "writer", "kind": "writer", "state": "degraded", "waiting": 7})
    fallback = board.document()
    board.take({"station": "writer", "kind": "writer", "state": "running", "waiting": 0})

    assert refused["stores"] == [{"name": "files", "state": "down", "waiting": 7}]
    assert fallback["stores"] == [{"name": "files", "state": "degraded", "waiting": 7}]
    assert (refused["state"], fallback["state"], board.document()["state"]) == (
        "degraded",
        "degraded",
        "running",
    )


def test_before_its_first_epoch_a_connector_takes_nothing_away():
    """Its process is up and has not asked the writer yet: the counts of the data directory stand."""
    board = a_board(Counts(read=100, gold=100))
    source = source_object(FLIGHTS, Counts(), state="starting")
    board.take(
        {
            "station": "connector:flights",
            "kind": "connector",
            "state": "starting",
            "epoch": 0,
            "source": source,
        }
    )

    document = board.document()

    assert document["sources"][0]["gold"] == document["ledger"]["read"] == 100
    assert document["sources"][0]["state"] == "starting"
    assert document["run"]["read"] == 0
