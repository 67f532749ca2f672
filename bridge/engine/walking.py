"""What the kinds of sources that walk a table by ranges of a column have in common: a table behind JDBC, a Hive table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bridge.engine.rows import Stretch
from bridge.engine.table_walk import TableWalk
from bridge.engine.work import Trouble, Work
from core.ports import SourceStatistics
from store.staged import StagedPart


class Walking(ABC):
    """See ``bridge.engine.work.Kind``. ``restore`` sets ``_walk``; the first ``plan`` looks at the table."""

    _walk: TableWalk
    _begun = False
    _rows = 0
    """Found at the start of the walk."""
    _read = 0

    def plan(self, limit_bytes: int) -> Work | None:
        """See ``Kind``. The first call looks for the bounds."""
        if not self._begun:
            self._begin()
        stretches = self._walk.next()
        return self._work(stretches) if stretches else None

    def settle(
        self, work: Work, troubles: Sequence[Trouble], parts: Sequence[StagedPart]
    ) -> list[StagedPart]:
        """See ``Kind``."""
        return self._walk.settle(work.items, parts)

    def committed(self, work: Work, parts: Sequence[StagedPart]) -> None:
        """See ``Kind``."""
        self._read += sum(part.read for part in parts)

    def statistics(self) -> SourceStatistics:
        """See ``Kind``. What is left is what was counted at the start, less what was read."""
        if not self._begun:
            return SourceStatistics(detail="looking at the table")
        left = max(0, self._rows - self._read) if self._walk.left else 0
        return SourceStatistics(lag_records=left, partitions=1, detail=f"{self._walk.left} ranges left")

    @abstractmethod
    def _begin(self) -> None:
        """Look for the bounds, count, and cut what is left; sets ``_begun``."""

    @abstractmethod
    def _work(self, stretches: list[Stretch]) -> Work:
        """The work that reads these."""
