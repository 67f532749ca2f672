"""Words of the schema registry: subjects, versions, and what a connector is handed. Plain values."""

from __future__ import annotations

from typing import Literal

import msgspec

Compatibility = Literal[
    "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"
]
Kind = Literal["JSON", "AVRO", "PROTOBUF"]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One schema's use of another: ``name`` is how its ``$ref`` spells it."""

    name: str
    subject: str
    version: int


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a subject, as stations compile and store it."""

    subject: str
    version: int
    """1, 2, 3 … within the subject; never given twice."""
    id: int
    """Global; the same content has the same id under every subject."""
    schema: bytes
    """The JSON document, spelled as it was first registered."""
    names: dict[str, str] = {}
    """JSON pointer -> column name (``schemas.columns.name_map``); once given, a name stays."""
    new: bool = False
    """Whether this call made the version."""
    table: int = 1
    """Version of the Silver and Gold tables that hold its rows (``schemas.versions``)."""

    @property
    def word(self) -> str:
        """``subject:version``, as rows name it."""
        return f"{self.subject}:{self.version}"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """All that the ledger knows of one version."""

    subject: str
    version: int
    id: int
    schema: bytes
    kind: Kind = "JSON"
    references: list[Reference] = []
    metadata: dict[str, str] = {}
    tags: dict[str, list[str]] = {}
    """JSON pointer of a property -> tags, such as ``pii``."""
    created_us: int
    deleted_us: int | None = None
    """Soft delete: hidden, but still there for records that name it."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One line of history. A None setting means: the global one."""

    name: str
    latest: int | None
    """Newest version that is not deleted."""
    versions: int
    compatibility: Compatibility | None = None
    policy: str | None = None
    mode: str | None = None
    created_us: int
    deleted_us: int | None = None
