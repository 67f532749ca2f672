"""Ranges, numbers and what is remembered of a table: every row once, whatever ends in between. No database."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from actors.sources.identity import partition_of
from bridge.engine.rows import Shape, Stretch, TableReader
from bridge.engine.table_walk import Limits, TableWalk
from bridge.engine.walk import Axis, cut, cut_between, missing, without
from core.batch import Batch, Resume
from core.errors import ConfigError, Permanent
from core.ranges import Ranges
from store.staged import StagedPart

WHOLE = Axis("id", "whole")
LIMITS = Limits(None, None, 0, 7, 2)


def test_pieces_hold_all_gaps_and_nothing_twice() -> None:
    chance = random.Random(3)
    for _ in range(200):
        ends = sorted(chance.sample(range(-500, 500), 2 * chance.randint(1, 6)))
        gaps = list(zip(ends[::2], ends[1::2], strict=True))
        for bridging in (True, False):
            pieces = cut_between(
                gaps,
                chance.randint(1, 9),
                chance.choice([None, -100]),
                chance.choice([None, 90]),
                bridging=bridging,
            )
            assert all(a < b for a, b in pieces)
            assert all(one[1] <= other[0] for one, other in itertools.pairwise(pieces))
            held = Ranges(pieces)
            assert all(held.covers(a, b) for a, b in gaps)
            if not bridging:
                assert held == Ranges(gaps)


def test_a_hole_of_a_million_does_not_make_a_million_pieces() -> None:
    assert cut([(0, 10), (10**12, 10**12 + 10)], 2, bridging=False) == [(0, 10), (10**12, 10**12 + 10)]


@pytest.mark.parametrize(
    ("axis", "value", "column"),
    [
        pytest.param(WHOLE, "-17", pa.array([-17], pa.int16()), id="whole"),
        pytest.param(WHOLE, "17", pa.array([Decimal(17)], pa.decimal128(20, 0)), id="unsigned"),
        pytest.param(Axis("n", "decimal"), "-1.50", pa.array(["-1.50"]), id="decimal"),
        pytest.param(Axis("d", "date"), "1969-12-31", pa.array([date(1969, 12, 31)]), id="date"),
        pytest.param(
            Axis("t", "instant"), "2024-01-02 03:04:05.123456",
            pa.array([datetime(2024, 1, 2, 3, 4, 5, 123456, UTC)], pa.timestamp("us", "UTC")), id="instant",
        ),
        pytest.param(
            Axis("t", "instant", zoned=True), "2024-01-02 05:04:05.5+02",
            pa.array([datetime(2024, 1, 2, 3, 4, 5, 500000, UTC)], pa.timestamp("us", "UTC")), id="zoned",
        ),
    ],
)  # fmt: skip
def test_a_place_is_the_same_read_as_text_or_from_a_row(axis: Axis, value: str, column: pa.Array) -> None:
    (place,) = axis.places(column).tolist()
    assert axis.place(value) == place
    assert (
        axis.place(
            axis.literal(place)
            .removeprefix("TIMESTAMP WITH TIME ZONE ")
            .removeprefix("TIMESTAMP ")
            .removeprefix("DATE ")
            .strip("'")
        )
        == place
    )


@pytest.mark.parametrize("value", ["infinity", "NaN", "0000-00-00", "99999999999-01-01", "1/0"])
def test_a_value_without_place_is_named(value: str) -> None:
    for scale in ("whole", "decimal", "date", "instant"):
        with pytest.raises(ConfigError, match=f"`{value}`") as refused:
            Axis("at", scale).place(value)
        assert refused.value.code == "E419"


def test_a_lookback_fits_the_scale() -> None:
    assert Axis("t", "instant").back("2 seconds") == 2_000_000
    assert Axis("d", "date").back("36 hours") == 2
    assert WHOLE.back(100) == 100
    with pytest.raises(ConfigError, match="dates or instants") as refused:
        WHOLE.back("1 day")
    assert refused.value.code == "E410"


# --- a table that grows, and runs that die ------------------------------------------------------------------------


@dataclass
class Table:
    """Rows (place, key) in memory, and a data directory that is only a resume point."""

    by_key: bool
    lookback: int = 0
    rows: set[tuple[int, int]] = field(default_factory=set)
    delivered: list[tuple[str, int, int]] = field(default_factory=list)
    """(id, place, key)"""
    resume: Resume = field(default_factory=Resume)
    repeats: int = 0
    commits: int = 0

    def run(self, die: random.Random | None = None) -> None:
        """One run; with ``die`` it may end before or after any commit."""
        walk = TableWalk("t", WHOLE, Limits(None, None, self.lookback, 7, 2), by_key=self.by_key)
        walk.restore(self.resume)
        if not self.rows:
            return
        places = [place for place, _ in self.rows]
        gaps = walk.begin(min(places), max(places) + 1)
        if gaps:
            walk.cut(gaps, len(self.rows))
        while stretches := walk.next():
            shape = Shape("t", ("id", "n"), 1, WHOLE, self.by_key, mark=walk.mark())
            reader = walk.reader(stretches, shape)
            batches = [batch for one in stretches for batch in reader.batches(one, self._read(one))]
            if die and die.random() < 0.2:
                return
            self._commit(walk, stretches, batches)
            if die and die.random() < 0.2:
                return

    def _read(self, stretch: Stretch) -> Iterator[pa.RecordBatch]:
        found = sorted(row for row in self.rows if stretch.low <= row[0] < stretch.high)
        for start in range(0, len(found), 3):
            some = found[start : start + 3]
            places, keys = [place for place, _ in some], [key for _, key in some]
            yield pa.RecordBatch.from_arrays(
                [pa.array(places), pa.array(keys), pa.array(keys), pa.array(places)], names=list("abcd")
            )

    def _commit(self, walk: TableWalk, stretches: Sequence[Stretch], batches: Sequence[Batch]) -> None:
        part = StagedPart()
        coverage = {name: ranges.copy() for name, ranges in self.resume.coverage.items()}
        for batch in batches:
            self.repeats += batch.repeats
            part.attachments.update(batch.attachments)
            part.marks[batch.partition] = batch.mark
            stored = coverage.setdefault(batch.partition, Ranges())
            rows = Ranges(zip(batch.ordinals.to_pylist(), batch.ends.to_pylist(), strict=True))
            for low, high in [*batch.covers, *rows]:
                part.covers.append((batch.partition, low, high))
            for ordinal, raw, position in zip(
                batch.ordinals.to_pylist(), batch.raw.to_pylist(), batch.positions.to_pylist(), strict=True
            ):
                assert not stored.overlaps(ordinal, ordinal + 1), "the writer would leave it out"
                document = json.loads(raw)
                assert json.loads(position) == {"table": "t", "key": document["n"]}
                self.delivered.append((f"{batch.partition}.{ordinal}", document["id"], document["n"]))
        marks, attachments = dict(self.resume.marks), dict(self.resume.attachments)
        for one in [part, *walk.settle(stretches, [part])]:
            for name, low, high in one.covers:
                coverage.setdefault(name, Ranges()).add(low, high)
            marks.update(one.marks)
            attachments.update(one.attachments)
        if part.covers:
            self.commits += 1
            self.resume = Resume(coverage, marks, attachments)


@pytest.mark.parametrize("by_key", [True, False], ids=["key", "position"])
@pytest.mark.parametrize("seed", range(12))
def test_every_row_is_delivered_once_across_kills_and_growth(by_key: bool, seed: int) -> None:
    """New rows come behind the last value, at it (ties, by position), and up to ``lookback`` before it."""
    chance = random.Random(seed)
    back = chance.choice([0, 5, 30])
    table = Table(by_key, back)
    key = 0
    for _ in range(8):
        top = max((place for place, _ in table.rows), default=0)
        for _ in range(chance.randint(0, 40)):
            key += 1
            seen = by_key and back == 0
            place = chance.randint(top + 1 if seen else top - back + (1 if by_key else 0), top + 60)
            if not table.rows:
                place = chance.randint(-40, 40)
            if not by_key or all(place != known for known, _ in table.rows):
                table.rows.add((place, place if by_key else key))
        for _ in range(3):
            table.run(die=chance)
        table.run()
    table.run()
    assert sorted((place, key) for _, place, key in table.delivered) == sorted(table.rows)
    assert len({one for one, _, _ in table.delivered}) == len(table.delivered)


def test_by_key_the_id_is_the_key_whatever_the_ranges() -> None:
    one, other = Table(True), Table(True)
    one.rows = other.rows = {(place, place) for place in range(-30, 60, 3)}
    one.run()
    chance = random.Random(1)
    for _ in range(20):
        other.run(die=chance)
    assert sorted(one.delivered) == sorted(other.delivered)
    assert (f"{partition_of('t')}.6", 6, 6) in one.delivered
    assert (f"{partition_of('t', 'negative')}.2", -3, -3) in one.delivered
    assert one.resume.coverage[partition_of("t")] == Ranges([(0, 58)])


def test_nothing_new_commits_nothing() -> None:
    for by_key in (True, False):
        table = Table(by_key, lookback=10)
        table.rows = {(place, place) for place in range(40)}
        table.run()
        commits = table.commits
        table.run()
        assert table.commits == commits
    assert table.repeats > 0, "the look-back window was read again"


def test_a_row_that_is_not_where_it_was_asked_for_is_refused() -> None:
    shape = Shape("t", ("id",), 1, WHOLE, True)
    rows = pa.RecordBatch.from_arrays([pa.array([5, 50])] * 3, names=list("abc"))
    with pytest.raises(Permanent, match="from 5 to 50"):
        list(TableReader(shape, ()).batches(Stretch(0, 10, "p"), iter([rows])))


def test_another_key_or_query_under_the_same_name_is_refused() -> None:
    table = Table(False)
    table.rows = {(place, place) for place in range(9)}
    table.run()
    with pytest.raises(ConfigError, match="another key") as refused:
        TableWalk("t", WHOLE, LIMITS, by_key=True).restore(table.resume)
    assert refused.value.code == "E441"
    with pytest.raises(ConfigError, match="another partition column"):
        TableWalk("t", Axis("at", "instant"), LIMITS, by_key=False).restore(table.resume)
    with pytest.raises(Permanent, match="known rows"):
        TableWalk("t", WHOLE, LIMITS, by_key=False).restore(Resume(table.resume.coverage, table.resume.marks))


def test_a_back_fill_takes_its_places_and_the_next_run_the_rest() -> None:
    walk = TableWalk("t", WHOLE, LIMITS, by_key=False)
    walk.restore(Resume())
    assert walk.begin(0, 100, within=(20, 40)) == [(20, 40)]
    walk.cut([(20, 40)], 20)
    stretches = walk.next() + walk.next()
    (part,) = walk.settle(stretches, [])
    after = TableWalk("t", WHOLE, LIMITS, by_key=False)
    after.restore(Resume(marks=part.marks, attachments=part.attachments))
    assert after.begin(0, 100) == [(0, 20), (40, 100)]
    assert missing(without(Ranges([(0, 9)]), 3, 5), 0, 9) == [(3, 5)]
