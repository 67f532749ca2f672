"""Where a walk through a table stands: what is left, in which order, and what each commit notes for the next run. Pure.

By key, the coverage in the commit log says all: ordinals are keys. By position, the table's mark says which ranges are
done and up to which place (`top`) everything was read; rows from `top - lookback` on are read again and told apart by
their digests, so that rows with the same value that come later, and late ones, are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from actors.sources.identity import partition_of
from actors.sources.sql_known import Known
from bridge.engine.rows import SEEN, Shape, Stretch, TableReader
from bridge.engine.walk import Axis, Range, clipped, cut_between, mirrored, missing, without
from core.batch import Resume
from core.errors import ConfigError, Permanent
from core.ranges import Ranges
from store.staged import StagedPart


@dataclass(frozen=True, slots=True)
class Limits:
    """How a walk is cut."""

    lower: int | None
    upper: int | None
    lookback: int
    """places"""
    range_rows: int
    together: int
    """ranges a commit"""


class TableWalk:
    """One source's walk, over all of its runs.

    Args:
        identity: what ids are made of beside the key: the table's name. Two tables of one source must differ in it.
        by_key: the axis is the whole key, and ordinals are its values.
        definition: what may not change under a source's name (a query's text, as a hash); "" if there is nothing such.
    """

    def __init__(
        self, identity: str, axis: Axis, limits: Limits, *, by_key: bool, definition: str = ""
    ) -> None:
        self.axis, self.by_key = axis, by_key
        self._identity, self._limits, self._definition = identity, limits, definition
        self.partition = partition_of(identity)
        self.negative = partition_of(identity, "negative")
        self._stored = Ranges()
        """places: by key, what is in the tables; by position, the ranges that are done"""
        self._top: int | None = None
        self._round = 0
        self._known = Known()
        self._watched: list[Range] = []
        self._left: list[Range] = []
        self._goal: int | None = None
        """by position: the greatest place of this walk, where it goes to the end"""
        self._noted: tuple[dict[str, Any], bytes] | None = None

    def restore(self, resume: Resume) -> None:
        """Go on from the commit log.

        Raises:
            ConfigError: E441 it was walked in another way before. Permanent: E911 the list of known rows is missing.
        """
        mark = resume.marks.get(self.partition) or resume.marks.get(self.negative) or {}
        self._check(mark)
        self._left = []
        if self.by_key:
            self._stored = Ranges(resume.coverage.get(self.partition, Ranges()))
            self._stored.update(mirrored(resume.coverage.get(self.negative, Ranges())))
            return
        self._stored = Ranges([(low, high) for low, high in mark.get("done", [])])
        self._top, self._round = mark.get("top"), int(mark.get("round", 0))
        self._known, self._noted = Known(), None
        if "known" in resume.attachments:
            self._known = Known.decode(resume.attachments["known"])
            self._noted = {key: value for key, value in mark.items() if key != "round"}, self._known.encode()
        elif self._top is not None:
            message = (
                f"the list of known rows of `{self._identity}` is missing; without it rows would be doubled"
            )
            raise Permanent(f"{message}, so restore `commits/attachments`", "E911")

    def begin(self, low: int, high: int, within: Range | None = None) -> list[Range]:
        """What is left of the places ``[low, high)``, the bounds of a moment; ``within`` bounds it further.

        By key, negative keys first.
        """
        back = self._limits.lookback
        if self.by_key:
            self._watched = [(high - back, high)] if back else []
            return [*missing(self._stored, low, min(0, high)), *missing(self._stored, max(0, low), high)]
        self._watched = [(self._top - back, self._top + 1)] if self._top is not None else []
        done = without(self._stored, *self._watched[0]) if self._watched else self._stored
        gaps, self._goal, self._round = missing(done, low, high), high - 1, self._round + 1
        if within is not None:
            gaps = clipped(gaps, *within)
            self._goal = self._goal if within[1] >= high else None
        if self._goal is not None:
            self._watched.append((self._goal - back, self._goal + 1))
        return gaps

    def cut(self, gaps: Sequence[Range], rows: int) -> None:
        """Make ranges of what ``begin`` found, which holds about so many rows."""
        limits, wide = self._limits, sum(high - low for low, high in gaps)
        below = [gap for gap in gaps if gap[1] <= 0] if self.by_key else []
        self._left = []
        for side in (below, gaps[len(below) :]):
            pieces = -(-rows * sum(high - low for low, high in side) // (wide * limits.range_rows))
            self._left += cut_between(side, pieces, limits.lower, limits.upper, bridging=self.by_key)

    @property
    def left(self) -> int:
        """Ranges that wait."""
        return len(self._left)

    def next(self) -> list[Stretch]:
        """The ranges of the next commit; empty at the end."""
        taken, self._left = self._left[: self._limits.together], self._left[self._limits.together :]
        return [self._stretch(low, high) for low, high in taken]

    def _stretch(self, low: int, high: int) -> Stretch:
        if self.by_key:
            partition = self.negative if low < 0 else self.partition
            return Stretch(low, high, partition, tuple(clipped(self._stored, low, high)))
        return Stretch(low, high, partition_of(self._identity, self.axis.column, self._round, low, high))

    def reader(self, stretches: Sequence[Stretch], shape: Shape) -> TableReader:
        """What the tasks of a commit run."""
        return TableReader(
            shape,
            tuple(stretches),
            tuple(self._watched),
            frozenset() if self.by_key else frozenset(self._known.rows),
        )

    def mark(self) -> dict[str, Any]:
        """What is always in the table's mark."""
        made = {
            "table": self._identity,
            "column": self.axis.column,
            "by": "key" if self.by_key else "position",
        }
        return {**made, "definition": self._definition} if self._definition else made

    def settle(self, stretches: Sequence[Stretch], parts: Sequence[StagedPart]) -> list[StagedPart]:
        """What is committed beside the rows; takes the digests out of ``parts``."""
        if self.by_key:
            return []
        last = not self._left
        for part in parts:
            for name in [name for name in part.attachments if name.startswith(SEEN)]:
                for place, seen in msgspec.msgpack.decode(part.attachments.pop(name)):
                    self._known.rows[bytes(seen)] = place
        self._stored.update((stretch.low, stretch.high) for stretch in stretches)
        if last and self._goal is not None:
            self._top, self._known.last = self._goal, (self._goal,)
            self._known.forget_before(self._goal - self._limits.lookback)
        mark = {**self.mark(), "done": self._stored.as_list(), "top": self._top}
        known = self._known.encode()
        if (mark, known) == self._noted:
            return []
        self._noted = mark, known
        return [
            StagedPart(marks={self.partition: {**mark, "round": self._round}}, attachments={"known": known})
        ]

    def _check(self, mark: dict[str, Any]) -> None:
        ours = {"column": "", "by": "", "definition": "", **self.mark()}
        for key, what in _FIXED.items():
            if key in mark and mark[key] != ours[key]:
                raise ConfigError(
                    f"`{self._identity}` was read by another {what} before; ids would change, and rows be stored twice: give the"
                    " source another name (all of it is read anew), or set it back as it was", "E441",
                )  # fmt: skip


_FIXED = {"column": "partition column", "by": "key", "definition": "query"}
