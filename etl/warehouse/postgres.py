"""Postgres' ways: COPY, advisory locks, SQLSTATEs."""

from __future__ import annotations

import re
import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, LargeBinary, Table, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateTable

from etl.tables import metadata
from etl.warehouse.copy_csv import OPTIONS, copy_csv
from etl.warehouse.dialect import BulkWriter, Cell, Fault
from etl.warehouse.round_trips import Cursor, begin_later, begin_now, travel_together

# By SQLSTATE, the longest prefix first.
_FAULTS = {
    "55P03": Fault.LOCKED,
    "57014": Fault.LOCKED,  # cancelled by an administrator, or a reader's by statement_timeout
    "53100": Fault.FULL,
    "40": Fault.CONFLICT,
    "23505": Fault.EXISTS,
    "2BP01": Fault.DEPENDED,
    "57P": Fault.LOST,
    "08": Fault.LOST,
    "XX001": Fault.DAMAGED,  # of a table
    "XX002": Fault.DAMAGED,  # of an index
    "25006": Fault.LOST,  # read-only: a standby, to which the address led for a while
    "25P03": Fault.LOST,  # idle_in_transaction_session_timeout
}
# What is said before a session begins has no SQLSTATE; in other languages than English it is taken for a
# server that is not there.
_DENIED = re.compile(
    r'no password supplied|authentication failed|no pg_hba.conf entry|(role|database) "[^"]*" does not exist'
)
_CROWDED = re.compile("too many (connections|clients)|connection slots|no more connections")
_MISTYPED = re.compile("invalid connection option|bad value for")
_CANCEL_SECONDS = 5.0
_ORDINARY_WAIT_SECONDS = 30
_KEEPALIVES = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
_UNLESS_GIVEN = {
    "connect_timeout": 10,
    "fallback_application_name": "ontora-etl",
    # A server that is gone without a word is found out within a minute; one that takes no data in, as while
    # its machine is moved, after five.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 300_000,
}
_DRIVERS_OWN = {"context", "row_factory", "self"}  # of its options those that are no text, and not set here
# Versions as the server numbers them.
_OLDEST = 13_00_00
_TRANSACTION_TIMEOUT_SINCE = 17_00_00

# The scratch tables' columns of bytes have the same names.
_BINARY = frozenset(
    column.name
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, LargeBinary)
)
# What a sync writes.
_NUMBERED = tuple(table.name for table in metadata.sorted_tables if table.autoincrement_column is not None)
# A sync, or the daemon, deletes rows of these alone.
_EMPTIED = ("interview_digests", "notices", "webhook_deliveries")


def _array(names: Iterable[str]) -> str:
    return "ARRAY[" + ", ".join(f"'{name}'" for name in names) + "]"


_MAY_WRITE = f"""
    SELECT current_setting('transaction_read_only') = 'off'
        AND has_database_privilege(current_database(), 'TEMPORARY')
        AND (
            SELECT bool_and(
                has_table_privilege(name, 'SELECT')
                AND has_table_privilege(name, 'INSERT')
                AND has_table_privilege(name, 'UPDATE')
            )
            FROM unnest({_array(metadata.tables)}) AS name
        )
        AND (SELECT bool_and(has_table_privilege(name, 'DELETE')) FROM unnest({_array(_EMPTIED)}) AS name)
        AND (
            SELECT coalesce(
                bool_and(has_sequence_privilege(pg_get_serial_sequence(name, 'id'), 'USAGE, UPDATE')), true
            )
            FROM unnest({_array(_NUMBERED)}) AS name
        )
"""

_IS_READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on'"

# Without a schema of the configuration it is the first that exists of the role's search_path.
_MAY_CREATE = """
    SELECT current_setting('transaction_read_only') = 'off' AND coalesce(
        (
            SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
            FROM pg_namespace
            WHERE nspname = coalesce(nullif(%(schema)s, ''), current_schema())
        ),
        %(schema)s <> '' AND has_database_privilege(current_database(), 'CREATE')
    )
"""

# Where the tables are: not always the current schema, which may have been made later.
_SCHEMA = """
    SELECT s.nspname
    FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace
    WHERE t.oid = to_regclass('alembic_version')
"""

_COLUMNS = f"""
    SELECT t.relname::text, array_agg(c.attname::text)
    FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid
    WHERE t.relname = ANY({_array(metadata.tables)}) AND pg_table_is_visible(t.oid)
        AND t.relkind IN ('r', 'p') AND c.attnum > 0 AND NOT c.attisdropped
    GROUP BY t.relname
"""


