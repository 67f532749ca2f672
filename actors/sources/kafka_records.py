"""Kafka's records as batches: whatever client fetched them, the same ids, positions and refusals."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.sources.chunk import TRUNCATED_TO, json_text, size_reason
from core.batch import Batch, Mark, Reason
from core.ranges import Ranges

HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
RECORDS = pa.schema([
    ("key", pa.binary()),
    ("value", pa.binary()),                     # null: a tombstone
    ("topic", pa.string()),
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("timestamp", pa.timestamp("us", "UTC")),   # of milliseconds; -1 ms: none
    ("timestampType", pa.int32()),              # 0 set by the producer, 1 by the broker
    ("headers", HEADERS),                       # null: none
])  # fmt: skip
"""Records as fetched; Spark's Kafka source has these columns."""

_NOT_PLAIN = r'["\\[:cntrl:]]'
"""What a JSON string writes otherwise."""

TopicPartition = tuple[str, int]


def partition_name(number: int, topic_id: str | None = None) -> str:
    """What a topic's partition is called in ids: its number, or 13 base32 characters of topic id and number.

    Args:
        topic_id: where the number alone would not do: the source has several topics, or one that was made anew.

    >>> partition_name(7), partition_name(7, "LvP0bHZ1T3mTgwI2mcz2Vg")
    ('7', 'jya4bllae6po5')
    """
    if topic_id is None:
        return str(number)
    digest = hashlib.sha256(f"{topic_id}\0{number}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:13]


def names_of(
    topics: Mapping[str, str], partitions: Iterable[TopicPartition], marks: Mapping[str, Mark]
) -> dict[TopicPartition, str]:
    """What each partition is called.

    Args:
        topics: name -> topic id, as the cluster has them now.
        marks: what is stored of the source, by partition name; a number stays with the topic id it was first given to.

    Returns:
        (topic, number) -> name: the number for one topic that nobody made anew, a hash for all others.
    """
    plain = next(
        (str(mark["topic_id"]) for name, mark in sorted(marks.items()) if name.isdecimal() and "topic_id" in mark),
        next(iter(topics.values())) if len(topics) == 1 and not marks else None,
    )  # fmt: skip
    return {
        (topic, number): partition_name(number, None if topics[topic] == plain else topics[topic])
        for topic, number in partitions
    }


def mark_of(topic: str, topic_id: str, number: int) -> Mark:
    """What is noted of a partition beside its coverage."""
    return {"topic": topic, "topic_id": topic_id, "partition": number}


def batches_of(
    records: pa.RecordBatch, names: Mapping[TopicPartition, str], topics: Mapping[str, str], most_bytes: int,
    stored: Mapping[str, Ranges] | None = None,
) -> Iterator[Batch]:  # fmt: skip
    """Records as fetched, one batch a partition, in the order of offsets.

    Offsets that are missing between two records (aborted, compacted away, a transaction's end) are done with, too.

    Args:
        records: columns as ``RECORDS``.
        names: of each partition in it.
        topics: name -> topic id.
        most_bytes: ``max_record_bytes``; a larger value is refused, its beginning kept.
        stored: of each partition name; such records are passed over, as if they had not been fetched.
    """
    for (topic, number), part in _by_partition(records):
        name, mark = names[topic, number], mark_of(topic, topics[topic], number)
        fresh = _missing(part, (stored or {}).get(name))
        if fresh.num_rows:
            yield _batch(fresh, name, mark, most_bytes)


def _by_partition(records: pa.RecordBatch) -> Iterator[tuple[TopicPartition, pa.RecordBatch]]:
    """Cut where topic or partition change; a fetch brings whole runs of them."""
    n = records.num_rows
    topics = records.column("topic").dictionary_encode()
    numbers = records.column("partition").to_numpy()
    of = topics.indices.to_numpy().astype(np.int64) << 32 | numbers
    starts = [0, *(np.flatnonzero(of[1:] != of[:-1]) + 1).tolist()] if n else []
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        topic = topics.dictionary[topics.indices[start].as_py()].as_py()
        yield (topic, int(numbers[start])), records.slice(start, stop - start)


def _missing(part: pa.RecordBatch, stored: Ranges | None) -> pa.RecordBatch:
    offsets = part.column("offset")
    if not stored or not stored.overlaps(offsets[0].as_py(), offsets[-1].as_py() + 1):
        return part
    found = offsets.to_numpy()
    keep = np.ones(len(found), bool)
    for start, end in stored:
        keep &= (found < start) | (found >= end)
    return part.take(pa.array(np.flatnonzero(keep).tolist(), pa.int64()))


def _batch(part: pa.RecordBatch, name: str, mark: Mark, most_bytes: int) -> Batch:
    offsets = part.column("offset")
    raw, refused = _values(part.column("value"), most_bytes)
    return Batch(
        partition=name, ordinals=offsets, ends=pc.add(offsets, 1), raw=raw,
        positions=_positions(part, mark),
        covers=((offsets[0].as_py(), offsets[-1].as_py() + 1),), mark=mark,
        content_type="application/json", refused=refused,
    )  # fmt: skip


def _values(values: pa.Array, most_bytes: int) -> tuple[pa.Array, dict[int, Reason]]:
    """large_binary of the values, null where there is none, and why some are refused."""
    sizes = pc.fill_null(pc.binary_length(values), 0).to_numpy()
    refused = {int(i): _tombstone() for i in np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))}
    large = np.flatnonzero(sizes > most_bytes)
    if not len(large):
        return values.cast(pa.large_binary()), refused
    kept = values.to_pylist()
    for index in large.tolist():
        refused[index] = size_reason(int(sizes[index]), most_bytes)
        kept[index] = kept[index][: min(TRUNCATED_TO, most_bytes)]
    return pa.array(kept, pa.large_binary()), refused


