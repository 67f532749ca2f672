"""What stands before a frame's records: small, enough to route by, and readable without Arrow.

The bus, the registry and the supervisor speak of frames and never look into one; this module spares them Arrow.
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.batch import Mark

FORMAT_VERSION = 1
HEADER_KEY = b"assay.header"
"""Under which a payload repeats its header in the schema's metadata."""


class QuarantineNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a frame says about a refused file."""

    what: str
    reason: str
    records: int = 0
    bytes_unread: int = 0
    path: str | None = None


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a frame is, and what storing it settles."""

    v: int = FORMAT_VERSION
    source: str
    dataset: str
    epoch: int
    seq: int
    """1, 2, 3 … within an epoch, without gaps."""
    mode: str = "event"
    arrived_us: int
    schema: str = ""
    """``subject:version``"""
    rules: str = ""
    """first 12 hex digits of the rules' content hash"""
    content_type: str = "application/json"
    tiers: tuple[int, int, int, int] = (0, 0, 0, 0)
    """rows by Tier number: rejected, bronze, silver, gold"""
    covers: list[tuple[str, int, int]] = []
    """(partition, start, end): half-open ranges done with once this frame is stored"""
    marks: dict[str, Mark] = {}
    quarantined: list[QuarantineNote] = []
    attachments: dict[str, bytes] = {}
    last: bool = False
    """The source has nothing more for now: commit without waiting for the window."""
    resumes: list[tuple[str, int]] = []
    """On an epoch's first frame: (partition, ordinal) where reading goes on."""

    @property
    def rows(self) -> int:
        """Records in the frame."""
        return sum(self.tiers)

    @property
    def read(self) -> int:
        """Records this frame accounts for: its rows and those quarantined."""
        return self.rows + sum(note.records for note in self.quarantined)

    @property
    def topic(self) -> str:
        """The bus topic it travels on."""
        return f"scored.{self.dataset}"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


def encode_header(header: Header) -> bytes:
    """The packed header."""
    return _encoder.encode(header)


def decode_header(data: Any) -> Header:
    """Read a packed header.

    Raises:
        msgspec.DecodeError: the bytes are no header.
    """
    return _decoder.decode(data)