def _begin(engine: Engine, **settings: str) -> tuple[str, str]:
    """The statements that a transaction with these settings begins with.

    The settings are local, not start-up options: a pooler passes them on, and none outlives the transaction.
    Read committed whatever a database's default is: loads lock what they need, and under a stricter level
    those of different workspaces would fail each other; and idle with a lock, it holds back no vacuum.
    """
    settings["DateStyle"] = "ISO"  # the driver reads no other
    settings["TimeZone"] = "UTC"  # elsewhere the first and the last instants are of years that Python lacks
    if schema := engine.get_execution_options()["schema"]:  # a plain identifier: the configuration saw to it
        settings["search_path"] = f'"{schema}"'
    calls = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
    # In one SELECT: each SET LOCAL would be answered by itself.
    return "BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT {', '.join(calls)}"


def _for_writers(driver: Any) -> dict[str, str]:
    """A role's time limits are meant for people's queries: set aside here, as pg_dump does.

    Without them, the server still finds out within a minute that a host is gone, and lets go of its locks.
    """
    limits = ["statement_timeout", "idle_in_transaction_session_timeout"]
    if driver.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
        limits.append("transaction_timeout")
    return dict.fromkeys(limits, "0") | _KEEPALIVES


def _has_hung_up(driver: Any) -> bool:
    """Whether the server has ended a session at rest: it says so, unasked. Costs no round trip.

    Servers do so when they restart or fail over, and after `idle_session_timeout`.
    """
    if driver.closed:
        return True
    socket = select.poll()
    socket.register(driver.fileno(), select.POLLIN)
    return bool(socket.poll(0))


