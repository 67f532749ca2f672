"""Kafka's records as batches: ids, positions, refusals, and what a partition is called."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from actors.sources.kafka_records import RECORDS, batches_of, mark_of, names_of, partition_name
from core.ranges import Ranges

T0 = "LvP0bHZ1T3mTgwI2mcz2Vg"
T1 = "b8tRS7h4TJ2Vt43Dp85v2A"


def record(offset: int, value: bytes | None = b"{}", **more: Any) -> dict[str, Any]:
    return {
        "key": None, "value": value, "topic": "orders", "partition": 0, "offset": offset,
        "timestamp": 1_700_000_000_000_000, "timestampType": 0, "headers": None, **more,
    }  # fmt: skip


def batches(*records: dict[str, Any], most: int = 1000) -> list[Any]:
    rows = pa.RecordBatch.from_pylist(list(records), schema=RECORDS)
    partitions = {(one["topic"], one["partition"]) for one in records}
    topics = {"orders": T0, "returns": T1}
    names = {key: partition_name(key[1], None if key[0] == "orders" else T1) for key in partitions}
    return list(batches_of(rows, names, topics, most))


def test_a_batch_covers_the_offsets_between_its_records() -> None:
    """What is missing between them was aborted or compacted away: it never comes."""
    [batch] = batches(record(5), record(6), record(9))

    assert batch.partition == "0"
    assert batch.ordinals.to_pylist() == [5, 6, 9]
    assert batch.ends.to_pylist() == [6, 7, 10]
    assert batch.covers == ((5, 10),)
    assert batch.mark == {"topic": "orders", "topic_id": T0, "partition": 0}


def test_each_partition_of_each_topic_is_a_batch() -> None:
    got = batches(
        record(1), record(2), record(7, partition=1), record(3), record(3, topic="returns"), record(4, topic="returns")
    )  # fmt: skip

    assert [(one.partition, one.ordinals.to_pylist()) for one in got] == [
        ("0", [1, 2]), ("1", [7]), ("0", [3]), (partition_name(0, T1), [3, 4]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({}, {}, id="nothing-more"),
        pytest.param({"key": b"c-17"}, {"key": "c-17"}, id="key"),
        pytest.param({"key": b'a"\\\n\xc3\xa9'}, {"key": 'a"\\\né'}, id="key-to-be-escaped"),
        pytest.param({"key": b"\xff\x00"}, {"key_base64": "/wA="}, id="key-of-bytes"),
        pytest.param({"key": b""}, {"key": ""}, id="empty-key"),
        pytest.param({"timestampType": 1}, {"timestamp_type": "append"}, id="timestamp-of-the-broker"),
        pytest.param(
            {"headers": [{"key": "h", "value": b"v"}, {"key": "h", "value": None}, {"key": "b", "value": b"\xff"}]},
            {"headers": [["h", "v"], ["h", None], ["b", {"base64": "/w=="}]]},
            id="headers",
        ),
    ],
)  # fmt: skip
def test_a_position_keeps_what_came_with_the_value(more: dict[str, Any], said: dict[str, Any]) -> None:
    usual = {"topic": "orders", "partition": 0, "offset": 5, "timestamp": 1_700_000_000_000}

    [alone] = batches(record(5, **more))
    [among] = batches(record(4, key=b"x"), record(5, **more), record(6))

    assert json.loads(alone.positions[0].as_py()) == usual | said
    assert json.loads(among.positions[1].as_py()) == usual | said


def test_a_record_without_a_timestamp_has_none_in_its_position() -> None:
    [batch] = batches(record(5, timestamp=-1000))

    assert json.loads(batch.positions[0].as_py()) == {"topic": "orders", "partition": 0, "offset": 5}


def test_a_tombstone_is_refused_and_is_no_empty_value() -> None:
    [batch] = batches(record(1, None, key=b"c-17"), record(2, b""), record(3))

    assert batch.raw.to_pylist() == [None, b"", b"{}"]
    assert {index: reason.rule for index, reason in batch.refused.items()} == {0: "tombstone"}


def test_a_value_that_is_too_large_keeps_its_beginning() -> None:
    [batch] = batches(record(1, b"x" * 11), record(2, b"y" * 10), most=10)

    assert batch.raw.to_pylist() == [b"x" * 10, b"y" * 10]
    assert {index: reason.rule for index, reason in batch.refused.items()} == {0: "record-size"}


def test_stored_records_are_passed_over() -> None:
    rows = pa.RecordBatch.from_pylist([record(offset) for offset in range(10)], schema=RECORDS)

    [some] = batches_of(rows, {("orders", 0): "0"}, {"orders": T0}, 100, {"0": Ranges([(0, 4), (6, 8)])})
    none = list(batches_of(rows, {("orders", 0): "0"}, {"orders": T0}, 100, {"0": Ranges([(0, 10)])}))

    assert some.ordinals.to_pylist() == [4, 5, 8, 9]
    assert len(some.positions) == len(some.raw) == 4
    assert none == []


def test_the_number_names_the_partitions_of_one_topic() -> None:
    assert names_of({"orders": T0}, [("orders", 0), ("orders", 1)], {}) == {
        ("orders", 0): "0",
        ("orders", 1): "1",
    }


def test_a_second_topic_and_a_topic_made_anew_get_names_of_their_own() -> None:
    marks = {"0": mark_of("orders", T0, 0)}

    more = names_of({"orders": T0, "returns": T1}, [("orders", 1), ("returns", 0)], marks)
    anew = names_of({"orders": T1}, [("orders", 0)], marks)

    assert more == {("orders", 1): "1", ("returns", 0): partition_name(0, T1)}
    assert anew == {("orders", 0): partition_name(0, T1)}
    assert names_of({"a": T0, "b": T1}, [("a", 0), ("b", 0)], {}) == {
        ("a", 0): partition_name(0, T0), ("b", 0): partition_name(0, T1),
    }  # fmt: skip