def _tombstone() -> Reason:
    return Reason(
        "", "tombstone", "critical", "a value", "null",
        "the record has no value: it marks the records of its key as deleted (a tombstone); its key stands in the position",
    )  # fmt: skip


def _positions(part: pa.RecordBatch, mark: Mark) -> pa.Array:
    """``{"topic":…,"partition":0,"offset":17,"timestamp":…}``, with key and headers where records have them.

    Cost (the whole batch): 0.25 µs a record whose key is plain text, 1.2 µs with a header.
    """
    head = f'{{"topic":{json_text(mark["topic"])},"partition":{mark["partition"]},"offset":'
    columns = [pa.scalar(head), part.column("offset").cast(pa.string()), *_times(part)]
    keys, headers = part.column("key"), part.column("headers")
    if keys.null_count < len(keys):
        columns.append(_keys(keys))
    if headers.null_count < len(headers):
        columns.append(pa.array([_headers(some) for some in headers.to_pylist()], pa.string()))
    return pc.binary_join_element_wise(*columns, pa.scalar("}"), pa.scalar(""))


def _times(part: pa.RecordBatch) -> list[Any]:
    """Milliseconds since 1970 as the records have them; nothing where one has none (-1)."""
    times = pc.divide(part.column("timestamp").cast(pa.int64()), 1000)
    kinds = part.column("timestampType")
    if pc.min(times).as_py() >= 0 and pc.max(kinds).as_py() == 0:
        return [pa.scalar(',"timestamp":'), times.cast(pa.string())]
    each = zip(times.to_pylist(), kinds.to_pylist(), strict=True)
    return [pa.array([_time(ms, kind) for ms, kind in each], pa.string())]


def _time(ms: int, kind: int) -> str:
    return "" if ms < 0 else f',"timestamp":{ms}' + (',"timestamp_type":"append"' if kind == 1 else "")


def _keys(keys: pa.Array) -> pa.Array:
    if not keys.null_count:
        with suppress(pa.ArrowInvalid):  # not UTF-8
            texts = keys.cast(pa.string())
            if not pc.any(pc.match_substring_regex(texts, _NOT_PLAIN)).as_py():
                return pc.binary_join_element_wise(
                    pa.scalar(',"key":"'), texts, pa.scalar('"'), pa.scalar("")
                )
    return pa.array([_key(key) for key in keys.to_pylist()], pa.string())


def _key(key: bytes | None) -> str:
    if key is None:
        return ""
    text = _text(key)
    return f',"key":{text}' if text is not None else f',"key_base64":"{_base64(key)}"'


def _headers(headers: Sequence[Mapping[str, Any]] | None) -> str:
    """``[[name, text], [name, null], [name, {"base64": …}]]``: names may repeat, values may be absent."""
    if not headers:
        return ""
    return ',"headers":[' + ",".join(_header(one["key"], one["value"]) for one in headers) + "]"


def _header(name: str, value: bytes | None) -> str:
    if value is None:
        return f"[{json_text(name)},null]"
    text = _text(value)
    return f"[{json_text(name)}," + (text if text is not None else f'{{"base64":"{_base64(value)}"}}') + "]"


def _text(data: bytes) -> str | None:
    """Bytes as a JSON string; None if they are no text."""
    try:
        return json_text(data.decode())
    except UnicodeDecodeError:
        return None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
