"""Gold records -> groups of a window and its keys, with what their measures are made from. Pure pyarrow.

A *partial* is a table with one row a group: the beginning of the window, the keys, and sums, counts and extremes in a
form to which more can be added. Adding is exact and knows no order: records added commit by commit give the same
as all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import Permanent
from core.frame import TIMESTAMP
from store.definition import STATE, Definition, Field
from store.layout import DAY_US
from store.sums import LIMBS, carried, double_means, doubles, limbs, means, sums

BATCH_ROWS = 65_536
GATHERED_ROWS = 262_144
"""Groups that are held before they are combined."""
MOST_GROUPS = 1_000_000
"""Of one day; beyond it an aggregate is refused, because a day is held in memory."""
ROWS = f"{STATE}rows"
START = "window_start"
TIME, SOURCE = "assay_event_time", "assay_source"
Ints = npt.NDArray[np.int64]


class TooManyGroups(Permanent):
    """A day of an aggregate that would not fit into memory."""

    code = "E711"


class Groups:
    """The groups of one day of an aggregate, as records are added.

    Args:
        day: windows that begin on it are counted (days since 1970-01-01).
        partial: what was added before.
    """

    def __init__(self, definition: Definition, day: int, partial: pa.Table | None = None) -> None:
        self.definition = definition
        self.late = 0
        """Records that came after their window was closed."""
        self._day = day
        self._parts: list[pa.Table] = [] if partial is None else [partial]
        self._combined = partial is not None

    def add_file(self, path: Path, closed: Mapping[str, int] | None = None) -> None:
        """Add the records of a Gold file that belong to this day.

        Args:
            closed: source -> a window that ended by then (UTC µs) takes no more of its records.

        Raises:
            OSError: the file cannot be read (no parquet: also).
            TooManyGroups: E711.
        """
        for batch in read(path, wanted(self.definition)):
            self.add(batch, closed)

    def add(self, records: pa.Table, closed: Mapping[str, int] | None = None) -> None:
        """Add n records; the same as ``add_file``."""
        window = self.definition.window
        starts = window.starts(records.column(TIME).cast(pa.int64()).to_numpy())
        mine = starts // DAY_US == self._day
        if closed:
            late = mine & (starts + window.length_us <= _closed(records.column(SOURCE), closed))
            self.late += int(late.sum())
            mine &= ~late
        if not mine.any():
            return
        if not mine.all():
            records, starts = records.filter(pa.array(mine)), starts[mine]
        self._take(_combine(self.definition, _rows(self.definition, records, starts)))

    def partial(self) -> pa.Table:
        """All that was added, one row a group, in order of window and keys."""
        self._gather()
        if not self._parts:
            return _rows(self.definition, self._nothing(), np.empty(0, np.int64))
        names = [START, *(key.name for key in self.definition.keys)]
        return self._parts[0].sort_by([(name, "ascending") for name in names])

    def _take(self, part: pa.Table) -> None:
        self._parts.append(part)
        self._combined = False
        if sum(one.num_rows for one in self._parts) > GATHERED_ROWS:
            self._gather()

    def _gather(self) -> None:
        if not self._combined and len(self._parts) > 1:
            self._parts = [_combine(self.definition, pa.concat_tables(self._parts))]
        self._combined = True
        if self._parts and self._parts[0].num_rows > MOST_GROUPS:
            raise TooManyGroups(
                f"`{self.definition.table}` would have more than {MOST_GROUPS:,} groups in one day: choose keys with "
                "fewer values, or a longer window; it is not kept up any more", facts={"table": self.definition.table},
            )  # fmt: skip

    def _nothing(self) -> pa.Table:
        fields = [(key.name, key.arrow) for key in self.definition.keys]
        fields += [(field.name, field.arrow) for field, _ in self.definition.fields.values()]
        return pa.schema(list(dict(fields).items())).empty_table()


def wanted(definition: Definition) -> dict[str, pa.DataType]:
    """Columns of Gold that an aggregate reads, and what they must be."""
    found = {TIME: TIMESTAMP, SOURCE: pa.string()}
    found |= {key.name: key.arrow for key in definition.keys}
    return found | {field.name: field.arrow for field, _ in definition.fields.values()}


def read(path: Path, columns: Mapping[str, pa.DataType]) -> Iterator[pa.Table]:
    """The records of a table file, some columns only, ``BATCH_ROWS`` at a time.

    A column that the file does not have, or that holds another type which does not fit, is null.

    Raises:
        OSError: the file is gone or cannot be read.
    """
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, columns=there, use_threads=False):
                yield pa.table({
                    name: _as(batch.column(name), kind) if name in there else pa.nulls(batch.num_rows, kind)
                    for name, kind in columns.items()
                })  # fmt: skip
    except pa.ArrowInvalid as error:
        raise OSError(f"`{path}` is no table file of Assay: {error}") from error


def results(definition: Definition, partial: pa.Table, commit: int) -> pa.Table:
    """The table's own columns of a partial, and behind them the partial itself."""
    starts = partial.column(START)
    columns = [starts.cast(TIMESTAMP), pc.add(starts, definition.window.length_us).cast(TIMESTAMP)]
    columns += [partial.column(key.name) for key in definition.keys]
    columns += [_result(definition, partial, at) for at in range(len(definition.measures))]
    rows = partial.num_rows
    columns += [
        pa.array(np.full(rows, commit, np.int64)),
        pa.array([definition.version] * rows, pa.string()),
    ]
    table = pa.table(columns, schema=definition.schema)
    for name in partial.column_names:
        if name.startswith(STATE):
            table = table.append_column(name, partial.column(name))
    return table


