"""The books of a source that Spark reads: three counts that are made apart, and balance at every moment."""

from __future__ import annotations

from actors.reading import KEPT, Progress
from actors.spark_connector import StagedBooks
from core.batch import Resume
from core.ledger import Counts
from core.ports import Attachment, Settled


def books(read: int = 10) -> StagedBooks:
    return StagedBooks(Attachment(boot="a", epoch=2, resume=Resume(), base=Counts(read=read, gold=read)))


def said(read: int, **tiers: int) -> Settled:
    return Settled(
        boot="a", source="s", epoch=2, seq=0, commit=7, counts=Counts(read=read, **(tiers or {"gold": read}))
    )


def test_what_is_staged_is_in_flight_until_the_writer_has_it() -> None:
    mine = books()
    mine.staged((5,))
    assert (mine.ledger.counts.read, mine.in_flight, mine.ledger.imbalance) == (15, 5, 0)
    mine.staged((5, 7))
    mine.staged((5, 7))
    assert (mine.ledger.counts.read, mine.in_flight, mine.ledger.imbalance) == (22, 12, 0)
    assert mine.settle(said(15)) == [0]
    assert (mine.in_flight, mine.ledger.imbalance) == (7, 0)
    assert mine.settle(said(22)) == [1]
    assert (mine.in_flight, mine.ledger.imbalance) == (0, 0)


def test_the_writer_may_speak_first() -> None:
    """Its word is taken once the bridge has told what it is about."""
    mine = books()
    assert not mine.reaches(said(15))
    mine.staged((5,))
    assert mine.reaches(said(15))
    assert mine.settle(said(15)) == [0]


def test_a_row_that_is_gone_shows() -> None:
    mine = books()
    mine.staged((5,))
    mine.settle(said(15, gold=14))
    assert mine.ledger.imbalance == 1


def test_a_commit_without_records_settles_with_the_next_word() -> None:
    mine = books()
    mine.staged((0, 3))
    assert mine.settle(said(10)) == [0]
    assert mine.settle(said(13)) == [1]


def test_a_stream_of_weeks_is_told_by_its_newest_commits_alone() -> None:
    """However rarely the connector looks, every record is counted once."""
    mine, rare, progress = books(), books(), Progress()
    for number in range(3 * KEPT):
        progress = progress.with_commit(number)
        mine.staged(progress.read, progress.first, progress.before)
        if number % KEPT == 0:
            rare.staged(progress.read, progress.first, progress.before)
    rare.staged(progress.read, progress.first, progress.before)
    assert len(progress.read) == len(progress.arrived_us) == KEPT
    total = 10 + sum(range(3 * KEPT))
    for one in (mine, rare):
        assert (one.ledger.counts.read, one.in_flight) == (total, total - 10)
        assert one.settle(said(total))[-1] == 3 * KEPT - 1
        assert (one.in_flight, one.ledger.imbalance) == (0, 0)
