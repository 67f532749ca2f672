"""A database through its JDBC driver in Spark's JVM: columns, bounds, and the DataFrame of some ranges. Blocking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from actors.sources.sql_names import Column as Name
from actors.sources.sql_names import Table as Names
from actors.sources.sql_names import exact_columns, exact_table
from bridge.engine.jdbc_address import Address, Product
from bridge.engine.jdbc_errors import Cause, causes_in, translated
from bridge.engine.walk import Axis, Scale
from core.errors import AssayError, ConfigError

_WHOLE, _EXACT = {-6, 5, 4, -5}, {2, 3}
_DATE, _TIMESTAMP, _ZONED = 91, 93, 2014
_PLAIN = {
    -7, 16, 6, 7, 8, -16, -9, -1, 12, -4, -3, -2, 2004, 2005, 2011, *_WHOLE, _DATE, _TIMESTAMP, _ZONED,
}  # fmt: skip
"""java.sql.Types that Spark's reader brings as they are. Not CHAR: Spark would fill it up with spaces."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the driver describes it."""

    name: str
    kind: int
    """java.sql.Types"""
    type: str
    """The database's own word."""
    precision: int
    scale: int
    nullable: bool

    @property
    def shown(self) -> Literal["number", "json"] | None:
        """What its text is, where it is no JSON string."""
        if self.kind in _EXACT:
            return "number"
        return "json" if self.type.lower() in {"json", "jsonb"} or self.kind in {2002, 2003} else None

    def projected(self, quoted: str, product: Product) -> str:
        """The column as it is selected: exact numbers and what Spark has no type for as text."""
        if product == "other" or (self.kind in _PLAIN and self.shown is None):
            return quoted
        kind = "text" if product == "postgresql" else "char"
        if product == "postgresql" and self.kind in {2002, 2003}:
            quoted = f"to_json({quoted})"
        return f"CAST({quoted} AS {kind})"

    def axis(self) -> Axis:
        """Its scale.

        Raises:
            ConfigError: E419 it has none.
        """
        scale: Scale | None = None
        if self.kind in _WHOLE or (self.kind in _EXACT and self.scale == 0 and 0 < self.precision <= 18):
            scale = "whole"
        elif self.kind in _EXACT:
            scale = "decimal"
        elif self.kind == _DATE:
            scale = "date"
        elif self.kind in {_TIMESTAMP, _ZONED}:
            scale = "instant"
        if scale is None:
            raise ConfigError(
                f"column `{self.name}` has the type {self.type}, which cannot be cut into ranges; name a `partition_column` of whole"
                " numbers, decimals, dates or instants", "E419",
            )  # fmt: skip
        return Axis(self.name, scale, zoned=self.kind == _ZONED or self.type == "timestamptz")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is selected of a table or query, and under which names: the record's columns, the key, the axis."""

    source: str
    """What stands behind FROM."""
    record: tuple[Column, ...]
    key: tuple[Column, ...]
    axis: Column


