"""Statements of the hottest paths: compiled once for each kind of database, run on the driver's own cursor.

SQLAlchemy builds a statement's text once too, but what it does around each execution costs 50 microseconds where the
database takes 5 (SQLite). Messages are sent by fifty people at one instant, so a handful of statements are run here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement


class Prepared:
    """A statement of SQLAlchemy Core with named parameters, run without SQLAlchemy's own machinery.

    Rows come back as plain tuples in the order of the columns; values go in as the driver takes them, so enumerations
    must be plain strings.

    Args:
        statement: of columns, parameters and comparisons; no ``IN`` with a list.
        columns: for an INSERT: the columns that every row gives.
    """

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement, self._columns = statement, list(columns) if columns else None
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None, dict[str, Any]]] = {}

    def run(self, connection: Connection, values: Mapping[str, Any] | None = None) -> Any:
        """Execute once and return the driver's cursor.

        Raises:
            DBAPIError: as SQLAlchemy raises it, such as OperationalError for a database that is away.
        """
        text, order, known = self._for(connection)
        given = {**known, **(values or {})}
        return self._execute(connection, "execute", text, [given[name] for name in order] if order else given)

    def run_many(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute for each row.

        Raises:
            DBAPIError: as for :meth:`run`.
        """
        text, order, known = self._for(connection)
        given = [{**known, **row} for row in rows]
        values = [[row[name] for name in order] for row in given] if order else given
        self._execute(connection, "executemany", text, values)

    def _for(self, connection: Connection) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            more: Any = {"column_keys": self._columns} if isinstance(self._statement, Insert) else {}
            compiled: Any = self._statement.compile(dialect=dialect, **more)
            order = tuple(compiled.positiontup) if compiled.positional else None
            known = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._compiled[dialect.name] = (str(compiled), order, known)
        return found

    @staticmethod
    def _execute(connection: Connection, how: str, text: str, values: Any) -> Any:
        raw: Any = connection.connection
        cursor = raw.cursor()
        try:
            getattr(cursor, how)(text, values)
        except connection.dialect.loaded_dbapi.Error as err:
            if connection.dialect.is_disconnect(err, raw, cursor):
                connection.invalidate(err)
            # without the values: they are what people wrote
            raise DBAPIError.instance(text, None, err, connection.dialect.loaded_dbapi.Error) from err
        return cursor


def plain_rows(
    connection: Connection, statement: Select[Any], values: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """All rows of a query as the driver gives them, for many rows of any statement.

    SQLAlchemy's rows take longer to make than the database needs to find them. Values are the driver's: SQLite has
    numbers for booleans.
    """
    cursor: Any = connection.execute(statement, values or {}).cursor
    found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
