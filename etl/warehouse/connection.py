"""A warehouse to work with: transactions whose errors speak the language of `errors.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from etl.config import Warehouse as WarehouseSettings
from etl.errors import (
    DriverMissing,
    LoadConflict,
    SyncError,
    WarehouseDamaged,
    WarehouseError,
    WarehouseFull,
    WarehouseLocked,
    WarehouseLost,
    WarehouseRefused,
)
from etl.stop import Stop
from etl.warehouse.dialect import Dialect, Fault
from etl.warehouse.sqlite import Sqlite, database_path

_SPARE_SESSIONS = 4


class Warehouse(Struct, frozen=True):
    """An open warehouse. Errors of its transactions come out as WarehouseError or SyncError."""

    engine: Engine
    dialect: Dialect
    schema: str
    place: str
    """Where it is, for messages: without a password."""

    def exists(self) -> bool:
        """False where to look into it would be to make it: nothing is to be found. Raises WarehouseError."""
        with self.opening():
            return self.dialect.exists(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction. Raises WarehouseError."""
        with self.opening(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A short write transaction outside a run. Raises WarehouseError."""
        with (
            self.opening(),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def of_a_run(self, wait_seconds: float, stop: Stop | None = None) -> Iterator[Connection]:
        """A write transaction of a run, waiting so long for others' locks, but no longer once told to stop.

        Raises a SyncError; LoadConflict and WarehouseLost are worth another try.
        """
        stop = stop or Stop()
        stop.check()
        options = {"writes": True, "wait_seconds": wait_seconds, "stop": stop}
        with self._translated(), self.engine.connect().execution_options(**options) as connection:
            driver = connection.connection.driver_connection
            with stop.cancelling(lambda: self.dialect.cancel(driver)), connection.begin():
                yield connection

    @contextmanager
    def locked(self, workspace_id: UUID) -> Iterator[bool]:
        """Hold the workspace against other processes; yields False where one of them holds it."""
        with self.opening(), self.dialect.lock(self.engine, workspace_id) as held:
            yield held

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Driver errors inside become a WarehouseError."""
        try:
            yield
        except self.dialect.errors as error:
            fault = self._fault(error)
            why = reason(error, 2 if fault is Fault.DEPENDED else 1)  # the second names what depends
            raise WarehouseError(
                f"cannot use the warehouse at {self.place}: {why}", remedy=_REMEDIES[fault]
            ) from error
        except OSError as error:  # a lock file in a folder that is not ours
            file = f"{error.filename}: " if error.filename else ""
            raise WarehouseError(
                f"cannot use the warehouse at {self.place}: {file}{error.strerror or error}",
                remedy=_REMEDIES[Fault.UNREACHABLE],
            ) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self.dialect.errors as error:
            fault = self._fault(error)
            raise _LOAD_ERRORS[fault](
                f"the warehouse at {self.place} failed: {reason(error)}", remedy=_REMEDIES[fault]
            ) from error

    def _fault(self, error: Exception) -> Fault:
        return Fault.CROWDED if isinstance(error, PoolTimeout) else self.dialect.fault(error)


_REMEDIES = {
    Fault.LOCKED: "another session holds a lock: let it finish, or end it",
    Fault.FULL: "make room on the warehouse's disk",
    Fault.LOST: "check that the server runs and that warehouse.url is right",
    Fault.DENIED: "check user and database in warehouse.url, and the password: PGPASSWORD or PGPASSFILE",
    Fault.CROWDED: "let the role have more sessions, or lower api.concurrency: a sync takes two for each",
    Fault.CONFLICT: "the next run tries again",
    Fault.EXISTS: "the next run tries again",
    Fault.UNREACHABLE: "check warehouse.url, the folder and its rights",
    Fault.DAMAGED: "restore it from a backup",
    Fault.DEPENDED: "drop that, migrate, and make it anew",
    Fault.REFUSED: "check the role's rights and that the schema is whole: ontora-etl check",
}
_LOAD_ERRORS: dict[Fault, type[SyncError]] = {
    Fault.CONFLICT: LoadConflict,
    Fault.EXISTS: LoadConflict,
    Fault.LOCKED: WarehouseLocked,
    Fault.FULL: WarehouseFull,
    Fault.LOST: WarehouseLost,
    Fault.DENIED: WarehouseLost,
    Fault.CROWDED: WarehouseLost,
    Fault.UNREACHABLE: WarehouseLost,
    Fault.DAMAGED: WarehouseDamaged,
    Fault.DEPENDED: WarehouseRefused,
    Fault.REFUSED: WarehouseRefused,
}


def reason(error: BaseException, lines: int = 1) -> str:
    """The driver's own first line, or lines: no SQL, no parameters, no password."""
    if isinstance(error, PoolTimeout):
        return "no session of this process came free"
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return " ".join(said[:lines]) or type(error).__name__


def open_warehouse(settings: WarehouseSettings, downloads: int = 1) -> Warehouse:
    """The warehouse of the settings, for so many downloads at a time. Opens no connection yet.

    Raises DriverMissing where the URL's database needs an extra that is not installed, WarehouseError where
    its options make no sense.
    """
    url = settings.url.reveal()
    if url.startswith("sqlite:"):
        dialect: Dialect = Sqlite()
        place = str(database_path(url))
    else:
        try:
            from etl.warehouse.postgres import Postgres  # noqa: PLC0415  # an extra, and not cheap to import
        except ImportError as error:
            raise DriverMissing(
                "the warehouse is Postgres, but its driver is not installed",
                remedy="pip install 'ontora-etl[postgres]'",
            ) from error
        dialect = Postgres()
        place = ""
    # Every download and every load holds a session for the workspace's lock, and a load another to work in.
    # There are half as many loads as downloads.
    try:
        engine = dialect.create_engine(url, settings.schema, 2 * downloads + _SPARE_SESSIONS)
    except FileNotFoundError as error:
        raise WarehouseError(
            f"cannot tell where {place} is: the working directory was removed",
            remedy="change into a folder that exists",
        ) from error
    except (SQLAlchemyError, ValueError) as error:  # whose words repeat the options' values
        raise WarehouseError(
            f"warehouse.url has options that cannot be used ({type(error).__name__})",
            remedy="check what stands behind the ?",
        ) from error
    return Warehouse(engine, dialect, settings.schema, place or _place(engine))


def _place(engine: Engine) -> str:
    url = engine.url
    host = url.host or ",".join(url.normalized_query.get("host", ())) or "local"
    return f"postgresql://{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"
