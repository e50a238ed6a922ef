"""The ledger: one row per attempt at a workspace, from its start to what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    Table,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

from etl import __version__
from etl.errors import EtlError, Interrupted
from etl.load import REMEMBER_APPLIED, REMEMBER_SUCCESS, Job, Outcome, remembered
from etl.statement import in_one_trip, statement
from etl.tables import COUNTERS, interviews, rejected_rows, sync_runs, workspaces

Trigger = Literal["manual", "schedule", "catch_up", "webhook"]


_REMEMBER_WORKSPACE = statement("""
    INSERT INTO workspaces (workspace_id, name) VALUES (:workspace_id, :name)
    ON CONFLICT (workspace_id) DO UPDATE SET name = excluded.name
""")

_CLOSE_DEAD_RUNS = statement("""
    UPDATE sync_runs
    SET status = 'interrupted', finished_at = :now, error_code = 'interrupted',
        error = 'the process ended before the run did; it changed nothing'
    WHERE workspace_id = :workspace_id AND status = 'running' AND id < :run_id
""")

_OPEN = """
    INSERT INTO sync_runs (workspace_id, workspace_name, trigger, status, started_at, program_version)
    VALUES (:workspace_id, :name, :trigger, 'running', :now, :program_version)
    RETURNING id, EXISTS (
        SELECT 1 FROM sync_runs dead WHERE dead.workspace_id = :workspace_id AND dead.status = 'running'
            AND dead.id < sync_runs.id
    ) AS others_died
"""
_ATTEMPT = """
    INSERT INTO workspaces (workspace_id, name, last_attempt_at, last_run_id)
    {of_the_run}
    ON CONFLICT (workspace_id) DO UPDATE
    SET name = excluded.name, last_attempt_at = excluded.last_attempt_at, last_run_id = excluded.last_run_id
"""
_OPENED: dict[str, TypeEngine[Any]] = {"id": BigInteger(), "others_died": Boolean()}
_OPEN_RUN = {
    "postgresql": statement(  # both in one round trip
        f"""
        WITH opened AS ({_OPEN}),
            attempt AS ({_ATTEMPT.format(of_the_run="SELECT :workspace_id, :name, :now, id FROM opened")})
        SELECT id, others_died FROM opened
        """,
        **_OPENED,
    ),
    "sqlite": statement(_OPEN, **_OPENED),
}
_ATTEMPT_AFTERWARDS = statement(_ATTEMPT.format(of_the_run="VALUES (:workspace_id, :name, :now, :run_id)"))

_SUCCEED = f"""
    UPDATE sync_runs
    SET status = 'succeeded', finished_at = :now, duration_seconds = :duration_seconds,
        {", ".join(f"{name} = :{name}" for name in COUNTERS)},
        high_watermark = :high_watermark, warnings = :warnings, error_code = NULL, error = NULL
    WHERE id = :run_id
"""
_SUCCEED_RUN = in_one_trip(_SUCCEED, REMEMBER_SUCCESS)
_SUCCEED_RUN_APPLIED = in_one_trip(_SUCCEED, REMEMBER_APPLIED)

_FAIL_RUN = statement("""
    UPDATE sync_runs
    SET status = :status, finished_at = :now, duration_seconds = :duration_seconds,
        bytes_received = :bytes_received, attempts = :attempts, error_code = :error_code, error = :error
    WHERE id = :run_id AND status <> 'succeeded'
""")

_FAILURE = statement("""
    UPDATE workspaces SET consecutive_failures = consecutive_failures + 1 WHERE workspace_id = :workspace_id
""")


def remember_workspace(connection: Connection, workspace_id: UUID, name: str) -> None:
    """Make sure the workspace has its row, under its present name."""
    connection.execute(_REMEMBER_WORKSPACE, {"workspace_id": workspace_id, "name": name})


def start_run(connection: Connection, workspace_id: UUID, name: str, trigger: Trigger, now: datetime) -> int:
    """Open a run and return its id; runs that died without a word are marked interrupted.

    To be called with the workspace's lock held: then no run of it can be alive.
    """
    run = {"workspace_id": workspace_id, "name": name, "now": now}
    opened = {**run, "trigger": trigger, "program_version": __version__}
    run_id, others_died = connection.execute(_OPEN_RUN[connection.dialect.name], opened).one()
    run["run_id"] = run_id
    if connection.dialect.name == "sqlite":
        connection.execute(_ATTEMPT_AFTERWARDS, run)
    if others_died:
        connection.execute(_CLOSE_DEAD_RUNS, run)
    return int(run_id)


def succeed_run(
    connection: Connection, job: Job, outcome: Outcome, facts: dict[str, Any], now: datetime
) -> None:
    """Close a run as succeeded: in the load's own transaction, so that both happen or neither."""
    became = {
        "run_id": job.run_id,
        "now": now,
        "high_watermark": outcome.high_watermark,
        "warnings": outcome.warnings or None,
        **outcome.counts.as_dict(),
        **facts,
        **remembered(job, outcome),
    }
    both = _SUCCEED_RUN if outcome.applied_digest is None else _SUCCEED_RUN_APPLIED
    for words in both[connection.dialect.name]:
        connection.execute(words, became)


def fail_run(
    connection: Connection,
    run_id: int,
    workspace_id: UUID,
    error: EtlError,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    """Close a run as failed, or as interrupted, with its error's code and sentence.

    What has been committed stays so, whatever comes after it.
    """
    interrupted = isinstance(error, Interrupted)
    became = {
        "run_id": run_id,
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
