"""What the commands that only read the warehouse share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, select

from etl.errors import UsageError
from etl.tables import workspaces
from etl.warehouse import open_warehouse
from etl.warehouse.schema import require_head

if TYPE_CHECKING:
    from etl.cli.app import Context
    from etl.config import Settings


@contextmanager
def reading(context: Context, name: str | None = None) -> Iterator[tuple[Settings, Connection, UUID | None]]:
    """The settings, a read transaction in a warehouse at head, and the id of the named workspace.

    Raises UsageError for a name that is neither configured nor in the warehouse.
    """
    context.start_logging()
    settings = context.settings(require_keys=False)
    warehouse = open_warehouse(settings.warehouse)
    try:
        require_head(warehouse)
        with warehouse.reading() as connection:
            yield settings, connection, _id_of(name, settings, connection)
    finally:
        warehouse.close()


def _id_of(name: str | None, settings: Settings, connection: Connection) -> UUID | None:
    if name is None:
        return None
    for workspace in settings.workspaces:
        if workspace.name == name:
            return workspace.id
    stored: UUID | None = None
    if name.isprintable():  # else it is no name, and perhaps nothing that a database can be asked for
        stored = connection.execute(
            select(workspaces.c.workspace_id).where(workspaces.c.name == name)
        ).scalar()
    if stored is None:
        raise UsageError(
            f"no workspace {name!r}", remedy="neither the configuration nor the warehouse knows it"
        )
    return stored
