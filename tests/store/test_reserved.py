"""Numbers given out before their commits: holes, void numbers, and what a new start finds."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

import store.commit
from core.errors import AssayError, StoreUnavailable
from core.frame import QuarantineNote
from core.ledger import Counts
from core.ranges import Ranges
from core.tiers import Tier
from store.check import check, repair
from store.commit import Committer
from store.index import Index
from store.layout import Layout
from store.placing import staged_files
from store.reserving import stored
from tests.store.frames import DAY_US, NOON, Row, Sender, rows
from tests.store.staged import a_commit, a_part
from tests.store.stores import a_committer, stored_rows, tables


def ids(root: Path) -> list[str]:
    return [row["assay_id"] for row in stored_rows(root)]


def leftovers(root: Path) -> list[Path]:
    return [path for place in ("warehouse", "fallback") for path in staged_files(root / place)]


def window(committer: Committer, sender: Sender, start: int) -> None:
    assert committer.commit([sender.frame(rows(2, start=start))]).rows == 2


def test_staged_rows_are_the_same_as_those_of_a_window(tmp_path: Path):
    """All tiers, two days: the same columns, values, files and counts, but for the commit number."""
    mixed = [Row(10 * at, tier=Tier(at % 4), event_time=NOON - (at // 4 % 2) * DAY_US) for at in range(16)]
    one, two = tmp_path / "window", tmp_path / "staged"
    a_committer(one).commit([Sender().frame(mixed, marks={"p0": {"at": 160}})])
    committer = a_committer(two)

    number = committer.reserve("orders", 1)
    done = committer.commit_staged(
        number, "orders", 1,
        a_commit(a_part(two, number, [Sender().frame(mixed[:7])]),
                 a_part(two, number, [Sender().frame(mixed[7:], marks={"p0": {"at": 160}})])),
    )  # fmt: skip

    assert stored_rows(two) == stored_rows(one)
    assert done.rows == 16
    assert not leftovers(two)
    ours, theirs = committer.state, a_committer(one).state
    assert ours.counts == theirs.counts == {"orders": Counts(read=16, gold=4, silver=4, bronze=4, rejected=4)}
    assert (ours.coverage, ours.marks) == (theirs.coverage, theirs.marks)


def test_the_manifest_says_which_work_it_was(tmp_path: Path):
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 4)
    note = QuarantineNote("bad.csv", "E207", records=3)
    part = a_part(
        tmp_path, number, [Sender().frame(rows(1), quarantined=[note], attachments={"known": b"x"})]
    )

    committer.commit_staged(number, "orders", 4, a_commit(part, mode="batch", job="q/7"))

    manifest = committer.log.read(number)
    (origin,) = manifest.origin
    assert (origin.mode, origin.job, origin.epoch) == ("batch", "q/7", 4)
    assert manifest.counts["orders"] == Counts(read=4, gold=1, quarantined=3)
    assert [(one.source, one.what) for one in manifest.quarantined] == [("orders", "bad.csv")]
    assert committer.log.resume("orders", committer.state).attachments == {"known": b"x"}


def test_others_commit_while_a_number_is_open_and_readers_stop_before_it(tmp_path: Path):
    committer, other = a_committer(tmp_path), Sender("other")
    window(committer, other, 0)
    number = committer.reserve("orders", 1)
    part = a_part(tmp_path, number, [Sender().frame(rows(3))])

    window(committer, other, 100)
    window(committer, other, 200)

    log, index = committer.log, Index(committer.layout)
    assert number == 2
    assert log.numbers() == [1, 3, 4]
    assert ([one.commit for one in log.after(0)], log.whole(), log.last()) == ([1], 1, 4)
    assert (index.catch_up(), committer.state.commit, committer.state.newest) == (1, 1, 4)
    assert log.state().counts == {"other": Counts(read=6, gold=6)}

    committer.commit_staged(number, "orders", 1, a_commit(part))

    assert ([one.commit for one in log.after(0)], log.whole()) == ([1, 2, 3, 4], 4)
    assert (index.catch_up(), committer.state.commit, committer.state.newest) == (4, 4, 4)
    assert vars(log.state()).keys() == vars(committer.state).keys()
    assert log.state().coverage == committer.state.coverage
    assert len(stored_rows(tmp_path)) == 9
    assert {row["assay_batch"] for row in stored_rows(tmp_path) if row["assay_source"] == "orders"} == {2}
    assert not list(stored(log))


def test_a_released_number_is_void_and_its_files_are_swept(tmp_path: Path):
    committer, other = a_committer(tmp_path), Sender("other")
    number = committer.reserve("orders", 1)
    staged = a_commit(a_part(tmp_path, number, [Sender().frame(rows(3))]))
    window(committer, other, 0)

    committer.release(number)
    committer.release(number)

    manifest = committer.log.read(number)
    assert (manifest.files, manifest.covers, [one.mode for one in manifest.origin]) == ([], {}, ["void"])
    assert not leftovers(tmp_path)
    assert committer.log.whole() == 2
    with pytest.raises(AssayError, match="E909"):
        committer.commit_staged(number, "orders", 1, staged)
    a_part(tmp_path, number, [Sender().frame(rows(3))])  # a task that was not told
    assert len(leftovers(tmp_path)) == 1
    assert committer.places.sweep_late() == 1
    assert ids(tmp_path) == ["other.p0.0", "other.p0.10"]
    assert committer.reserve("orders", 1) == 3


def test_files_of_a_repeated_task_are_swept_and_the_others_stay(tmp_path: Path):
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 1)
    a_part(tmp_path, number, [Sender().frame(rows(3))])
    part = a_part(tmp_path, number, [Sender().frame(rows(3))])

    committer.commit_staged(number, "orders", 1, a_commit(part))

    assert not leftovers(tmp_path)
    assert len(stored_rows(tmp_path)) == 3


def test_a_waiting_file_of_a_staged_commit_is_not_swept(tmp_path: Path):
    """Its table refuses: the task stages it in the fallback, and it comes home once."""
    (tmp_path / "warehouse").mkdir()
    (tmp_path / "warehouse" / "gold_orders").write_text("no directory")
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 1)
    part = a_part(tmp_path, number, [Sender().frame(rows(3))])
    committer.commit_staged(number, "orders", 1, a_commit(part))
    assert len(committer.places.waiting) == len(leftovers(tmp_path)) == 1

    assert committer.places.sweep_late() == 0
    (tmp_path / "warehouse" / "gold_orders").unlink()
    assert committer.move_home() == 1

    assert len(stored_rows(tmp_path)) == 3
    assert not leftovers(tmp_path)


def test_the_same_word_again_changes_nothing(tmp_path: Path):
    """Also after a start anew: who lost the answer may ask again."""
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 1)
    staged = a_commit(a_part(tmp_path, number, [Sender().frame(rows(3))]))
    first = committer.commit_staged(number, "orders", 1, staged)

    for again in (committer, a_committer(tmp_path)):
        done = again.commit_staged(number, "orders", 1, staged)
        assert (done.again, done.manifest, done.rows) == (True, first.manifest, 3)
        assert again.state.counts["orders"] == Counts(read=3, gold=3)

    assert len(stored_rows(tmp_path)) == 3
    other = a_commit(*staged.parts, job="query/1")
    with pytest.raises(AssayError, match="E909"):
        committer.commit_staged(number, "orders", 1, other)


def test_what_overlaps_is_refused_and_the_number_stays(tmp_path: Path):
    committer = a_committer(tmp_path)
    committer.commit([Sender().frame(rows(3))])
    number = committer.reserve("orders", 1)
    part = a_part(tmp_path, number, [Sender().frame(rows(3, start=20))])
    good = a_part(tmp_path, number, [Sender().frame(rows(3, start=30))])

    for parts in ([part], [good, good], [good, msgspec.structs.replace(part, covers=[("p0", 60, 90)])]):
        with pytest.raises(AssayError, match="E908 staged rows"):
            committer.commit_staged(number, "orders", 1, a_commit(*parts))
    committer.commit_staged(number, "orders", 1, a_commit(good))

    assert len(ids(tmp_path)) == len(set(ids(tmp_path))) == 6


def test_a_task_trims_by_the_coverage_it_is_given(tmp_path: Path):
    committer = a_committer(tmp_path)
    committer.commit([Sender().frame(rows(3))])
    number = committer.reserve("orders", 1)

    part = a_part(
        tmp_path,
        number,
        [Sender().frame(rows(6), covers=[("p0", 0, 65)])],
        committer.state.coverage["orders"],
    )
    committer.commit_staged(number, "orders", 1, a_commit(part))

    assert (part.read, part.duplicates, part.covers) == (6, 3, [("p0", 30, 65)])
    assert committer.state.counts["orders"] == Counts(read=9, gold=6, duplicate=3)
    assert committer.state.covered("orders", "p0") == Ranges([(0, 65)])


def test_a_staged_file_that_is_gone_is_refused(tmp_path: Path):
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 1)
    part = a_part(tmp_path, number, [Sender().frame(rows(3))])
    (path,) = leftovers(tmp_path)
    path.unlink()

    with pytest.raises(AssayError, match="E912 staged file"):
        committer.commit_staged(number, "orders", 1, a_commit(part))

    assert committer.log.last() == 0


def test_a_source_s_numbers_are_committed_in_their_order(tmp_path: Path):
    """The newest mark wins, whether the log is followed or folded anew."""
    committer = a_committer(tmp_path)
    first, second = committer.reserve("orders", 1), committer.reserve("orders", 1)
    parts = [
        a_part(tmp_path, number, [Sender().frame(rows(1, start=number * 10), marks={"p0": {"at": number}})])
        for number in (first, second)
    ]

    with pytest.raises(AssayError, match="E909"):
        committer.commit_staged(second, "orders", 1, a_commit(parts[1]))
    committer.commit_staged(first, "orders", 1, a_commit(parts[0]))
    committer.commit_staged(second, "orders", 1, a_commit(parts[1]))

    assert committer.state.marks == committer.log.state().marks == {"orders": {"p0": {"at": second}}}


def test_a_start_voids_what_was_left_open(tmp_path: Path):
    dead = a_committer(tmp_path)
    number = dead.reserve("orders", 3)
    staged = a_commit(a_part(tmp_path, number, [Sender().frame(rows(3))]))
    window(dead, Sender("other"), 0)
    dead.reserve("more", 1)

    committer = a_committer(tmp_path)

    assert [one.mode for n in (1, 3) for one in committer.log.read(n).origin] == ["void", "void"]
    assert (committer.log.whole(), committer.state.commit, committer.state.ahead) == (3, 3, set())
    assert committer.state.epochs["orders"] == 3
    assert not leftovers(tmp_path)
    assert not list(stored(committer.log))
    with pytest.raises(AssayError, match="E909"):
        committer.commit_staged(number, "orders", 3, staged)


def test_a_lost_manifest_is_no_hole(tmp_path: Path):
    """Only what is written down as reserved may be missing."""
    committer = a_committer(tmp_path)
    for start in (0, 100, 200):
        window(committer, Sender(), start)
    committer.log.path(2).unlink()

    with pytest.raises(StoreUnavailable, match="E702"):
        a_committer(tmp_path)


def test_a_window_that_is_refused_leaves_a_hole_with_a_name(tmp_path: Path):
    """Its number was taken; a larger one is committed; then the writer dies."""
    committer = a_committer(tmp_path)
    for place in ("warehouse", "fallback"):
        (tmp_path / place).write_text("no directory")
    frames = [Sender("other").frame(rows(2))]
    with pytest.raises(StoreUnavailable, match="E706"):
        committer.commit(frames)
    for place in ("warehouse", "fallback"):
        (tmp_path / place).unlink()

    number = committer.reserve("orders", 1)
    committer.commit_staged(
        number, "orders", 1, a_commit(a_part(tmp_path, number, [Sender().frame(rows(1))]))
    )

    assert (number, committer.log.numbers()) == (2, [2])
    again = a_committer(tmp_path)
    assert (again.log.whole(), again.log.read(1).files) == (2, [])
    assert again.commit(frames).rows == 2
    assert len(stored_rows(tmp_path)) == 3


def test_a_refused_window_keeps_its_number_when_others_are_given_out(tmp_path: Path):
    committer = a_committer(tmp_path)
    (tmp_path / "warehouse").write_text("no directory")
    (tmp_path / "fallback").write_text("no directory")
    frames = [Sender("other").frame(rows(2))]
    with pytest.raises(StoreUnavailable):
        committer.commit(frames)
    number = committer.reserve("orders", 1)
    (tmp_path / "warehouse").unlink()

    done = committer.commit(frames)
    committer.release(number)

    assert done.manifest is not None
    assert (done.manifest.commit, number, committer.log.whole()) == (1, 2, 2)
    assert not list(stored(committer.log))


def test_a_checkpoint_is_not_folded_over_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store.commit, "CHECKPOINT_EVERY", 3)
    committer, other = a_committer(tmp_path), Sender("other")
    number = committer.reserve("orders", 1)
    for start in (0, 100, 200):
        window(committer, other, start)

    def checkpoints() -> list[str]:
        return sorted(path.name for path in committer.log.directory.glob("checkpoint-*.json"))

    assert checkpoints() == []
    committer.release(number)
    assert checkpoints() == ["checkpoint-000000000004.json"]
    window(committer, other, 300)
    window(committer, other, 400)
    assert checkpoints() == ["checkpoint-000000000004.json", "checkpoint-000000000006.json"]


def test_a_checkpoint_holds_no_commit_beyond_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The first hole is filled, a second one is still open: what lies behind it waits for the next checkpoint."""
    monkeypatch.setattr(store.commit, "CHECKPOINT_EVERY", 2)
    committer, other = a_committer(tmp_path), Sender("other")
    first = committer.reserve("orders", 1)
    window(committer, other, 0)
    second = committer.reserve("orders", 1)
    window(committer, other, 100)

    committer.release(first)

    assert (committer.state.commit, committer.state.ahead) == (2, {4})
    assert committer.log.state().counts == {"other": Counts(read=4, gold=4)}
    committer.release(second)
    assert committer.log.state().counts == {"other": Counts(read=4, gold=4)}


