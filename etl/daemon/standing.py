"""How the configured workspaces stood before this process: whom to sync at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from etl.tables import workspaces
from etl.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Standing:
    """A workspace's past, as far as the daemon's plans need it."""

    last_success_at: datetime | None
    consecutive_failures: int


def read_standings(warehouse: Warehouse) -> dict[UUID, Standing]:
    """Of every workspace ever synced. Raises WarehouseError."""
    columns = workspaces.c
    query = select(columns.workspace_id, columns.last_success_at, columns.consecutive_failures)
    with warehouse.reading() as connection:
        return {row[0]: Standing(row[1], row[2]) for row in connection.execute(query)}
