"""The unit that moves: one Arrow record batch of judged records, with a header.

A frame travels as two byte strings: its header (msgpack, small, enough to route by) and its payload
(Arrow IPC stream of one record batch whose schema metadata repeats the header under ``assay.header``,
so that anybody with pyarrow can read a payload alone).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from core.header import HEADER_KEY, Header, QuarantineNote, decode_header, encode_header
from core.tiers import Tier

__all__ = [
    "FRAME_SCHEMA", "JUDGED_SCHEMA", "MAX_FRAME_BYTES", "REASON", "TIMESTAMP", "Frame", "Header", "QuarantineNote",
    "decode_header", "tier_counts",
]  # fmt: skip

MAX_FRAME_BYTES = 8 << 20

TIMESTAMP = pa.timestamp("us", tz="UTC")

REASON = pa.struct([
    ("path", pa.string()), ("rule", pa.string()), ("severity", pa.string()),
    ("expected", pa.string()), ("got", pa.string()), ("message", pa.string()),
])  # fmt: skip

JUDGED_SCHEMA = pa.schema([
    ("valid", pa.bool_()),                 # the JSON Schema verdict alone
    ("tier", pa.uint8()),                  # core.tiers.Tier
    ("score", pa.float64()),
    ("completeness", pa.float64()),        # null: the measure does not apply
    ("accuracy", pa.float64()),
    ("timeliness", pa.float64()),
    ("compliance", pa.float64()),
    ("consistency", pa.float64()),
    ("event_time", TIMESTAMP),             # null: missing or not readable
    ("reasons", pa.list_(REASON)),         # null stands for none
    ("document", pa.large_binary()),       # standardised and derived; null where equal to what was judged
    ("extra", pa.large_binary()),          # JSON of fields the schema does not know; null if none
])  # fmt: skip
"""What a judge returns: one row a document, in order (docs/design.md §6)."""

FRAME_SCHEMA = pa.schema([
    ("partition", pa.dictionary(pa.int8(), pa.string())),
    ("ordinal", pa.int64()),
    ("end", pa.int64()),
    ("position", pa.string()),
    ("raw", pa.large_binary()),
    *[JUDGED_SCHEMA.field(name) for name in JUDGED_SCHEMA.names],
])  # fmt: skip
"""``document`` in a frame: canonical JSON where it differs from ``raw``, else null."""


class Frame:
    """A header and its records. The payload is encoded or decoded once, when first asked for."""

    __slots__ = ("_payload", "_records", "header")

    def __init__(self, header: Header, records: pa.RecordBatch | None = None, payload: Any = None) -> None:
        self.header = header
        self._records = records
        self._payload = payload

    @property
    def records(self) -> pa.RecordBatch:
        """The records, columns as ``FRAME_SCHEMA``."""
        if self._records is None:
            with pa.ipc.open_stream(self._payload) as reader:
                self._records = reader.read_next_batch()
        return self._records

    @property
    def payload(self) -> Any:
        """Arrow IPC stream bytes (a buffer)."""
        if self._payload is None:
            batch = self._records
            assert batch is not None
            schema = batch.schema.with_metadata({HEADER_KEY: encode_header(self.header)})
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, schema) as writer:
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
            self._payload = sink.getvalue()
        return self._payload

    @property
    def size_bytes(self) -> int:
        """What the payload weighs."""
        return len(memoryview(self.payload))

    def pack(self) -> list[Any]:
        """``[header, payload]`` as two byte strings (the second may be any buffer)."""
        return [encode_header(self.header), self.payload]

    @classmethod
    def unpack(cls, parts: Sequence[Any]) -> Frame:
        """The reverse of ``pack``; the records are decoded when asked for."""
        return cls(decode_header(parts[0]), payload=parts[1])

    @classmethod
    def from_payload(cls, payload: Any) -> Frame:
        """From a payload alone, with the header in its schema metadata."""
        with pa.ipc.open_stream(payload) as reader:
            records = reader.read_next_batch()
            header = decode_header(reader.schema.metadata[HEADER_KEY])
        return cls(header, records=records, payload=payload)


def tier_counts(tiers: pa.Array) -> tuple[int, int, int, int]:
    """Rows by tier number of a ``tier`` column."""
    counts = [0, 0, 0, 0]
    for item in tiers.value_counts().to_pylist():
        counts[Tier(item["values"])] = item["counts"]
    return counts[0], counts[1], counts[2], counts[3]
