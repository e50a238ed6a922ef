"""What could not be loaded: one row per distinct reject, resolved when its interview loads after all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from etl.load import sql
from etl.load.job import Job
from etl.load.scratch import SCRATCH, STAGED_COLUMNS, staged
from etl.load.stage import staged_rejects
from etl.normalize import Reject
from etl.warehouse import Dialect


def keep_rejects(
    connection: Connection, dialect: Dialect, job: Job, observed_at: datetime, rejects: Sequence[Reject]
) -> None:
    """Write the rejects of a first load, which stages nothing else."""
    dialect.create_scratch(connection, SCRATCH)
    with dialect.bulk_insert(connection, staged.name, STAGED_COLUMNS) as write:
        write(staged_rejects(rejects))
    keep_staged_rejects(connection, job, observed_at)


def keep_staged_rejects(connection: Connection, job: Job, observed_at: datetime) -> None:
    """Write the rejects that are staged."""
    at = {"workspace_id": job.workspace_id, "observed_at": observed_at, "run_id": job.run_id}
    connection.execute(sql.KEEP_REJECTS, at)


def resolve_rejects(connection: Connection, job: Job, observed_at: datetime) -> None:
    """Mark the open rejects whose interviews this answer loads."""
    at = {"workspace_id": job.workspace_id, "observed_at": observed_at, "run_id": job.run_id}
    connection.execute(sql.RESOLVE_REJECTS, at)


def resolve_foreign_rejects(connection: Connection, job: Job, observed_at: datetime) -> None:
    """Mark the open rejects of interviews that have loaded where they belong."""
    at = {"workspace_id": job.workspace_id, "observed_at": observed_at, "run_id": job.run_id}
    connection.execute(sql.RESOLVE_FOREIGN_REJECTS, at)


def see_rejects_again(connection: Connection, job: Job, observed_at: datetime, applied_run_id: int) -> None:
    """The same answer came again, and with it the same rejects."""
    connection.execute(
        sql.SEE_REJECTS_AGAIN,
        {
            "workspace_id": job.workspace_id,
            "observed_at": observed_at,
            "run_id": job.run_id,
            "applied_run_id": applied_run_id,
        },
    )
