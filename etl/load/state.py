"""What the warehouse remembers of a workspace between runs: its row in `workspaces`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import BigInteger, Boolean, Connection, Text
from sqlalchemy.types import TypeEngine

from etl.column_types import Instant, Json
from etl.errors import WarehouseRefused
from etl.load.job import Counts, Job, Outcome
from etl.statement import statement
from etl.warehouse import Dialect
from etl.warehouse.schema import REVISION, require_revision


class State(Struct, frozen=True):
    """The last applied answer of a workspace; all empty where there was none."""

    applied_run_id: int | None
    applied_digest: str | None
    applied_counts: Counts | None
    high_watermark: datetime | None
    unknown_fields: tuple[str, ...]
    held_deletes: int
    held_of: int | None
    has_interviews: bool
    foreign_rejects: bool
    """Whether any workspace has an open reject of an interview that belongs to another."""


_READ = f"""
    SELECT w.applied_run_id, w.applied_digest, w.applied_counts, w.high_watermark, w.unknown_fields,
        w.held_deletes, w.held_of,
        EXISTS (SELECT 1 FROM interviews i WHERE i.workspace_id = w.workspace_id) AS has_interviews,
        EXISTS (
            SELECT 1 FROM rejected_rows r WHERE r.reason = 'foreign_workspace' AND r.resolved_at IS NULL
        ) AS foreign_rejects,
        ({REVISION}) AS revision
    FROM workspaces w
    WHERE w.workspace_id = :workspace_id
"""
_COLUMNS: dict[str, TypeEngine[Any]] = {
    "applied_run_id": BigInteger(),
    "applied_digest": Text(),
    "applied_counts": Json(),
    "high_watermark": Instant(),
    "unknown_fields": Json(),
    "held_deletes": BigInteger(),
    "held_of": BigInteger(),
    "has_interviews": Boolean(),
    "foreign_rejects": Boolean(),
    "revision": Text(),
}
_READ_LOCKED = {
    "sqlite": statement(_READ, **_COLUMNS),
    "postgresql": statement(_READ + "FOR UPDATE OF w", **_COLUMNS),
}

_SUCCEEDED = statement("""
    SELECT 1 FROM sync_runs
    WHERE id = :applied_run_id AND workspace_id = :workspace_id AND status = 'succeeded'
""")

# Every success is remembered, and with it the answer, if one was applied.
REMEMBER_SUCCESS = """
    UPDATE workspaces SET last_success_at = :now, consecutive_failures = 0 WHERE workspace_id = :workspace_id
"""

REMEMBER_APPLIED = """
    UPDATE workspaces
    SET last_success_at = :now, consecutive_failures = 0,
        applied_run_id = :applied_run_id, applied_digest = :applied_digest, applied_counts = :applied_counts,
        high_watermark = :high_watermark, held_deletes = :held_deletes, held_of = :held_of,
        unknown_fields = :unknown_fields
    WHERE workspace_id = :workspace_id
"""


def read_state(connection: Connection, workspace_id: UUID) -> State:
    """The workspace's state; its row stays locked until the transaction ends.

    So two loads of one workspace follow each other even where a pooler has broken the lock (promise 3).
    Raises SchemaNotAtHead where someone has migrated the warehouse while the answer was on its way. In
    Postgres that is a look: a migration that locks none of the tables read here may still come in between.
    """
    row = connection.execute(_READ_LOCKED[connection.dialect.name], {"workspace_id": workspace_id}).one()
    require_revision(row.revision)
    counts: dict[str, Any] | None = row.applied_counts
    return State(
        row.applied_run_id,
        row.applied_digest,
        Counts(**counts) if counts else None,
        row.high_watermark,
        tuple(row.unknown_fields or ()),
        row.held_deletes,
        row.held_of,
        row.has_interviews,
        row.foreign_rejects,
    )


def require_counted_on(connection: Connection, dialect: Dialect, workspace_id: UUID, run_id: int) -> None:
    """Raise WarehouseRefused where the ledger does not hold this run as succeeded: its numbers began anew."""
    run = {"workspace_id": workspace_id, "applied_run_id": run_id}
    if connection.execute(_SUCCEEDED, run).first() is None:
        raise WarehouseRefused(
            f"the ledger counts its runs anew: it does not hold run {run_id}, whose answer was applied",
            remedy=f"as their owner, in the tables' schema, run: {dialect.count_on}",
        )


def remembered(job: Job, outcome: Outcome) -> dict[str, Any]:
    """The parameters of either statement: what the next answer is compared with."""
    return {
        "workspace_id": job.workspace_id,
        "applied_run_id": job.run_id,
        "applied_digest": outcome.applied_digest,
        "applied_counts": outcome.counts.as_dict(),
        "high_watermark": outcome.high_watermark,
        "held_deletes": outcome.counts.held_deletes,
        "held_of": outcome.held_of,
        "unknown_fields": list(outcome.unknown_fields) or None,
    }
