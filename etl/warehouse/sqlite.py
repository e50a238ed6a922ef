"""SQLite's ways: one file, one writer at a time, locks that the kernel releases."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.schema import CreateTable

from etl.stop import Stop
from etl.warehouse.dialect import BulkWriter, Cell, Fault

_PREFIX = "sqlite:///"
_FAULTS = {
    "SQLITE_BUSY": Fault.LOCKED,
    "SQLITE_LOCKED": Fault.LOCKED,
    "SQLITE_PROTOCOL": Fault.LOCKED,
    "SQLITE_FULL": Fault.FULL,
    "SQLITE_CANTOPEN": Fault.UNREACHABLE,
    "SQLITE_NOTADB": Fault.UNREACHABLE,
    "SQLITE_CORRUPT": Fault.DAMAGED,
    "SQLITE_READONLY": Fault.UNREACHABLE,
    "SQLITE_IOERR_SHMSIZE": Fault.FULL,
    "SQLITE_IOERR": Fault.UNREACHABLE,
    "SQLITE_PERM": Fault.UNREACHABLE,
    "SQLITE_CONSTRAINT": Fault.EXISTS,
}
# ALTER TABLE reads the whole schema anew, and stumbles over what others have left in it.
_DEPENDENT = re.compile("error in (view|trigger|index) ")
_OLDEST = (3, 35)
_ORDINARY_WAIT_SECONDS = 30
_SLICE_SECONDS = 1.0
_MOST_PAGES_AT_REST = 4096  # 16 MiB


def database_path(url: str) -> Path:
    """The file that `sqlite:///…` names; all after the slashes is path, whatever characters it has."""
    return Path(url.removeprefix(_PREFIX))


class Sqlite:
    """See `Dialect`."""

    name = "sqlite"
    loaders: int | None = 1  # a second writer would only wait, and less patiently than our queue
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error)
    row_lock = ""  # a writer has the whole file
    count_on = (
        "UPDATE sqlite_sequence SET seq = (SELECT max(applied_run_id) FROM workspaces) "
        "WHERE name = 'sync_runs'"
    )
    rights = "make the file writable for the user that syncs"

    def create_engine(self, url: str, schema: str, pool_size: int) -> Engine:  # noqa: ARG002  # no schemas here
        path = database_path(url)
        log = _Log(path)

        def connect() -> sqlite3.Connection:
            log.drop_former()
            # isolation_level None: the driver begins nothing by itself, so that DDL is transactional too.
            try:
                connection = sqlite3.connect(
                    path, timeout=_ORDINARY_WAIT_SECONDS, isolation_level=None, check_same_thread=False
                )
            except sqlite3.OperationalError as error:
                if why := _why_unopened(path):
                    error.args = (f"{error}: {why}",)
                raise
            # WAL lets analysts read while we write, and the other way round.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -16384")
            return connection

        engine = create_engine(
            URL.create("sqlite", database=str(path)),
            creator=connect,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=4,
            hide_parameters=True,
        )

        _keep_to_the_file(engine, path, log)
        _give_room_back(engine)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            options = connection.get_execution_options()
            driver: Any = connection.connection.driver_connection
            # IMMEDIATE: a load that began as a reader could not become a writer after another has written.
            mode = "IMMEDIATE" if options.get("writes") else "DEFERRED"
            _begin(driver, mode, options.get("wait_seconds", _ORDINARY_WAIT_SECONDS), options.get("stop"))

        return engine

    def exists(self, engine: Engine) -> bool:
        path = Path(engine.url.database or "")
        there = path.exists() and (path.stat().st_size > 0 or not path.is_file())
        return there or bool(_why_unopened(path))  # which opening it will tell

    @contextmanager
    def lock(self, engine: Engine, workspace_id: UUID) -> Iterator[bool]:
        database = Path(engine.url.database or "").resolve()  # as SQLite does: links lead to one file
        path = f"{database}.{workspace_id}.lock"
        descriptor = _take(path)
        if descriptor is None:
            yield False
            return
        try:
            yield True
        finally:
            _give_back(path, descriptor)

    def cancel(self, driver_connection: Any) -> None:
        with suppress(sqlite3.Error):  # it may be closed by now
            driver_connection.interrupt()

    def columns(self, connection: Connection) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for table, column in connection.exec_driver_sql(
            # Others' virtual tables, which have no root page, may need modules that are not loaded here.
            "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c "
            "WHERE t.type = 'table' AND t.rootpage > 0"
        ):
            found.setdefault(table, set()).add(column)
        return found

    def obstacle(self, connection: Connection) -> tuple[str, str] | None:  # noqa: ARG002  # it is the library's
        if sqlite3.sqlite_version_info < _OLDEST:
            return (
                f"needs a newer SQLite than {sqlite3.sqlite_version}",
                "use a Python with SQLite 3.35 or newer",
            )
        return None

    def may_create(self, connection: Connection) -> bool:  # noqa: ARG002  # there are no roles
        return True

    def may_write(self, connection: Connection) -> bool:
        """Whether the file may be written to: one that may not is opened for reading, and nothing is said."""
        return os.access(connection.engine.url.database or "", os.W_OK)

    def is_read_only(self, connection: Connection) -> bool:  # noqa: ARG002  # the file's rights say it
        return False

    def lock_schema(self, connection: Connection) -> None:
        """Nothing to do: a writing transaction has the whole file."""

    def create_scratch(self, connection: Connection, tables: Sequence[Table]) -> None:
        for table in tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.exec_driver_sql(
                    f"CREATE INDEX IF NOT EXISTS temp.{index.name} ON {table.name} "
                    f"({', '.join(column.name for column in index.columns)})"
                )
            connection.exec_driver_sql(f"DELETE FROM {table.name}")

    def take_turns(self, connection: Connection) -> None:
        """Nothing to do: a writing transaction has the whole file."""

    @contextmanager
    def bulk_insert(self, connection: Connection, table: str, columns: Sequence[str]) -> Iterator[BulkWriter]:
        cursor: sqlite3.Cursor = connection.connection.cursor()  # type: ignore[assignment]
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"

        def write(rows: Sequence[Sequence[Cell]]) -> None:
            cursor.executemany(statement, rows)

        try:
            yield write
        finally:
            cursor.close()

    def analyze(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Nothing to do: the queries over scratch tables read them from end to end."""

    def fault(self, error: BaseException) -> Fault:
        driver_error: Any = getattr(error, "orig", error)
        if _DEPENDENT.match(str(driver_error)):
            return Fault.DEPENDED
        name: str = getattr(driver_error, "sqlite_errorname", None) or ""
        for prefix, fault in _FAULTS.items():
            if name.startswith(prefix):
                return fault
        return Fault.REFUSED


