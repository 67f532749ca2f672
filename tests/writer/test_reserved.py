"""Reserved numbers at the writer: epochs fence them, sources are told, and an orderly end leaves no hole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from core.errors import Fenced
from store.log import CommitLog
from store.placing import staged_files
from tests.store.frames import Sender, rows
from tests.store.staged import a_commit, a_part
from tests.waiting import eventually
from tests.writer.desk import a_writer, line_of, stored_ids


async def test_a_staged_commit_settles_and_is_said(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        epoch = (await writer.attach("orders")).epoch
        number = await writer.reserve("orders", epoch)
        part = await asyncio.to_thread(a_part, tmp_path, number, [Sender(epoch=epoch).frame(rows(3))])
        assert writer.statistics()["reserved"] == [number]

        settled = await writer.commit_staged(number, "orders", epoch, a_commit(part))
        again = await writer.commit_staged(number, "orders", epoch, a_commit(part))

        assert settled == again
        assert (settled.commit, settled.epoch, settled.counts.read, settled.counts.gold) == (
            number,
            epoch,
            3,
            3,
        )
        assert line_of(writer).posts[0] == settled
        (said,) = line_of(writer).said("assay.batch.committed")
        assert (said.data["commit"], said.data["rows"]) == (number, 3)
        assert (await writer.attach("orders")).base.gold == 3
        assert (await writer.audited())["orders"].gold == 3
        assert writer.statistics()["reserved"] == []


async def test_windows_of_others_go_on_while_a_number_is_open(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        number = await writer.reserve("orders", (await writer.attach("orders")).epoch)
        sender = Sender("other", epoch=(await writer.attach("other")).epoch)

        await writer.take(sender.frame(rows(2)))
        await eventually(lambda: line_of(writer).settled("other") == 1)

        log = CommitLog(tmp_path)
        assert (log.after(0), log.last(), writer.statistics()["commit"]) == ([], number + 1, number + 1)
    assert [manifest.commit for manifest in log.after(0)] == [1, 2]  # the end gave the open number back


async def test_attaching_again_voids_and_fences(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        epoch = (await writer.attach("orders")).epoch
        number = await writer.reserve("orders", epoch)
        part = a_part(tmp_path, number, [Sender(epoch=epoch).frame(rows(3))])

        newer = (await writer.attach("orders")).epoch

        assert not list(staged_files(tmp_path / "warehouse"))
        with pytest.raises(Fenced, match="E901 epoch 1 of source `orders` is over"):
            await writer.commit_staged(number, "orders", epoch, a_commit(part))
        with pytest.raises(Fenced, match="E901"):
            await writer.reserve("orders", epoch)
        with pytest.raises(Fenced, match="E901"):
            await writer.reserve("stranger", 1)
        assert writer.statistics()["fenced_commits"] == 3
        number = await writer.reserve("orders", newer)
        part = a_part(tmp_path, number, [Sender(epoch=newer).frame(rows(3))])
        await writer.commit_staged(number, "orders", newer, a_commit(part))

    assert stored_ids(tmp_path) == ["orders.p0.0", "orders.p0.10", "orders.p0.20"]


async def test_a_commit_that_was_made_is_answered_in_another_epoch_and_another_life(tmp_path: Path):
    """Who lost the answer reads nothing twice, whether it asks again or attaches."""
    async with a_writer(tmp_path) as writer:
        epoch = (await writer.attach("orders")).epoch
        number = await writer.reserve("orders", epoch)
        staged = a_commit(a_part(tmp_path, number, [Sender(epoch=epoch).frame(rows(3))]))
        await writer.commit_staged(number, "orders", epoch, staged)
    async with a_writer(tmp_path) as writer:
        assert (await writer.commit_staged(number, "orders", epoch, staged)).counts.gold == 3
        attachment = await writer.attach("orders")
        assert attachment.resume.coverage["p0"].covers(0, 30)
        assert (await writer.commit_staged(number, "orders", epoch, staged)).epoch == epoch
        assert not line_of(writer).said("assay.batch.committed")


async def test_a_late_file_of_a_voided_number_is_swept_while_the_writer_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("actors.writer.HOME_EVERY_S", 0.05)
    async with a_writer(tmp_path) as writer:
        epoch = (await writer.attach("orders")).epoch
        number = await writer.reserve("orders", epoch)
        await writer.release(number)

        a_part(tmp_path, number, [Sender(epoch=epoch).frame(rows(3))])

        await eventually(lambda: not list(staged_files(tmp_path / "warehouse")))