def test_fsck_names_an_open_number_and_repair_voids_it(tmp_path: Path):
    committer = a_committer(tmp_path)
    committer.reserve("orders", 1)
    window(committer, Sender("other"), 0)
    layout = Layout.of(tmp_path)
    Index(layout).catch_up()

    assert [one.kind for one in check(layout, running=True)] == []
    assert [one.kind for one in check(layout)] == ["reserved"]
    assert "commit 1 was reserved and never made: it is void now" in repair(layout)
    assert check(layout) == []


def test_staged_files_of_an_open_number_are_no_finding_while_a_run_is_at_work(tmp_path: Path):
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 1)
    a_part(tmp_path, number, [Sender().frame(rows(1))])
    window(committer, Sender("other"), 0)

    assert check(Layout.of(tmp_path), running=True) == []


def test_a_damaged_marker_is_still_a_reservation(tmp_path: Path):
    committer = a_committer(tmp_path)
    committer.log.reserved_path(committer.reserve("orders", 1)).write_bytes(b"")
    window(committer, Sender("other"), 0)

    assert a_committer(tmp_path).log.whole() == 2


def test_a_number_is_not_given_out_when_it_cannot_be_written_down(tmp_path: Path):
    committer = a_committer(tmp_path)
    (tmp_path / "commits").write_text("no directory")

    with pytest.raises(StoreUnavailable, match="E703"):
        committer.reserve("orders", 1)

    os.unlink(tmp_path / "commits")
    assert committer.reserve("orders", 1) == 1


def test_a_manifest_that_was_written_though_its_commit_failed_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The log could not be synced after the link; then the number is given back: its rows count once."""
    committer = a_committer(tmp_path)
    number = committer.reserve("orders", 1)
    staged = a_commit(a_part(tmp_path, number, [Sender().frame(rows(3))]))

    def refuse(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("store.log.fsync_directory", refuse)
        with pytest.raises(StoreUnavailable, match="E703"):
            committer.commit_staged(number, "orders", 1, staged)

    committer.release(number)

    assert committer.state.counts["orders"] == Counts(read=3, gold=3)
    assert len(stored_rows(tmp_path)) == 3
    assert tables(tmp_path)
