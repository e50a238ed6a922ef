"""The ledger: one row per attempt at a workspace, from its start to what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    Table,
    Text,
    func,
    select,
)

from etl import __version__
from etl.errors import EtlError, Interrupted, WarehouseRefused
from etl.load import REMEMBER_APPLIED, REMEMBER_SUCCESS, Job, Outcome, remembered
from etl.statement import LAST, in_one_trip, statement
from etl.tables import COUNTERS, interviews, rejected_rows, sync_runs, workspaces
from etl.warehouse.schema import REVISION, head, require_revision

Trigger = Literal["manual", "schedule", "catch_up", "webhook"]


_REMEMBER_WORKSPACE = statement("""
    INSERT INTO workspaces (workspace_id, name) VALUES (:workspace_id, :name)
    ON CONFLICT (workspace_id) DO UPDATE SET name = excluded.name
""")

# Each run closes the one before it, so that no other can be left. Its own row in workspaces names it.
_CLOSE_DEAD_RUN = f"""
    UPDATE sync_runs
    SET status = 'interrupted', finished_at = :now, error_code = 'interrupted',
        error = 'the process ended before the run did; it changed nothing'
    WHERE status = 'running' AND id = (SELECT last_run_id FROM workspaces WHERE workspace_id = :workspace_id)
        AND :revision = ({REVISION})
"""
_OPEN_RUN = f"""
    INSERT INTO sync_runs (workspace_id, workspace_name, trigger, status, started_at, program_version)
    SELECT :workspace_id, :name, :trigger, 'running', :now, :program_version
    WHERE :revision = ({REVISION})
    RETURNING id
"""
_ATTEMPT = """
    INSERT INTO workspaces (workspace_id, name, last_attempt_at, last_run_id)
    {of_the_run}
    ON CONFLICT (workspace_id) DO UPDATE
    SET name = excluded.name, last_attempt_at = excluded.last_attempt_at, last_run_id = excluded.last_run_id
"""
_START_RUN_IN_ONE = statement(
    f"""
    WITH dead AS ({_CLOSE_DEAD_RUN}),
        opened AS ({_OPEN_RUN}),
        attempt AS ({_ATTEMPT.format(of_the_run="SELECT :workspace_id, :name, :now, id FROM opened")})
    SELECT (SELECT id FROM opened) AS id, ({REVISION}) AS revision
    """,
    id=BigInteger(),
    revision=Text(),
)
_START_RUN_IN_STEPS = (
    statement(REVISION),
    statement(_CLOSE_DEAD_RUN),
    statement(_OPEN_RUN, id=BigInteger()),
    statement(_ATTEMPT.format(of_the_run="VALUES (:workspace_id, :name, :now, :run_id)")),
)

_OPENED_AT = statement(
    """
    SELECT r.id FROM workspaces w JOIN sync_runs r ON r.id = w.last_run_id
    WHERE w.workspace_id = :workspace_id AND r.status = 'running' AND r.started_at = :now
    """,
    id=BigInteger(),
)

# A number may be given twice, should a failover or a restore have lost the run that had it.
_THE_RUN = "id = :run_id AND workspace_id = :workspace_id AND started_at = coalesce(:started_at, started_at)"
_SUCCEED = f"""
    UPDATE sync_runs
    SET status = 'succeeded', finished_at = :now, duration_seconds = :duration_seconds,
        {", ".join(f"{name} = :{name}" for name in COUNTERS)},
        high_watermark = :high_watermark, warnings = :warnings, error_code = NULL, error = NULL
    WHERE {_THE_RUN}
"""
_SUCCEED_RUN = in_one_trip(_SUCCEED, REMEMBER_SUCCESS)
_SUCCEED_RUN_APPLIED = in_one_trip(_SUCCEED, REMEMBER_APPLIED)

_FAIL_RUN = statement(f"""
    UPDATE sync_runs
    SET status = :status, finished_at = :now, duration_seconds = :duration_seconds,
        bytes_received = :bytes_received, attempts = :attempts, error_code = :error_code, error = :error
    WHERE {_THE_RUN} AND status = 'running'
""")

_FAILURE = statement("""
    UPDATE workspaces SET consecutive_failures = consecutive_failures + 1 WHERE workspace_id = :workspace_id
