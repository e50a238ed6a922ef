"""Fewer round trips to Postgres: BEGIN travels with the first statement, COMMIT with one known as the last.

A server in another town takes milliseconds to answer, however little it is asked: a workspace without news
is six trips instead of nine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import psycopg
from sqlalchemy import Connection, Engine, event

_BEGIN = "begin"  # in the connection's `info`: what its transaction begins with, while it is still to be sent


class Cursor(psycopg.ClientCursor[tuple[Any, ...]]):
    """Sends text with its parameters merged in: only so can several statements go at once."""

    answers_before = 0
    """How many statements stand before the one whose answer is wanted."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Execute, and turn to the answer that is wanted; those behind it are not looked at."""
        before, self.answers_before = self.answers_before, 0
        super().execute(query, params, **options)
        for _ in range(before):
            self.nextset()
        return self


def begin_later(connection: Connection, words: Sequence[str]) -> None:
    """Let the transaction begin with these statements as soon as there is something to do in it."""
    connection.info[_BEGIN] = words


def begin_now(connection: Connection) -> Any:
    """The driver's connection, its transaction begun: for what does not go through SQLAlchemy."""
    driver: Any = connection.connection.driver_connection
    if words := connection.info.pop(_BEGIN, None):
        driver.execute("; ".join(words))
    return driver


def travel_together(engine: Engine) -> None:
    """Send what `begin_later` was given, and the COMMIT behind a `last` statement, along with statements."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def together(
        connection: Connection,
        cursor: object,
        statement: str,
        parameters: Any,
        context: Any,
        executemany: bool,  # noqa: FBT001  # as SQLAlchemy calls it
    ) -> tuple[str, Any]:
        # The driver would repeat it all for each row; and a cursor of the server's takes one statement.
        if executemany or not isinstance(cursor, Cursor):
            begin_now(connection)
            return statement, parameters
        before = connection.info.pop(_BEGIN, ())
        cursor.answers_before = len(before)
        last = ("COMMIT",) if context.execution_options.get("last") else ()
        return "; ".join([*before, statement, *last]), parameters
