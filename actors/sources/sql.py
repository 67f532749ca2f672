"""A table read incrementally by (cursor, key): nothing lost at ties or, within the look-back, at late commits.

A pass takes an upper bound from one snapshot, then reads ``cursor >= last - lookback`` up to it in pages. Rows whose
(key, cursor, row) is known were delivered before and are repeats. What is known travels with every batch, so cursor and
list are committed with the rows they describe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from actors.sources.chunk import TRUNCATED_TO, int64_array, size_reason
from actors.sources.identity import partition_of
from actors.sources.json_values import json_row, json_value, text
from actors.sources.sql_known import Known, below, digest, earlier, seconds_of
from actors.sources.sql_names import Column, Table, exact_columns, exact_table
from config.models import SqlSettings
from core.batch import Batch, Mark, Reason, Resume
from core.errors import ConfigError, Permanent
from core.ports import SourceStatistics
from core.signals import Signal, signal
from core.span import Span

Row = tuple[Any, ...]


class Database(Protocol):
    """What one kind of database adds. Statements have only names that its catalogue listed."""

    async def connect(self) -> None:
        """Raises SourceUnavailable."""

    async def tables(self) -> list[str]:
        """Names of tables and views."""

    async def table(self, name: str) -> Table:
        """One of them."""

    async def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """One statement, one snapshot. Raises SourceUnavailable, Permanent."""

    def quoted(self, name: str) -> str:
        """An identifier as statements write it."""

    def ordered(self, name: str) -> str:
        """A column where order counts; it must be Python's: text by its bytes."""

    def place(self, number: int) -> str:
        """A placeholder, counted from 1."""

    async def close(self) -> None:
        """Safe twice."""