class Postgres:
    """See `Dialect`."""

    name = "postgresql"
    loaders: int | None = None
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error)
    row_lock = "FOR UPDATE OF i"
    count_on = (
        "SELECT setval(pg_get_serial_sequence('sync_runs', 'id'), "
        "greatest((SELECT max(id) FROM sync_runs), (SELECT max(applied_run_id) FROM workspaces)))"
    )
    rights = (
        "grant it SELECT, INSERT and UPDATE on every table, DELETE on interview_digests, notices and "
        "webhook_deliveries, USAGE on the sequences behind sync_runs.id and rejected_rows.id, and "
        "TEMPORARY on the database"
    )

    def create_engine(self, url: str, schema: str, pool_size: int) -> Engine:
        # Named: what a plain postgresql:// means differs between SQLAlchemy's versions.
        address = make_url(url).set(drivername="postgresql+psycopg")
        if unknown := _DRIVERS_OWN & address.query.keys():
            raise ValueError(f"{unknown} cannot be given as text")
        engine = create_engine(
            address,
            pool_size=pool_size,
            max_overflow=4,
            pool_pre_ping=False,
            hide_parameters=True,
            use_native_hstore=False,
            execution_options={"schema": schema},
            connect_args={
                **{name: value for name, value in _UNLESS_GIVEN.items() if name not in address.query},
                "client_encoding": "utf8",  # whatever the database's is: COPY sends UTF-8
                "cursor_factory": Cursor,
                "autocommit": True,  # the driver begins nothing by itself: see below
                # A pooler in transaction mode hands each transaction another session.
                "prepare_threshold": None,
            },
        )

        @event.listens_for(engine, "checkin")
        def note_rest(driver: Any, record: ConnectionPoolEntry) -> None:  # noqa: ARG001  # as SQLAlchemy calls it
            record.info["has_rested"] = True

        @event.listens_for(engine, "checkout")
        def look_whether_it_lives(driver: Any, record: ConnectionPoolEntry, pooled: Any) -> None:  # noqa: ARG001
            if "has_rested" in record.info and _has_hung_up(driver):
                raise DisconnectionError  # SQLAlchemy opens another in its place

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            options, settings = connection.get_execution_options(), dict[str, str]()
            if options.get("writes"):
                settings |= _for_writers(connection.connection.driver_connection)
            wait_seconds = options.get("wait_seconds", _ORDINARY_WAIT_SECONDS)
            settings["lock_timeout"] = str(max(1, int(wait_seconds * 1000)))
            begin_later(connection, _begin(connection.engine, **settings))

        @event.listens_for(engine, "handle_error")
        def leave_a_standby(context: Any) -> None:
            if getattr(context.original_exception, "sqlstate", None) == "25006":
                context.is_disconnect = True  # SQLAlchemy opens others, perhaps where one may write

        travel_together(engine)
        return engine

    def exists(self, engine: Engine) -> bool:  # noqa: ARG002  # a server always has something to say
        return True

    @contextmanager
    def lock(self, engine: Engine, workspace_id: UUID) -> Iterator[bool]:
        # Bound to an open transaction rather than to the session: so it also holds, and also ends, behind
        # a pooler that shares sessions.
        # Straight to the driver: begun and locked in one round trip, which many small syncs notice.
        pooled = engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            begin = _begin(engine, **_for_writers(driver))
            lock = (
                "SELECT pg_try_advisory_xact_lock(hashtextextended("
                f"'ontora-etl sync ' || coalesce(({_SCHEMA}), current_schema()) || ' {workspace_id}', 0))"
            )
            answers = driver.execute("; ".join([*begin, lock]))
            while answers.nextset():
                pass
            (is_ours,) = answers.fetchone()
            if is_ours is None:  # there is no current schema
                raise psycopg.errors.InvalidSchemaName("its schema is missing, or this user may not use it")
            yield is_ours
        finally:
            with suppress(psycopg.Error):
                driver.rollback()
            if driver.broken:  # the session is gone, and the lock with it
                pooled.invalidate()
            pooled.close()

    def cancel(self, driver_connection: Any) -> None:
        with suppress(psycopg.Error, OSError):  # a server that is gone has no statement under way
            driver_connection.cancel_safe(timeout=_CANCEL_SECONDS)

    def columns(self, connection: Connection) -> dict[str, set[str]]:
        tables = connection.exec_driver_sql(_COLUMNS)
        return {name: set(columns) for name, columns in tables}

    def obstacle(self, connection: Connection) -> tuple[str, str] | None:
        driver: Any = connection.connection.driver_connection
        if driver.info.server_version < _OLDEST:
            version = driver.info.parameter_status("server_version")
            return f"is of Postgres {version}", "use Postgres 13 or newer"
        encoding = driver.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            return (
                f"is in {encoding}, which cannot hold every character",
                "use a database that was created with ENCODING 'UTF8'",
            )
        return None

    def may_create(self, connection: Connection) -> bool:
        schema = connection.engine.get_execution_options()["schema"]
        return bool(connection.exec_driver_sql(_MAY_CREATE, {"schema": schema}).scalar_one())

    def may_write(self, connection: Connection) -> bool:
        return bool(connection.exec_driver_sql(_MAY_WRITE).scalar_one())

    def is_read_only(self, connection: Connection) -> bool:
        return bool(connection.exec_driver_sql(_IS_READ_ONLY).scalar_one())

    def lock_schema(self, connection: Connection) -> None:
        # For another migration as long as it takes; for those who use the tables, no longer than usual:
        # whoever comes after would have to wait as well.
        connection.exec_driver_sql(
            "SET LOCAL lock_timeout = 0; "
            "SELECT pg_advisory_xact_lock(hashtextextended('ontora-etl migrate', 0)); "
            f"SET LOCAL lock_timeout = '{_ORDINARY_WAIT_SECONDS}s'; "
            # Where the tables are, and not in a schema that stands before theirs by now.
            f"SELECT set_config('search_path', quote_ident(name), true) FROM ({_SCHEMA}) AS s (name)"
        )

    def create_scratch(self, connection: Connection, tables: Sequence[Table]) -> None:
        # In one round trip. They stay with the session, empty, and cost the next load nothing.
        ddl = [
            str(CreateTable(table, if_not_exists=True).compile(dialect=connection.dialect))
            for table in tables
        ]
        connection.exec_driver_sql(";".join(ddl))

    def take_turns(self, connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended('ontora-etl turns', 0))")

    @contextmanager
    def bulk_insert(self, connection: Connection, table: str, columns: Sequence[str]) -> Iterator[BulkWriter]:
        driver = begin_now(connection)
        binary = [at for at, column in enumerate(columns) if column in _BINARY]
        with driver.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN ({OPTIONS})") as copy:

            def write(rows: Sequence[Sequence[Cell]]) -> None:
                if rows:
                    copy.write(copy_csv(rows, binary))

            yield write

    def analyze(self, connection: Connection, tables: Sequence[Table]) -> None:
        connection.exec_driver_sql("ANALYZE " + ", ".join(table.name for table in tables))

    def fault(self, error: BaseException) -> Fault:
        driver_error: Any = getattr(error, "orig", error)
        state: str | None = getattr(driver_error, "sqlstate", None)
        if state is None:  # the driver's own fault, or what it is told before a session begins: words alone
            # Internal is where a session's end and a command's failure arrive together, as poolers send them.
            if _MISTYPED.match(str(driver_error)):
                return Fault.UNREACHABLE
            if not isinstance(driver_error, psycopg.OperationalError | psycopg.InternalError):
                return Fault.REFUSED
            if _DENIED.search(str(driver_error)):
                return Fault.DENIED
            return Fault.CROWDED if _CROWDED.search(str(driver_error)) else Fault.LOST
        for prefix, fault in _FAULTS.items():
            if state.startswith(prefix):
                return fault
        return Fault.REFUSED
