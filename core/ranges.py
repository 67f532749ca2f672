"""Sets of half-open ranges of ordinals: what has been read, and what is left."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A sorted set of disjoint, non-touching half-open ranges ``[start, end)`` of integers.

    >>> seen = Ranges([(0, 10), (20, 30)])
    >>> seen.add(10, 15)
    >>> list(seen)
    [(0, 15), (20, 30)]
    >>> list(seen.complement(0, 40))
    [(15, 20), (30, 40)]
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int] | list[int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Take in ``[start, end)``, merging what it touches. An empty range adds nothing."""
        if end <= start:
            return
        if self._ends and start == self._ends[-1]:  # the usual case: reading on
            self._ends[-1] = end
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def update(self, other: Iterable[tuple[int, int]]) -> None:
        """Take in every range of ``other``."""
        for start, end in other:
            self.add(start, end)

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any integer of ``[start, end)`` is in the set."""
        at = bisect_right(self._ends, start)
        return start < end and at < len(self._starts) and self._starts[at] < end

    def covers(self, start: int, end: int) -> bool:
        """Whether every integer of ``[start, end)`` is in the set."""
        if end <= start:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._ends[at] >= end

    def complement(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` that are not in the set, in order."""
        at = start
        for index in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[index] >= end:
                break
            if self._starts[index] > at:
                yield at, self._starts[index]
            at = self._ends[index]
        if at < end:
            yield at, end

    @property
    def total(self) -> int:
        """How many integers the set holds."""
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        """The end of the last range; 0 if the set is empty."""
        return self._ends[-1] if self._ends else 0

    def copy(self) -> Ranges:
        """An independent copy."""
        other = Ranges()
        other._starts = list(self._starts)
        other._ends = list(self._ends)
        return other

    def as_list(self) -> list[list[int]]:
        """``[[start, end], …]`` for JSON."""
        return [[start, end] for start, end in self]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        return len(self._starts)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._starts == other._starts and self._ends == other._ends

    def __hash__(self) -> int:
        raise TypeError("Ranges change, so they have no hash")

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"