class SqlSource:
    """See ``core.ports.Source``. One partition a table; ordinals are counted."""

    def __init__(
        self,
        name: str,
        settings: SqlSettings,
        *,
        follow: bool,
        span: Span | None,
        fields: Mapping[str, frozenset[str]],
        say: Callable[[Signal], None],
    ) -> None:
        self._name, self._settings, self._follow, self._span, self._tell = name, settings, follow, span, say
        self._lookback = seconds_of(settings.lookback)
        self._partition = partition_of(settings.table)
        self._database: Database | None = None
        self._pending: asyncio.Task[Batch | None] | None = None
        self._known = Known()
        self._ordinal = 0
        self._pass: _Pass | None = None
        self._repeats = 0
        self._read = 0
        self._left: int | None = None
        self._offered: dict[int, tuple[Any, bytes]] = {}
        self._nulls = 0
        self._count_at = 0.0
        self._drained = False

    # --- the contract ---------------------------------------------------------------------------------------------

    async def open(self, resume: Resume) -> None:
        """Connect and look at the table. E401–E408."""
        self._database = database_of(self._settings.url.get_secret_value())
        await self._database.connect()
        await self._learn(self._database)
        covered = resume.coverage.get(self._partition)
        self._ordinal = covered.end if covered else 0
        self._pass, self._repeats, self._drained = None, 0, False
        self._known = self._remembered(resume)

    async def read(self) -> Batch | None:
        """See ``core.ports.Source``. One pass in batch; when following, one every ``poll_interval_s``."""
        while True:
            if self._pending is None:
                self._pending = asyncio.create_task(self._next())
            pending = self._pending
            await asyncio.wait([pending])  # cancelled here, the page stays pending
            self._pending = None
            batch = pending.result()
            if batch is not None or not self._follow:
                return batch
            await asyncio.sleep(self._settings.poll_interval_s)

    async def ack(self, marks: Mapping[str, Mark]) -> None:
        """Nothing to do: what is known is committed with the rows."""

    async def close(self) -> None:
        """Interrupts a running statement."""
        pending, self._pending = self._pending, None
        database, self._database = self._database, None
        if database is not None:
            await database.close()
        if pending is not None:
            pending.cancel()
            await asyncio.wait([pending])
            if not pending.cancelled():
                pending.exception()

    def statistics(self) -> SourceStatistics:
        """The lag is what the last pass found beyond the cursor, less what was read since."""
        last = self._known.last
        return SourceStatistics(
            lag_records=self._left, partitions=1,
            detail=f"cursor {last[0]}" if last else "nothing read yet",
        )  # fmt: skip

    def narrowed(self, batch: Batch, kept: Sequence[int]) -> Mapping[str, bytes]:
        """The attachments of a batch of which only the rows ``kept`` (indices) are stored: a bounded run.

        The cursor does not move in such a run; these rows are remembered instead, the others stay to be read.
        """
        first = int(batch.ordinals[0].as_py()) if len(batch) else self._ordinal
        for index in kept:
            cursor, seen = self._offered.pop(first + index)
            self._known.rows[seen] = cursor
        for ordinal in range(first, first + len(batch)):
            self._offered.pop(ordinal, None)
        return {"known": self._known.encode()}

    # --- what the table is ----------------------------------------------------------------------------------------

    async def _learn(self, database: Database) -> None:
        settings = self._settings
        self._table = await database.table(exact_table(settings.table, await database.tables()))
        self._key = exact_columns(settings.key, self._table, "key column", "E406")
        self._cursor = (
            exact_columns([settings.cursor], self._table, "cursor column")[0]
            if settings.cursor
            else self._key[0]
        )
        chosen = (
            exact_columns(settings.columns, self._table, "column")
            if settings.columns
            else list(self._table.columns)
        )
        self._columns: list[Column] = chosen
        self._names = tuple(text(column.name) for column in chosen)
        if self._table.indexed is not None and self._cursor.name not in self._table.indexed:
            message = f"no index of table `{self._table.name}` begins with `{self._cursor.name}`; every look reads all of it"
            self._say("assay.source.slow", message)

    def _remembered(self, resume: Resume) -> Known:
        if "known" in resume.attachments:
            return Known.decode(resume.attachments["known"])
        if self._ordinal:
            message = f"the list of known rows of table `{self._table.name}` is missing; without it rows would be doubled"
            raise Permanent(message + ", so restore `commits/attachments`", "E911")
        return Known()

    # --- reading --------------------------------------------------------------------------------------------------

    async def _next(self) -> Batch | None:
        """The next page that has something new; None at the end of the pass."""
        assert self._database is not None, "read before open"
        if self._pass is None and self._drained and not self._follow:
            return None  # one pass, and no further look at what came meanwhile
        if self._pass is None:
            await self._count_rows(self._database)
            self._pass = await self._begin(self._database)
        while (at := self._pass) is not None:
            batch = self._batch(await self._page(self._database, at), at)
            if at.ended:
                self._pass, self._left, self._drained = None, 0, True
            if batch is not None:
                return batch
        return None

    async def _begin(self, database: Database) -> _Pass | None:
        """A bound of one snapshot, and where to begin; None if the table has no rows that can be read."""
        cursor, table = database.ordered(self._cursor.name), database.quoted(self._table.name)
        ((bound,),) = await database.rows(f"SELECT max({cursor}) FROM {table}")
        if bound is None:
            return None
        if isinstance(bound, bytes):
            raise ConfigError(
                f"cursor column `{self._cursor.name}` holds bytes; choose one of numbers, text or instants",
                "E409",
            )
        last = self._known.last
        return _Pass(bound, earlier(last[0], self._lookback) if last else None, self._settings.chunk_rows)

    async def _page(self, database: Database, at: _Pass) -> list[Row]:
        """Rows in the order (cursor, key) from ``at`` on; the row paging stands at comes again, and is known."""
        order = [database.ordered(column.name) for column in self._order]
        columns = [database.quoted(column.name) for column in (*self._order, *self._columns)]
        where = [f"{order[0]} <= {database.place(1)}", *(f"{name} IS NOT NULL" for name in order)]
        values: list[Any] = [at.bound]
        if at.after is not None:
            places = ", ".join(database.place(2 + i) for i in range(len(order)))
            where.append(f"({', '.join(order)}) >= ({places})")
            values += at.after
        elif at.since is not None:
            where.append(f"{order[0]} >= {database.place(2)}")
            values.append(at.since)
        statement = (
            f"SELECT {', '.join(columns)} FROM {database.quoted(self._table.name)} WHERE {' AND '.join(where)} "
            f"ORDER BY {', '.join(order)} LIMIT {at.rows}"
        )
        page = await database.rows(statement, values)
        at.ended, at.began = len(page) < at.rows, at.after
        if page:
            here = page[-1][: len(order)]
            # a page that ends where it began holds nothing but one (cursor, key): take a larger one
            at.rows = at.rows * 2 if here == at.after and not at.ended else self._settings.chunk_rows + 1
            at.after = here
        return page

    @property
    def _order(self) -> list[Column]:
        return [self._cursor, *(column for column in self._key if column is not self._cursor)]

    def _batch(self, page: list[Row], at: _Pass) -> Batch | None:
        """The rows of a page that are not known; None if there are none."""
        width = len(self._order)
        raw: list[bytes] = []
        positions: list[str] = []
        refused: dict[int, Reason] = {}
        before = self._ordinal
        own = [column.as_json for column in self._columns]
        for row in page:
            values = tuple(
                made(value) if made else value for made, value in zip(own, row[width:], strict=True)
            )
            document = json_row(self._names, values)
            key = self._key_of(row)
            seen = digest(key, row[0], document)
            if seen in self._known.rows or seen in at.offered:
                self._repeats += row[:width] != at.began
                continue
            self._take(row[:width], seen, at)
            if len(document) > self._settings.max_record_bytes:
                refused[len(raw)] = size_reason(len(document), self._settings.max_record_bytes)
                document = document[: min(TRUNCATED_TO, self._settings.max_record_bytes)]
            raw.append(document)
            positions.append(self._position(key))
        if not raw:
            return None
        self._read += len(raw)
        if self._left is not None:
            self._left = max(0, self._left - len(raw))
        if self._span is None and self._known.last is not None:
            self._known.forget_before(earlier(self._known.last[0], self._lookback))
        repeats, self._repeats = self._repeats, 0
        numbers = np.arange(before, self._ordinal, dtype=np.int64)
        return Batch(
            partition=self._partition, ordinals=int64_array(numbers), ends=int64_array(numbers + 1),
            raw=pa.array(raw, pa.large_binary()), positions=pa.array(positions, pa.string()),
            covers=((before, self._ordinal),), mark=self._mark(), content_type="application/json",
            refused=refused, attachments={"known": self._known.encode()}, repeats=repeats,
        )  # fmt: skip

    def _take(self, place: Row, seen: bytes, at: _Pass) -> None:
        if self._span is None:
            self._known.rows[seen] = place[0]
            last = self._known.last
            if last is None or not _before(place, last):
                self._known.last = place
        else:
            self._offered[self._ordinal] = (place[0], seen)
            at.offered.add(seen)
        self._ordinal += 1

    def _key_of(self, row: Row) -> Row:
        names = [column.name for column in self._order]
        return tuple(row[names.index(column.name)] for column in self._key)

    def _position(self, key: Row) -> str:
        shown = json_value(key[0] if len(key) == 1 else list(key))
        return f'{{"table":{text(self._table.name)},"key":{shown}}}'

    def _mark(self) -> Mark:
        last = self._known.last
        return {"table": self._table.name, "cursor": str(last[0]) if last else None, "rows": self._ordinal}

    # --- what it says ---------------------------------------------------------------------------------------------

    async def _count_rows(self, database: Database) -> None:
        """Rows without cursor or key cannot be read this way: say how many, when that changes. At most 1 % of the time."""
        began = time.monotonic()
        if began < self._count_at:
            return
        missing = " OR ".join(f"{database.quoted(column.name)} IS NULL" for column in self._order)
        ((nulls,),) = await database.rows(
            f"SELECT count(*) FROM {database.quoted(self._table.name)} WHERE {missing}"
        )
        last = self._known.last
        beyond = f" AND {database.ordered(self._cursor.name)} > {database.place(1)}" if last else ""
        readable = " AND ".join(f"{database.quoted(column.name)} IS NOT NULL" for column in self._order)
        counted = f"SELECT count(*) FROM {database.quoted(self._table.name)} WHERE {readable}{beyond}"
        ((self._left,),) = await database.rows(counted, last[:1] if last else ())
        self._count_at = time.monotonic() + 100 * (time.monotonic() - began)
        if nulls != self._nulls:
            self._nulls = nulls
            names = " or ".join(f"`{column.name}`" for column in self._order)
            message = f"{nulls} rows of table `{self._table.name}` have no {names} and cannot be read by it"
            self._say("assay.source.unreadable", message, rows=nulls)

    def _say(self, kind: str, message: str, **facts: Any) -> None:
        self._tell(
            signal(
                kind, self._settings.table, message, source=f"/sources/{self._name}", level="warning", **facts
            )
        )


class _Pass:
    """One walk through the table, up to a bound."""

    def __init__(self, bound: Any, since: Any, rows: int) -> None:
        self.bound, self.since, self.rows = bound, since, rows
        self.after: Row | None = None
        self.began: Row | None = None
        self.ended = False
        self.offered: set[bytes] = set()


def _before(one: Row, other: Row) -> bool:
    for left, right in zip(one, other, strict=True):
        if left != right:
            return below(left, right)
    return False


def database_of(url: str) -> Database:
    """The driver for an address.

    Raises:
        ConfigError: E408 no driver for it; the address is never shown, it may hold a password.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        from actors.sources.sqlite import Sqlite

        return Sqlite(Path(rest[1:]))
    raise ConfigError(
        f"`url` begins with `{scheme}://`, which no driver reads; write `sqlite:///path/to.db`", "E408"
    )