class _Log:
    """The file's write-ahead log as it was when a session last came to rest.

    SQLite would play the log of a file that was moved away into the one that took its place. A file that was
    written over where it is cannot be told from one that has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[Path, tuple[int, int] | None] = {}
        self._guard = threading.Lock()

    def note(self) -> None:
        """These files belong together."""
        file = self._path.resolve()
        with self._guard:
            for one in (self._path, Path(f"{file}-wal"), Path(f"{file}-shm")):
                self._known[one] = _identity(one)

    def drop_former(self) -> None:
        """Remove the log where another file has taken the place of the one that it belonged to."""
        with self._guard:
            if self._known.get(self._path) in (None, _identity(self._path)):
                return
            for file, identity in self._known.items():
                if file != self._path and identity == _identity(file):
                    file.unlink(missing_ok=True)
            self._known.clear()


def _keep_to_the_file(engine: Engine, path: Path, log: _Log) -> None:
    """Let no session go on with a file that was removed, or replaced by a backup."""

    @event.listens_for(engine, "checkin")
    def note_files(driver: sqlite3.Connection | None, record: ConnectionPoolEntry) -> None:  # noqa: ARG001
        if record.info.get("file") == _identity(path):
            log.note()

    @event.listens_for(engine, "connect")
    def note_file(driver: sqlite3.Connection, record: ConnectionPoolEntry) -> None:  # noqa: ARG001
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def look_whether_it_is_there(driver: Any, record: ConnectionPoolEntry, pooled: Any) -> None:  # noqa: ARG001
        if record.info["file"] != _identity(path):
            raise DisconnectionError  # SQLAlchemy opens another in its place

    @event.listens_for(engine, "commit")
    def look_whether_it_is_still_there(connection: Connection) -> None:
        if connection.info["file"] != _identity(path):
            raise sqlite3.OperationalError("its file was removed or replaced meanwhile")


def _give_room_back(engine: Engine) -> None:
    """Let no session at rest keep much of what it has staged: that would stay on the disk until it ends."""

    @event.listens_for(engine, "checkin")
    def make_room(driver: sqlite3.Connection | None, record: ConnectionPoolEntry) -> None:
        with suppress(sqlite3.Error):  # of a file that is damaged: whoever uses it next is told
            if driver and driver.execute("PRAGMA temp.page_count").fetchone()[0] > _MOST_PAGES_AT_REST:
                record.invalidate()


def _begin(driver: sqlite3.Connection, mode: str, wait_seconds: float, stop: Stop | None) -> None:
    """Begin a transaction. SQLite's own waiting cannot be ended from outside, so it waits in slices."""
    end = time.monotonic() + wait_seconds
    while True:
        left_seconds = max(0.0, end - time.monotonic())
        driver.execute(f"PRAGMA busy_timeout = {int(min(left_seconds, _SLICE_SECONDS) * 1000)}")
        try:
            driver.execute(f"BEGIN {mode}")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
            if not is_busy or left_seconds <= _SLICE_SECONDS or (stop is not None and stop.is_set()):
                raise
        else:
            driver.execute(f"PRAGMA busy_timeout = {int(wait_seconds * 1000)}")
            return


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _why_unopened(path: Path) -> str:
    """What SQLite does not say: which of the usual reasons it is."""
    if path.is_dir():
        return "it is a folder"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    return "" if os.access(path.parent, os.W_OK) else f"the folder {path.parent} is not writable"


def _give_back(path: str, descriptor: int) -> None:
    """Remove the lock file while it is held, if it is still ours: someone may have removed it by hand."""
    try:
        with suppress(OSError):
            if os.fstat(descriptor).st_ino == Path(path).stat().st_ino:
                Path(path).unlink()
    finally:
        os.close(descriptor)


def _open_lock(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except PermissionError:  # another user's, perhaps: reading is enough to lock it
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return os.open(path, flags, 0o644)  # given back meanwhile; or else the folder is not ours


def _take(path: str) -> int | None:
    """A descriptor that holds the lock file, or None where another process does.

    The holder removes the file when done, so what was opened may be gone by the time it is locked: then
    once more.
    """
    while True:
        descriptor = _open_lock(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == Path(path).stat().st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