""")


def remember_workspace(connection: Connection, workspace_id: UUID, name: str) -> None:
    """Make sure the workspace has its row, under its present name."""
    connection.execute(_REMEMBER_WORKSPACE, {"workspace_id": workspace_id, "name": name})


def start_run(connection: Connection, workspace_id: UUID, name: str, trigger: Trigger, now: datetime) -> int:
    """Open a run and return its id; one that died without a word is marked interrupted.

    To be called with the workspace's lock held: then no run of it can be alive. Nothing may follow it in the
    connection's transaction.
    Raises SchemaNotAtHead where someone has migrated the warehouse since this program began: then no run is
    opened.
    """
    run = {
        "workspace_id": workspace_id,
        "name": name,
        "now": now,
        "trigger": trigger,
        "program_version": __version__,
        "revision": head(),
    }
    if connection.dialect.name == "postgresql":
        run_id, revision = connection.execute(_START_RUN_IN_ONE, run, execution_options=LAST).one()
        require_revision(revision)
        return int(run_id)
    read_revision, close_dead_run, open_run, attempt = _START_RUN_IN_STEPS
    require_revision(connection.execute(read_revision).scalar())
    connection.execute(close_dead_run, run)
    run_id = int(connection.execute(open_run, run).scalar_one())
    connection.execute(attempt, {**run, "run_id": run_id})
    return run_id


def run_opened_at(connection: Connection, workspace_id: UUID, now: datetime) -> int | None:
    """The id of the run that `start_run` opened with this `now`; None where it opened none."""
    opened = connection.execute(_OPENED_AT, {"workspace_id": workspace_id, "now": now})
    run_id: int | None = opened.scalar_one_or_none()
    return run_id


def succeed_run(
    connection: Connection, job: Job, outcome: Outcome, facts: dict[str, Any], now: datetime
) -> None:
    """Close a run as succeeded: in the load's own transaction, so that both happen or neither.

    Raises WarehouseRefused where the ledger holds no such run.
    """
    became = {
        "run_id": job.run_id,
        "started_at": job.started_at,
        "now": now,
        "high_watermark": outcome.high_watermark,
        "warnings": outcome.warnings or None,
        **outcome.counts.as_dict(),
        **facts,
        **remembered(job, outcome),
    }
    both = _SUCCEED_RUN if outcome.applied_digest is None else _SUCCEED_RUN_APPLIED
    closed, *_ = [connection.execute(words, became).rowcount for words in both[connection.dialect.name]]
    if not closed:  # its number would be taken for newer than those of the runs to come
        raise WarehouseRefused(
            "the ledger does not hold this run any more",
            remedy="if the warehouse was restored meanwhile, the next run is as good as any",
        )


def fail_run(
    connection: Connection,
    run_id: int,
    workspace_id: UUID,
    error: EtlError,
    facts: dict[str, Any],
    now: datetime,
    started_at: datetime | None = None,
) -> None:
    """Close a run as failed, or as interrupted, with its error's code and sentence.

    What has been closed stays so: as succeeded, or by the workspace's next run.
    """
    interrupted = isinstance(error, Interrupted)
    became = {
        "run_id": run_id,
        "workspace_id": workspace_id,
        "started_at": started_at,
        "now": now,
        "status": "interrupted" if interrupted else "failed",
        "error_code": error.code,
        "error": str(error),
        **facts,
    }
    closed = connection.execute(_FAIL_RUN, became).rowcount
    if closed and not interrupted:
        connection.execute(_FAILURE, {"workspace_id": workspace_id})


def runs(connection: Connection, workspace_id: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """The newest runs first, of one workspace or of all."""
    query: Select[Any] = select(sync_runs).order_by(sync_runs.c.id.desc()).limit(limit)
    if workspace_id is not None:
        query = query.where(sync_runs.c.workspace_id == workspace_id)
    return connection.execute(query).all()


def rejects(connection: Connection, workspace_id: UUID | None) -> Sequence[Row[Any]]:
    """Open rejects first, then by when they were last seen."""
    query: Select[Any] = (
        select(rejected_rows, workspaces.c.name.label("workspace_name"))
        .join(workspaces, workspaces.c.workspace_id == rejected_rows.c.workspace_id)
        .order_by(
            rejected_rows.c.resolved_at.is_not(None), rejected_rows.c.last_seen_at.desc(), rejected_rows.c.id
        )
    )
    if workspace_id is not None:
        query = query.where(rejected_rows.c.workspace_id == workspace_id)
    return connection.execute(query).all()


def workspace_states(connection: Connection) -> Sequence[Row[Any]]:
    """Every workspace ever synced: its row, its last run, and how many interviews and open rejects it has."""
    here = workspaces.c.workspace_id
    present = interviews.c._deleted_at.is_(None)

    def number(table: Table, *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
        return (
            select(func.count())
            .select_from(table)
            .where(table.c.workspace_id == here, *conditions)
            .scalar_subquery()
        )

    last = sync_runs.alias("last")
    return connection.execute(
        select(
            workspaces,
            last.c.status.label("last_status"),
            last.c.error_code.label("last_error_code"),
            last.c.error.label("last_error"),
            number(interviews, present).label("active"),
            number(interviews, ~present).label("deleted"),
            number(rejected_rows, rejected_rows.c.resolved_at.is_(None)).label("rejects_open"),
        )
        .outerjoin(last, last.c.id == workspaces.c.last_run_id)
        .order_by(workspaces.c.name)
    ).all()
