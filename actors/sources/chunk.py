"""What a reader of one file hands over, and the small arrays all readers build alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from core.batch import Reason
from core.errors import BadFile

Int64s = npt.NDArray[np.int64]

TRUNCATED_TO = 65536
"""Bytes that are kept of a record larger than ``max_record_bytes``."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """n >= 0 records of one file and the range of ordinals they settle."""

    ordinals: Int64s
    ends: Int64s
    raw: pa.Array
    positions: pa.Array
    cover: tuple[int, int]
    line: int
    """Number of the line at the end of ``cover``, from 1; 0 where there are no lines."""
    documents: pa.Array | None = None
    refused: Mapping[int, Reason] = field(default_factory=dict)


class RefusedFrom(BadFile):
    """The rest of a file, from byte ``facts["start"]`` on, cannot be used."""


class Reader(Protocol):
    """Reads one open file from any ordinal on. Has no state that matters: the same call gives the same chunk."""

    content_type: str

    def limit(self, size_bytes: int) -> int:
        """Where the ordinals of a file of that size end.

        Raises:
            BadFile: it can not be used at all.
        """

    def take(self, start: int, stop: int, *, final: bool) -> Chunk | None:
        """The next records of ``[start, stop)``; None if there is not a whole one yet.

        Args:
            final: what stands before ``stop`` will not grow: a last line needs no line ending.

        Raises:
            BadFile: the file cannot be used at all. RefusedFrom: not from some byte on.
        """

    def fingerprint_end(self, at: int, size_bytes: int) -> int:
        """Up to which byte the file must stay as it is, once everything before ordinal ``at`` is read."""

    def close(self) -> None:
        """Let go of the file; safe twice."""


def text_positions(file: str, offsets: Int64s, lines: Int64s) -> pa.Array:
    """``{"file":…,"offset":…,"line":…}`` for n records of a text file. Cost: 0.15 µs a record."""
    prefix = '{"file":' + json_text(file) + ',"offset":'
    return _joined(prefix, offsets, ',"line":', lines, "}")


def row_positions(file: str, rows: Int64s) -> pa.Array:
    """``{"file":…,"row":…}`` for n rows of a file without lines."""
    return _joined('{"file":' + json_text(file) + ',"row":', rows, "}")


def json_text(text: str) -> str:
    """``text`` as a JSON string."""
    return msgspec.json.encode(text).decode()


def int64_array(values: Int64s) -> pa.Array:
    """The same memory as an Arrow array (``pa.array`` of a numpy array imports pandas where it is installed)."""
    whole = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])


def _joined(*parts: Any) -> pa.Array:
    columns = [pa.scalar(p) if isinstance(p, str) else int64_array(p).cast(pa.string()) for p in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar(""))


def size_reason(size_bytes: int, most: int) -> Reason:
    """Of a record that is larger than the settings allow."""
    return Reason(
        "", "record-size", "critical", f"at most {most} bytes", f"{size_bytes} bytes",
        f"the record has {size_bytes} bytes, `max_record_bytes` is {most}; its first {min(TRUNCATED_TO, most)} are kept",
    )  # fmt: skip
