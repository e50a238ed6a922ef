"""How every workspace stands: those configured, and those the warehouse remembers. Read by CLI and daemon."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from etl import ledger
from etl.config import Settings


def workspace_status(settings: Settings, connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """A row per workspace, in the configuration's order, then those that are no longer synced."""
    stored = {row.workspace_id: row for row in ledger.workspace_states(connection)}
    found = [
        _state(
            stored.pop(workspace.id, None),
            workspace.name,
            str(workspace.id),
            now,
            configured=workspace.enabled,
        )
        for workspace in settings.workspaces
    ]
    return found + [
        _state(row, row.name, str(row.workspace_id), now, configured=False) for row in stored.values()
    ]


def _state(row: Any, name: str, workspace_id: str, now: datetime, *, configured: bool) -> dict[str, Any]:
    last_success = row.last_success_at if row else None
    return {
        "name": name,
        "workspace_id": workspace_id,
        "configured": configured,
        "last_attempt_at": row.last_attempt_at if row else None,
        "last_success_at": last_success,
        "age_seconds": None if last_success is None else max(0.0, (now - last_success).total_seconds()),
        "active": row.active if row else 0,
        "deleted": row.deleted if row else 0,
        "held_deletes": row.held_deletes if row else 0,
        "rejects_open": row.rejects_open if row else 0,
        "high_watermark": row.high_watermark if row else None,
        "consecutive_failures": row.consecutive_failures if row else 0,
        "unknown_fields": list(row.unknown_fields or ()) if row else [],
        "last_run_id": row.last_run_id if row else None,
        "last_status": row.last_status if row else None,
        "last_error_code": row.last_error_code if row else None,
        "last_error": row.last_error if row else None,
    }
