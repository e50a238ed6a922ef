"""How the configured workspaces stood before this process: whom to sync at once, whom to try again soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from etl.tables import sync_runs, webhook_deliveries, workspaces
from etl.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Standing:
    """A workspace's past, as far as the daemon's plans need it."""

    last_success_at: datetime | None = None
    consecutive_failures: int = 0
    last_error_code: str | None = None
    last_error: str | None = None
    has_unheeded_webhook: bool = False
    """One has been accepted since the last run that succeeded began: its sync was still to come."""


def read_standings(warehouse: Warehouse) -> dict[UUID, Standing]:
    """Of every workspace ever synced. Raises WarehouseError."""
    columns = workspaces.c
    query = select(columns.workspace_id, columns.last_success_at, columns.consecutive_failures)
    with warehouse.reading() as connection:
        heard = _last_webhooks(connection)
        return {
            row.workspace_id: _standing(connection, row, heard.get(row.workspace_id))
            for row in connection.execute(query).all()
        }


def _standing(connection: Connection, row: Any, heard_at: datetime | None) -> Standing:
    failed = _newest(connection, row.workspace_id, "failed") if row.consecutive_failures else None
    succeeded = _newest(connection, row.workspace_id, "succeeded") if heard_at else None
    return Standing(
        row.last_success_at,
        row.consecutive_failures,
        failed.error_code if failed else None,
        failed.error if failed else None,
        heard_at is not None and (succeeded is None or succeeded.started_at < heard_at),
    )


def _last_webhooks(connection: Connection) -> dict[UUID, datetime]:
    columns = webhook_deliveries.c
    query = select(columns.workspace_id, func.max(columns.received_at)).group_by(columns.workspace_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def _newest(connection: Connection, workspace_id: UUID, status: str) -> Any:
    runs = sync_runs.c
    return connection.execute(
        select(runs.started_at, runs.error_code, runs.error)
        .where(runs.workspace_id == workspace_id, runs.status == status)
        .order_by(runs.id.desc())
        .limit(1)
    ).first()
