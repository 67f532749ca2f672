"""A manifest: what one commit holds. Written once, never changed; JSON with a format version."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from core.batch import Mark
from core.errors import StoreUnavailable
from core.header import QuarantineNote
from core.ledger import Counts

FORMAT_VERSION = 1

Covers = dict[str, dict[str, list[tuple[int, int]]]]
"""source -> partition -> half-open ordinal ranges."""


VOID = "void"
"""The mode of a number that was reserved and given back: its manifest holds nothing."""


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which frames of one source a commit holds: ``first`` to ``last`` of an epoch, both included.

    Both are 0 where an engine's tasks staged the rows; ``job`` says which work of it that was.
    """

    source: str
    epoch: int
    first: int
    last: int
    mode: str
    """``event``, ``batch``, ``micro-batch`` or ``void``"""
    job: str = ""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds of one (source, partition): an id in ``[start, end)`` may be in it."""

    source: str
    partition: str
    start: int
    """least ordinal"""
    end: int
    """greatest end"""
    rows: int


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One parquet file of a commit: one tier, dataset, schema version and day."""

    staged: str
    """Where it was written, relative to ``place``."""
    path: str
    """Where it belongs, relative to the warehouse: ``gold_flights/year=2026/month=11/day=2/c…-0.parquet``."""
    place: Literal["warehouse", "fallback"] = "warehouse"
    tier: str
    dataset: str
    schema: str
    year: int
    month: int
    day: int
    rows: int
    """From its footer."""
    bytes: int
    spans: list[Span]

    @property
    def table(self) -> str:
        """``gold_flights``."""
        return f"{self.tier}_{self.dataset}"


class DatasetNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset was judged by: the newest of the commit. Files name their own schema."""

    schema: str
    rules: str


class Quarantine(QuarantineNote, frozen=True, kw_only=True, omit_defaults=True):
    """A refused file, and whose."""

    source: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One commit. Its being there under its final name is the commit point."""

    v: int = FORMAT_VERSION
    commit: int
    at_us: int
    origin: list[Origin] = []
    files: list[FileEntry] = []
    covers: Covers = {}
    marks: dict[str, dict[str, Mark]] = {}
    """source -> partition -> mark"""
    counts: dict[str, Counts] = {}
    """source -> what this commit adds to its books"""
    datasets: dict[str, DatasetNote] = {}
    attachments: dict[str, dict[str, str]] = {}
    """source -> name -> file below ``commits/attachments/``"""
    quarantined: list[Quarantine] = []

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """tier -> dataset -> rows."""
        found: dict[str, dict[str, int]] = {}
        for file in self.files:
            tier = found.setdefault(file.tier, {})
            tier[file.dataset] = tier.get(file.dataset, 0) + file.rows
        return found


class _Version(msgspec.Struct):
    v: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Manifest)
_version = msgspec.json.Decoder(_Version)


def encode(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    return _encoder.encode(manifest)


def decode(data: bytes, name: str) -> Manifest:
    """Read a manifest; ``name`` says which file in errors.

    Raises:
        StoreUnavailable: E701 a newer Assay wrote it, E702 it is damaged.
    """
    check_version(data, name)
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise damaged(name, error) from error


def check_version(data: bytes, name: str) -> None:
    """Refuse what a newer Assay wrote.

    Raises:
        StoreUnavailable: E701 newer, E702 no version can be read.
    """
    try:
        version = _version.decode(data).v
    except msgspec.DecodeError as error:
        raise damaged(name, error) from error
    if version > FORMAT_VERSION:
        raise StoreUnavailable(
            f"`{name}` has format version {version}, this Assay reads up to {FORMAT_VERSION}: "
            "run the Assay that wrote it, or a newer one", code="E701",
        )  # fmt: skip


def damaged(name: str, error: Any) -> StoreUnavailable:
    """The error for a file of the log that cannot be read."""
    return StoreUnavailable(
        f"`{name}` is damaged ({error}): restore it from a backup, then run `assay fsck`", code="E702"
    )