class Database:
    """One database, in the JVM of a Spark session.

    Args:
        what: the table or query in words, for messages.
    """

    def __init__(self, spark: Any, address: Address, what: str) -> None:
        self._spark, self.address, self._what = spark, address, what
        self._connection: Any = None

    def close(self) -> None:
        """Let go of the connection; safe twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with self.translating():
                connection.close()

    def columns(self, source: str) -> list[Column]:
        """The columns of what stands behind FROM."""
        with self.translating():
            statement = self._connected().prepareStatement(f"SELECT * FROM {source} WHERE 1 = 0")
            try:
                found = statement.executeQuery().getMetaData()
                return [
                    Column(
                        found.getColumnLabel(i), found.getColumnType(i), found.getColumnTypeName(i), found.getPrecision(i),
                        found.getScale(i), found.isNullable(i) != 0,
                    )
                    for i in range(1, found.getColumnCount() + 1)
                ]  # fmt: skip
            finally:
                statement.close()

    def row(self, statement: str) -> list[str | None]:
        """The first row of a statement, as text."""
        with self.translating():
            open_statement = self._connected().createStatement()
            try:
                rows = open_statement.executeQuery(statement)
                width = rows.getMetaData().getColumnCount()
                return [rows.getString(i) for i in range(1, width + 1)] if rows.next() else []
            finally:
                open_statement.close()

    def table(self, wanted: str) -> str:
        """A table's name as statements write it.

        Raises:
            ConfigError: E404, with near names.
        """
        quoted = ".".join(self.address.quoted(part) for part in wanted.split("."))
        try:
            self.row(f"SELECT 1 FROM {quoted} WHERE 1 = 0")
        except ConfigError as error:
            if error.code == "E404" and self.address.product != "other":
                exact_table(wanted, self._tables())  # raises, if it names the near ones
            raise
        return quoted

    def _tables(self) -> list[str]:
        here = "current_schema()" if self.address.product == "postgresql" else "database()"
        hidden = "('pg_catalog', 'information_schema', 'mysql', 'performance_schema', 'sys')"
        found = []
        with self.translating():
            rows = self._connected().createStatement().executeQuery(
                f"SELECT table_schema, table_name, table_schema = {here} FROM information_schema.tables"
                f" WHERE table_schema NOT IN {hidden} ORDER BY 3 DESC, 1, 2 LIMIT 2000"
            )  # fmt: skip
            while rows.next():
                schema, name, mine = rows.getString(1), rows.getString(2), rows.getBoolean(3)
                found.append(name if mine else f"{schema}.{name}")
        return found

    def select(self, wanted: Wanted, also: str = "") -> str:
        """``wanted`` as a statement: columns ``r0…``, ``k0…``, ``w`` (as the tasks read it) and ``p`` (for conditions)."""
        quoted, product = self.address.quoted, self.address.product
        record = [
            f"{c.projected(quoted(c.name), product)} AS {quoted(f'r{i}')}"
            for i, c in enumerate(wanted.record)
        ]
        key = [
            f"{c.projected(quoted(c.name), product)} AS {quoted(f'k{i}')}" for i, c in enumerate(wanted.key)
        ]
        axis = quoted(wanted.axis.name)
        place = wanted.axis.projected(axis, product) if wanted.axis.axis().scale == "decimal" else axis
        columns = ", ".join([*record, *key, f"{place} AS {quoted('w')}", f"{axis} AS {quoted('p')}"])
        return f"SELECT {columns} FROM {wanted.source}{f' WHERE {also}' if also else ''}"

    def frame(self, wanted: Wanted, conditions: Sequence[str], fetch_size: int, also: str = "") -> Any:
        """One Spark partition a condition (on ``p``), each in the order (axis, key)."""
        address = self.address
        properties = {**address.properties, "driver": address.driver, "fetchsize": str(fetch_size)}
        names = (
            [f"r{i}" for i in range(len(wanted.record))] + [f"k{i}" for i in range(len(wanted.key))] + ["w"]
        )
        with self.translating():
            read = self._spark.read.jdbc(
                address.url,
                f"({self.select(wanted, also)}) assay_rows",
                predicates=list(conditions),
                properties=properties,
            )
            order = ["w", *names[len(wanted.record) : -1]]
            return Watched(read.select(*names).sortWithinPartitions(*order), self)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Turn what Java raises into one sentence."""
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            yield
        except AssayError:
            raise
        except (Py4JError, PySparkException, OSError) as error:
            raise translated(_causes(error), self.address, self._what) from None

    def _connected(self) -> Any:
        """A connection by the same way that Spark's reader goes."""
        if self._connection is None:
            jvm, address = self._spark._jvm, self.address
            options = jvm.java.util.HashMap()
            for name, value in {
                **address.properties,
                "url": address.url,
                "driver": address.driver,
                "dbtable": "none",
            }.items():
                options.put(name, value)
            made = jvm.org.apache.spark.sql.execution.datasources.jdbc.JDBCOptions(
                jvm.org.apache.spark.api.python.PythonUtils.toScalaMap(options)
            )
            dialect = jvm.org.apache.spark.sql.jdbc.JdbcDialects.get(address.url)
            self._connection = dialect.createConnectionFactory(made).apply(-1)
        return self._connection


class Watched:
    """A DataFrame whose failing says what the database said."""

    def __init__(self, frame: Any, database: Database) -> None:
        self._frame, self._database = frame, database

    def mapInArrow(self, function: Any, schema: str) -> Watched:  # noqa: N802 - Spark's own name
        """As Spark's."""
        return Watched(self._frame.mapInArrow(function, schema), self._database)

    def collect(self) -> list[Any]:
        """As Spark's."""
        with self._database.translating():
            return list(self._frame.collect())


def chosen(
    wanted: Sequence[str], columns: Sequence[Column], table: str, what: str, code: str = "E405"
) -> tuple[Column, ...]:
    """The columns of these names.

    Raises:
        ConfigError: one is missing; near names are given.
    """
    names = Names(table, tuple(Name(column.name) for column in columns), None)
    by_name = {column.name: column for column in columns}
    return tuple(by_name[found.name] for found in exact_columns(wanted, names, what, code))


def _causes(error: Exception) -> list[Cause]:
    """The chain of Java exceptions behind an error of Python's."""
    link = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    found: list[Cause] = []
    try:
        while link is not None and len(found) < 20:
            kind, message = link.getClass().getName(), link.getMessage() or ""
            is_sql = "SQL" in kind and not kind.startswith("org.apache.spark.")
            found.append(Cause(kind, message, (link.getSQLState() or "") if is_sql else ""))
            link = link.getCause()
    except Exception:  # the JVM died on the way: the text says what is known
        found = []
    told = causes_in(str(error))
    return (
        found + told
        if found and found[-1].kind.startswith("org.apache.spark.")
        else found or told or [Cause("", str(error))]
    )
