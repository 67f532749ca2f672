"""Who a file is: its partition, and a fingerprint that tells growing from being replaced."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from dataclasses import dataclass

from core.batch import Mark

PRINT_BYTES = 4096


def partition_of(*parts: object) -> str:
    """13 characters ``a-z2-7`` (65 bits) of SHA-256 over ``parts``.

    >>> partition_of("a/b.csv", 0)
    'ddoqrketeontu'
    """
    digest = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()
    return base64.b32encode(digest)[:13].decode("ascii").lower()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The first bytes of a file, and those just before ``crc_end``; both at most 4 KiB."""

    head: str
    head_length: int
    crc: int
    crc_end: int

    @classmethod
    def of(cls, fd: int, end: int) -> Fingerprint:
        """Of the bytes ``[0, end)`` of an open file."""
        head_length = min(PRINT_BYTES, end)
        tail = os.pread(fd, min(PRINT_BYTES, end), max(0, end - PRINT_BYTES))
        return cls(_hash(os.pread(fd, head_length, 0)), head_length, zlib.crc32(tail), end)

    @classmethod
    def from_mark(cls, mark: Mark) -> Fingerprint | None:
        """The one a mark holds; None if it holds none."""
        try:
            return cls(str(mark["head"]), int(mark["head_length"]), int(mark["crc"]), int(mark["crc_end"]))
        except (KeyError, TypeError, ValueError):
            return None

    def matches(self, fd: int) -> bool:
        """Whether an open file still begins and goes on as it did."""
        return Fingerprint.of(fd, self.crc_end) == self

    def as_mark(self) -> Mark:
        """Its part of a mark."""
        return {"head": self.head, "head_length": self.head_length, "crc": self.crc, "crc_end": self.crc_end}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
