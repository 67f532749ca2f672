"""SQLite behind the SQL source: one read-only connection in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from actors.sources.sql_names import Column, Table
from core.errors import Permanent, SourceUnavailable

T = TypeVar("T")
Row = tuple[Any, ...]
BUSY_TIMEOUT_S = 5.0
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)").fullmatch


class Sqlite:
    """See ``actors.sources.sql.Database``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def connect(self) -> None:
        """Open read-only; a missing file is not created."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="source-sqlite")
        await self._run(self._connect)

    async def tables(self) -> list[str]:
        """Tables and views."""
        found = await self.rows(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        )
        return [name for (name,) in found]

    async def table(self, name: str) -> Table:
        """Columns of a table that ``tables`` listed, and those that an index begins with."""
        quoted = self.quoted(name)
        columns = await self.rows(f"PRAGMA table_info({quoted})")
        indexed = {found[1] for found in columns if found[5] == 1 and "INT" in str(found[2]).upper()}
        for index in await self.rows(f"PRAGMA index_list({quoted})"):
            parts = await self.rows(f"PRAGMA index_info({self.quoted(index[1])})")
            indexed |= {part[2] for part in parts if part[0] == 0}
        is_view = not await self.rows(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
        )
        made = tuple(Column(found[1], _as_json(str(found[2]).upper())) for found in columns)
        return Table(name, made, None if is_view else frozenset(indexed))

    async def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement, which is one read transaction."""
        return await self._run(lambda: self._fetch(statement, values))

    def quoted(self, name: str) -> str:
        """An identifier in a statement; only names the catalogue listed come here."""
        return '"' + name.replace('"', '""') + '"'

    def ordered(self, name: str) -> str:
        """A column where order counts: text by its bytes, whatever collation it was declared with."""
        return self.quoted(name) + " COLLATE BINARY"

    def place(self, number: int) -> str:
        """The placeholder of the n-th value, from 1."""
        return f"?{number}"

    async def close(self) -> None:
        """Interrupts what is running; safe twice."""
        connection, self._connection = self._connection, None
        thread, self._thread = self._thread, None
        if connection is not None:
            connection.interrupt()
        if thread is not None:
            if connection is not None:
                await asyncio.get_running_loop().run_in_executor(thread, connection.close)
            thread.shutdown()

    def _connect(self) -> None:
        if not self._path.exists():
            raise SourceUnavailable(f"there is no database file `{self._path}`; check `url`", "E401")
        place = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        try:
            self._connection = sqlite3.connect(
                place, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.OperationalError as error:
            raise SourceUnavailable(f"`{self._path}` cannot be opened: {error}", "E401") from error
        self._connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")

    def _fetch(self, statement: str, values: Sequence[Any]) -> list[Row]:
        if self._connection is None:
            raise SourceUnavailable(f"`{self._path}` is not open", "E401")
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            raise SourceUnavailable(f"`{self._path}` cannot be read now: {error}", "E402") from error
        except UnicodeEncodeError as error:
            raise Permanent(
                f"`{self._path}` has a cursor or key that is not UTF-8; choose another", "E409"
            ) from error
        except sqlite3.DatabaseError as error:
            raise Permanent(f"`{self._path}` is no SQLite database: {error}", "E403") from error

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise SourceUnavailable(f"`{self._path}` is not open", "E401")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _as_json(declared: str) -> Callable[[Any], Any] | None:
    """SQLite has no booleans and no instants: what a column was declared as says which numbers and texts are some."""
    if declared.startswith("BOOL"):
        return lambda value: bool(value) if value in (0, 1) else value
    if declared.startswith(("DATETIME", "TIMESTAMP")):
        return _instant
    return None


def _instant(value: Any) -> Any:
    match = _INSTANT(value) if isinstance(value, str) else None
    return f"{match[1]}T{match[2]}Z" if match else value
