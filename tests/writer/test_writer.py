"""The writer: windows, settlements, epochs, back-pressure, and what others do to its files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from config.models import Storage
from core.errors import AssayError, Locked
from core.frame import QuarantineNote
from core.tiers import Tier
from store.lock import WriterLock
from tests.store.frames import Row, Sender, rows
from tests.waiting import eventually
from tests.writer.desk import a_writer, line_of, stored_ids


async def attached(writer, name: str = "orders") -> Sender:
    attachment = await writer.attach(name)
    return Sender(name, epoch=attachment.epoch)


async def test_frames_are_settled_once_they_are_in_the_tables(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)

        assert await writer.take(sender.frame(rows(5)))
        await eventually(lambda: line_of(writer).settled("orders") == 1)

        assert stored_ids(tmp_path) == sorted(f"orders.p0.{10 * at}" for at in range(5))
        counts = line_of(writer).posts[-1].counts
        assert (counts.read, counts.gold, counts.settled) == (5, 5, 5)


async def test_a_window_closes_by_time_in_event_mode(tmp_path: Path):
    async with a_writer(tmp_path, window_s=0.2) as writer:
        sender = await attached(writer)

        for at in range(4):
            await writer.take(sender.frame(rows(1, start=at * 100)))
        await eventually(lambda: line_of(writer).settled("orders") == 4)

        assert writer.statistics()["commit"] == 1


async def test_a_window_closes_when_every_batch_source_said_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("actors.window.IDLE_S", 3600.0)
    async with a_writer(tmp_path, mode="batch", window_rows=1_000_000) as writer:
        one, two = await attached(writer, "one"), await attached(writer, "two")

        await writer.take(one.frame(rows(3), last=True))
        await writer.take(two.frame(rows(3), last=True))
        await eventually(lambda: line_of(writer).settled("two") == 1)

        assert writer.statistics()["commit"] == 1


async def test_a_batch_window_closes_at_its_rows(tmp_path: Path):
    async with a_writer(tmp_path, mode="batch", window_rows=10) as writer:
        sender = await attached(writer)

        for at in range(4):
            await writer.take(sender.frame(rows(10, start=at * 100)))
        await writer.drain()

        assert writer.statistics()["commit"] == 4


async def test_take_waits_while_a_commit_is_under_way_and_the_window_is_full(tmp_path: Path):
    """A store that refuses holds the producer back; nothing is forgotten, and all goes on when it takes again."""
    (tmp_path / "warehouse").write_text("no directory")
    (tmp_path / "fallback").write_text("no directory either")
    async with a_writer(tmp_path, mode="batch", window_rows=10) as writer:
        sender = await attached(writer)
        frames = [sender.frame(rows(10, start=at * 100)) for at in range(3)]

        for frame in frames[:2]:
            await writer.take(frame)
            await asyncio.sleep(0)
        await eventually(lambda: writer.statistics()["state"] == "refused")
        third = asyncio.create_task(writer.take(frames[2]))
        await eventually(lambda: line_of(writer).said("assay.store.down"))
        assert not third.done()
        assert line_of(writer).settled("orders") == 0
        (tmp_path / "fallback").unlink()
        await writer.drain()
        await third
        await writer.drain()

        assert line_of(writer).said("assay.store.up")
        assert writer.statistics()["waiting"] == 30
        (tmp_path / "warehouse").unlink()
        await eventually(lambda: writer.statistics()["waiting"] == 0)
        assert len(stored_ids(tmp_path)) == 30
        assert not list((tmp_path / "fallback").rglob("*.parquet"))


async def test_a_new_epoch_refuses_frames_of_the_old_one(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        old = await attached(writer)
        await writer.take(old.frame(rows(2)))

        attachment = await writer.attach("orders")

        assert attachment.epoch > old.epoch
        assert list(attachment.resume.coverage["p0"]) == [(0, 20)]
        assert attachment.base.gold == 2
        assert not await writer.take(old.frame(rows(2, start=20)))
        await writer.drain()
        assert len(stored_ids(tmp_path)) == 2


async def test_a_frame_sent_again_is_taken_once(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)
        frame = sender.frame(rows(2))

        assert await writer.take(frame)
        assert await writer.take(frame)
        await writer.drain()

        counts = line_of(writer).posts[-1].counts
        assert (counts.read, counts.gold, counts.duplicate) == (2, 2, 0)


async def test_a_gap_is_an_error(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)
        sender.frame()

        with pytest.raises(AssayError, match="E906 frame 1 of source `orders` is missing, 2 came"):
            await writer.take(sender.frame(rows(1)))


async def test_a_new_life_gives_new_epochs_and_tells_known_sources(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        first = await writer.attach("orders")
    async with a_writer(tmp_path) as writer:
        await eventually(lambda: line_of(writer).posts)

        assert line_of(writer).posts[0].boot == writer.boot != first.boot
        assert (await writer.attach("orders")).epoch == first.epoch + 1


async def test_epochs_are_not_reused_when_their_file_is_gone(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)
        await writer.take(sender.frame(rows(1)))
        await writer.drain()
    (tmp_path / "state" / "epochs.json").unlink()

    async with a_writer(tmp_path) as writer:
        assert (await writer.attach("orders")).epoch == sender.epoch + 1


async def test_marks_and_attachments_come_back(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)
        await writer.take(sender.frame(marks={"p0": {"path": "a.csv"}}, attachments={"window": b"\x00\x01"}))

        resume = (await writer.attach("orders")).resume

        assert resume.marks == {"p0": {"path": "a.csv"}}
        assert resume.attachments == {"window": b"\x00\x01"}


async def test_a_refused_file_is_copied_and_counted(tmp_path: Path):
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"\xff\xfe")
    note = QuarantineNote(what="bad.csv", reason="E210 no text", records=3, path=str(bad))
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)

        await writer.take(sender.frame(covers=[("p0", 0, 2)], quarantined=[note]))
        await writer.drain()

        counts = line_of(writer).posts[-1].counts
        assert (counts.read, counts.quarantined) == (3, 3)
        assert [path.read_bytes() for path in (tmp_path / "quarantine" / "orders").iterdir()] == [b"\xff\xfe"]


async def test_a_row_removed_behind_the_writers_back_shows_within_a_second(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)
        await writer.take(sender.frame(rows(5)))
        await writer.drain()
        path = next((tmp_path / "warehouse" / "gold_orders").rglob("*.parquet"))

        pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
        await eventually(lambda: line_of(writer).posts[-1].counts.gold == 4, 1.0)

        counts = line_of(writer).posts[-1].counts
        assert counts.read - counts.settled == 1
        await eventually(lambda: line_of(writer).said("assay.store.changed"))
    async with a_writer(tmp_path) as writer:  # and it still shows after a restart
        await eventually(lambda: line_of(writer).posts and line_of(writer).posts[-1].counts.gold == 4)
        path.unlink()
        await eventually(lambda: line_of(writer).posts[-1].counts.gold == 0)


async def test_each_commit_is_signalled_with_its_rows(tmp_path: Path):
    async with a_writer(tmp_path) as writer:
        sender = await attached(writer)

        await writer.take(sender.frame([Row(0), Row(10, tier=Tier.BRONZE)]))
        await writer.drain()
        await eventually(lambda: line_of(writer).said("assay.batch.committed"))

        (said,) = line_of(writer).said("assay.batch.committed")
        assert said.data["tiers"] == {"gold": {"orders": 1}, "bronze": {"orders": 1}}


async def test_a_second_writer_is_locked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("actors.writer.LOCK_WAIT_S", 0.1)
    async with a_writer(tmp_path):
        with pytest.raises(Locked, match=r"writer\.lock"):
            async with a_writer(tmp_path):
                pass

    assert WriterLock(tmp_path / "state").try_take()


async def test_silver_and_gold_leave_the_raw_bytes_out_when_asked(tmp_path: Path):
    storage = Storage(root=tmp_path, keep_raw="bronze_rejected")
    async with a_writer(tmp_path, storage=storage) as writer:
        sender = await attached(writer)
        await writer.take(sender.frame([Row(0), Row(10, tier=Tier.REJECTED)]))
        await writer.drain()

    found = {
        path.parts[-5]: pq.read_table(path, partitioning=None)["assay_raw"].to_pylist()
        for path in tmp_path.rglob("*.parquet")
    }
    assert found == {"gold_orders": [None], "rejected_orders": [b'{"id":10}']}
