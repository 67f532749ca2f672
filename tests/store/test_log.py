"""The commit log: order, damage, checkpoints, versions."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.errors import StoreUnavailable
from core.ledger import Counts
from store.log import CommitLog, State
from store.manifest import Manifest, Origin
from store.summary import stored_status


def a_manifest(number: int, **facts) -> Manifest:
    """Covers ten ordinals more than the one before."""
    start = 10 * (number - 1)
    return Manifest(
        commit=number, at_us=1, origin=[Origin(source="orders", epoch=3, first=number, last=number, mode="event")],
        covers={"orders": {"p0": [(start, start + 10)]}}, counts={"orders": Counts(read=1, gold=1)},
        marks={"orders": {"p0": {"at": number}}}, **facts,
    )  # fmt: skip


def a_log(root: Path, commits: int) -> tuple[CommitLog, State]:
    log, state = CommitLog(root), State()
    for number in range(1, commits + 1):
        state.add(log.append(a_manifest(number)))
    return log, state


def same(one: State, two: State) -> bool:
    return vars(one) == vars(two)


def test_the_state_is_all_manifests_folded(tmp_path: Path):
    log, state = a_log(tmp_path, 5)

    assert same(log.state(), state)
    assert list(state.coverage["orders"]["p0"]) == [(0, 50)]
    assert state.epochs == {"orders": 3}
    assert stored_status(tmp_path) == {"orders": Counts(read=5, gold=5)}


def test_after_gives_the_tail_in_order(tmp_path: Path):
    log, _ = a_log(tmp_path, 5)

    assert [manifest.commit for manifest in log.after(2)] == [3, 4, 5]
    assert [manifest.commit for manifest in log.after(0, limit=2)] == [1, 2]
    assert (log.after(5), log.last()) == ([], 5)


def test_an_empty_directory_has_an_empty_log(tmp_path: Path):
    log = CommitLog(tmp_path)

    assert (log.last(), log.after(0), log.state().commit) == (0, [], 0)
    assert not log.directory.exists()


def test_a_checkpoint_stands_for_the_manifests_before_it(tmp_path: Path):
    log, state = a_log(tmp_path, 3)
    log.checkpoint(state)
    log.append(a_manifest(4))
    for number in (1, 2, 3):
        log.path(number).unlink()

    assert log.state().counts["orders"].gold == 4


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path):
    log, state = a_log(tmp_path, 2)
    log.checkpoint(state)
    state.add(log.append(a_manifest(3)))
    log.checkpoint(state)
    newest = log.directory / "checkpoint-000000000003.json"
    newest.write_bytes(newest.read_bytes().replace(b'"gold":3', b'"gold":4'))

    assert same(log.state(), state)
    (log.directory / "checkpoint-000000000002.json").write_bytes(b"")
    assert same(log.state(), state)


def test_only_the_two_newest_checkpoints_are_kept(tmp_path: Path):
    log, state = a_log(tmp_path, 0)
    for number in range(1, 5):
        state.add(log.append(a_manifest(number)))
        log.checkpoint(state)

    names = sorted(path.name for path in log.directory.glob("checkpoint-*"))
    assert names == ["checkpoint-000000000003.json", "checkpoint-000000000004.json"]


def test_a_damaged_manifest_is_an_error_with_its_place(tmp_path: Path):
    log, _ = a_log(tmp_path, 2)
    log.path(2).write_bytes(log.path(2).read_bytes()[:40])

    with pytest.raises(StoreUnavailable, match=r"E702 `.*000000000002\.json` is damaged"):
        log.state()


def test_a_newer_format_is_refused(tmp_path: Path):
    log, _ = a_log(tmp_path, 1)
    document = msgspec.json.decode(log.path(1).read_bytes())
    log.path(1).write_bytes(msgspec.json.encode({**document, "v": 2}))

    with pytest.raises(StoreUnavailable, match=r"E701 .* has format version 2"):
        log.read(1)


def test_a_number_that_somebody_else_wrote_is_refused(tmp_path: Path):
    log, _ = a_log(tmp_path, 1)
    other = Manifest(commit=1, at_us=1, covers={"zombie": {"p": [(0, 1)]}})

    with pytest.raises(StoreUnavailable, match="E704"):
        log.append(other)

    assert log.read(1).covers == {"orders": {"p0": [(0, 10)]}}
