"""The socket that both dialects fit: everything that Postgres and SQLite do differently, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Engine, Table

Cell = str | int | bool | bytes | None
BulkWriter = Callable[[Sequence[Sequence[Cell]]], None]


class Fault(Enum):
    """What a driver's error means to us."""

    LOCKED = "another session held a lock for too long"
    FULL = "the disk is full"
    LOST = "the connection broke"
    DENIED = "the server does not know this user, this password or this database"
    CROWDED = "the server lets no more sessions in"
    CONFLICT = "another transaction came in between"
    EXISTS = "a row with that key exists"
    UNREACHABLE = "the warehouse cannot be opened"
    DAMAGED = "the database's data is damaged"
    DEPENDED = "others' views depend on what was to be dropped"
    REFUSED = "the warehouse refused the statement"


class Dialect(Protocol):
    """One database's ways."""

    name: str
    loaders: int | None
    """How many loads can run at a time; None for no limit of its own."""
    errors: tuple[type[Exception], ...]
    """What its driver raises, bare or wrapped."""
    row_lock: str
    """What a SELECT of rows `i` ends in, to keep others from changing them."""
    count_on: str
    """SQL that lets the ledger's numbers go on behind the last one that was given or applied."""
    rights: str
    """What to do where a sync may not write, as the end of a message."""

    def create_engine(self, url: str, schema: str, pool_size: int) -> Engine:
        """An engine for the URL; opens nothing yet.

        Its transactions heed execution options: `writes`; `wait_seconds`, how long to wait for others' locks;
        and `stop`, a Stop that ends a long wait. A statement's option `last` says that nothing follows it in
        its transaction, which may then be committed at once.
        """

    def exists(self, engine: Engine) -> bool:
        """False only where to look into the database would be to make it: a SQLite file that is not there."""

    def lock(self, engine: Engine, workspace_id: UUID) -> AbstractContextManager[bool]:
        """Hold the workspace's lock; False at once where another process has it.

        However the process ends, the lock is free afterwards.
        """

    def cancel(self, driver_connection: Any) -> None:
        """Stop the statement under way on the connection, from another thread; never raises."""

    def columns(self, connection: Connection) -> dict[str, set[str]]:
        """The columns there are, by table."""

    def obstacle(self, connection: Connection) -> tuple[str, str] | None:
        """Why no warehouse can be in this database, and what to do about it; None where one can."""

    def may_create(self, connection: Connection) -> bool:
        """Whether the role may make the tables of a new warehouse, and their schema where it is missing."""

    def may_write(self, connection: Connection) -> bool:
        """Whether the role may write what every sync writes."""

    def is_read_only(self, connection: Connection) -> bool:
        """Whether nobody may write in this session, whatever the role's rights."""

    def lock_schema(self, connection: Connection) -> None:
        """Let one migration at a time go on, within the connection's transaction."""

    def create_scratch(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Empty temporary tables; what is put into them stays at most as long as the session."""

    def take_turns(self, connection: Connection) -> None:
        """Wait, within the connection's transaction, for others that do so to end theirs."""

    def bulk_insert(
        self, connection: Connection, table: str, columns: Sequence[str]
    ) -> AbstractContextManager[BulkWriter]:
        """A writer of many rows into one table, as fast as the database takes them.

        Cells come as in `normalize.Row.values`: instants and uuids as text, digests as bytes.
        """

    def analyze(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Tell the planner how large the scratch tables have become."""

    def fault(self, error: BaseException) -> Fault:
        """What the driver's error means."""