def partial_of(definition: Definition, table: pa.Table) -> pa.Table:
    """The other way round: what can be added to, from a file of this very definition."""
    names = [START, *(key.name for key in definition.keys)]
    names += [name for name in table.column_names if name.startswith(STATE)]
    return table.select(names).set_column(0, START, table.column(START).cast(pa.int64()))


def _as(column: Any, kind: pa.DataType) -> Any:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column), kind)


def _closed(sources: Any, closed: Mapping[str, int]) -> Ints:
    """Of each record: until when windows are closed for its source."""
    coded = sources.combine_chunks().dictionary_encode()
    by_code = np.array(
        [closed.get(name, np.iinfo(np.int64).min) for name in coded.dictionary.to_pylist()], np.int64
    )
    found: Ints = by_code[coded.indices.to_numpy(zero_copy_only=False)]
    return found


def _rows(definition: Definition, records: pa.Table, starts: Ints) -> pa.Table:
    """Each record as a group of its own."""
    found: dict[str, Any] = {START: starts}
    found |= {key.name: records.column(key.name) for key in definition.keys}
    found[ROWS] = np.ones(len(starts), np.int64)
    for at, (field, functions) in enumerate(definition.fields.values()):
        found |= {f"{STATE}{at}_{part}": column for part, column in _parts(field, functions, records)}
    return pa.table(found)


def _parts(field: Field, functions: Iterable[str], records: pa.Table) -> Iterator[tuple[str, Any]]:
    """What measures of a field are made from."""
    values = records.column(field.name).combine_chunks()
    functions = set(functions)
    if functions & {"count", "sum", "avg"}:
        yield "n", values.is_valid().cast(pa.int64())
    if functions & {"sum", "avg"}:
        if field.holds == "number":
            yield "high", pc.fill_null(values, 0.0)
            yield "low", np.zeros(len(values))
        else:
            yield from ((f"limb{at}", limb) for at, limb in enumerate(limbs(values, field.holds)))
    for extreme in sorted(functions & {"min", "max"}):
        yield extreme, values


def _combine(definition: Definition, parts: pa.Table) -> pa.Table:
    """One row a group."""
    keys = [START, *(key.name for key in definition.keys)]
    how = {name: _how(name) for name in parts.column_names if name not in keys}
    found = parts.group_by(keys, use_threads=False).aggregate(list(how.items()))
    columns = {name: found.column(name) for name in keys}
    columns |= {name: found.column(f"{name}_{function}") for name, function in how.items()}
    for at, (field, functions) in enumerate(definition.fields.values()):
        if not functions & {"sum", "avg"}:
            continue
        head = f"{STATE}{at}_"
        if field.holds == "number":
            high, low = doubles(columns[f"{head}high"], columns[f"{head}low"])
            columns |= {f"{head}high": pa.chunked_array([high]), f"{head}low": pa.chunked_array([low])}
        else:
            for place, limb in enumerate(carried(_limbs(columns.__getitem__, head, field.holds))):
                columns[f"{head}limb{place}"] = pa.chunked_array([limb])
    return pa.table(columns)


def _how(name: str) -> str:
    part = name.rpartition("_")[2]
    return part if part in {"min", "max"} else "list" if part in {"high", "low"} else "sum"


def _limbs(column: Callable[[str], Any], head: str, holds: str) -> list[Ints]:
    return [column(f"{head}limb{at}").to_numpy() for at in range(LIMBS[holds])]


def _result(definition: Definition, partial: pa.Table, at: int) -> Any:
    """The column of one measure."""
    measure = definition.measures[at]
    if measure.of is None:
        return partial.column(ROWS)
    head = f"{STATE}{list(definition.fields).index(measure.of.name)}_"
    if measure.function in {"min", "max"}:
        return partial.column(f"{head}{measure.function}")
    count = partial.column(f"{head}n")
    if measure.function == "count":
        return count
    n = count.to_numpy()
    if measure.of.holds == "number":
        value = partial.column(f"{head}high").to_numpy()
        if measure.function == "avg":
            value = double_means(value, partial.column(f"{head}low").to_numpy(), n)
        return pa.array(value, pa.float64(), mask=(n == 0) | ~np.isfinite(value))
    parts = _limbs(partial.column, head, measure.of.holds)
    if measure.function == "avg":
        return means(parts, measure.of.scale, n)
    return sums(parts, measure.of.holds, measure.of.scale, n == 0)
