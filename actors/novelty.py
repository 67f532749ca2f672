"""Fields that arrive and that no schema knows: told to the registry once, not once a record."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from core.novelty import unknown_fields


class RegistryDesk(Protocol):
    """What a connector tells the registry."""

    async def noticed(self, subject: str, fields: dict[str, str], source: str) -> None:
        """Unknown fields of ``subject`` and the JSON type each came with."""


class Novelty:
    """Remembers which unknown fields were told already."""

    def __init__(self, subject: str, source: str, registry: RegistryDesk) -> None:
        self._subject = subject
        self._source = source
        self._registry = registry
        self._told: set[str] = set()

    async def look(self, records: pa.RecordBatch) -> None:
        """Look at the first rows of ``records`` that hold something unknown."""
        await self.tell(unknown_fields(records, self._told))

    async def tell(self, fields: dict[str, str]) -> None:
        """Pass on what was not told before."""
        fresh = {name: kind for name, kind in fields.items() if name not in self._told}
        if fresh:
            self._told.update(fresh)
            await self._registry.noticed(self._subject, fresh, self._source)
