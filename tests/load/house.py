"""A migrated warehouse to load answers into, past the network: ledger, load and commit as in a sync."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import xxhash
from msgspec.structs import replace
from sqlalchemy import Connection, Table, select, text

from etl import ledger
from etl.config import Warehouse as WarehouseSettings
from etl.config import Workspace
from etl.config.settings import KeySource, Policy
from etl.errors import EtlError
from etl.extract import Answer
from etl.load import Job, LostBet, Outcome, load
from etl.meter import Meter
from etl.secret import Secret
from etl.standin import generate_interviews
from etl.stop import Stop
from etl.tables import (
    interview_digests,
    interviews,
    interviews_history,
    metadata,
    notices,
    rejected_rows,
    sync_runs,
    workspaces,
)
from etl.warehouse import open_warehouse
from etl.warehouse.schema import migrate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

A = UUID("aaaaaaaa-0000-4000-8000-00000000000a")
B = UUID("bbbbbbbb-0000-4000-8000-00000000000b")
C = UUID("cccccccc-0000-4000-8000-00000000000c")

_FACTS = {"bytes_received": 0, "attempts": 1, "duration_seconds": 0.0}
_KEYS: dict[str, tuple[str, ...]] = {
    interviews.name: ("id",),
    interviews_history.name: ("id", "_valid_from"),
    rejected_rows.name: ("workspace_id", "payload_digest", "message"),
    interview_digests.name: ("workspace_id", "interview_id"),
    sync_runs.name: ("id",),
    workspaces.name: ("workspace_id",),
    notices.name: ("workspace_id", "subject"),
}


class Killed(Exception):
    """The load ends here, as if its process had been killed: its transaction is never committed."""


def workspace(workspace_id: UUID = A, *, project_id: UUID | None = None, **keys: Any) -> Workspace:
    """A configured workspace; `status` filters, other keys are its policy's."""
    status = keys.pop("status", None)
    return Workspace(
        f"ws-{workspace_id.hex[0]}",
        workspace_id,
        KeySource("env", "KEY"),
        project_id=project_id,
        status=status,
        policy=Policy(**keys),
    )


def made(count: int, workspace_id: UUID = A, **changes: Any) -> list[dict[str, Any]]:
    """So many interviews of the workspace, each with these fields changed."""
    return [one | changes for one in generate_interviews(count, workspace_id=workspace_id)]


def body(elements: Iterable[Mapping[str, Any] | object]) -> bytes:
    """The answer that holds these elements."""
    return json.dumps(list(elements), separators=(",", ":")).encode()


def answer_of(raw: bytes) -> Answer:
    """The answer as the spool hands it over."""
    return Answer(io.BytesIO(raw), len(raw), xxhash.xxh3_128_digest(raw))


class House:
    """A warehouse at head, and a clock that moves a minute with each load."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.warehouse = open_warehouse(WarehouseSettings(url=Secret(url)), 4)
        migrate(self.warehouse)
        self.now = NOON

    def close(self) -> None:
        self.warehouse.close()

    def start(self, asked: Workspace) -> int:
        """Open a run: from here on its answer counts as asked for."""
        with self.warehouse.writing() as connection:
            return ledger.start_run(connection, asked.id, asked.name, "manual", self.now)

    def load(
        self,
        asked: Workspace,
        raw: bytes,
        *,
        run_id: int | None = None,
        kill: bool = False,
        before_commit: Callable[[Connection], None] | None = None,
        started_at: datetime | None = None,
        **how: bool,
    ) -> Outcome:
        """Load the answer as one run; a refused or killed one leaves what it leaves, and raises."""
        self.now += timedelta(minutes=1)
        job = Job(self.start(asked) if run_id is None else run_id, asked, started_at, **how)
        try:
            return self._load(job, raw, kill, before_commit)
        except LostBet:
            return self._load(replace(job, staged=True), raw, kill, before_commit)

    def _load(
        self, job: Job, raw: bytes, kill: bool, before_commit: Callable[[Connection], None] | None
    ) -> Outcome:
        try:
            with self.warehouse.of_a_run(10) as connection:
                outcome = load(
                    connection, self.warehouse.dialect, answer_of(raw), job, self.now, Meter(""), Stop()
                )
                if job.dry_run:
                    connection.rollback()
                    return outcome
                if not outcome.applied_before:
                    ledger.succeed_run(connection, job, outcome, _FACTS, self.now)
                if before_commit is not None:
                    before_commit(connection)
                if kill:
                    raise Killed
        except EtlError as error:
            with self.warehouse.writing() as connection:
                ledger.fail_run(
                    connection, job.run_id, job.workspace_id, error, _FACTS, self.now, job.started_at
                )
            raise
        return outcome

    def counts(self, asked: Workspace, elements: Iterable[Any], **how: Any) -> dict[str, int]:
        """Load these elements; the counters that are not zero."""
        found = self.load(asked, body(elements), **how).counts.as_dict()
        return {name: number for name, number in found.items() if number}

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """Every row of the table, in the order of its key."""
        keys = [table.c[name] for name in _KEYS[table.name]]
        with self.warehouse.reading() as connection:
            found = connection.execute(select(table)).mappings().all()
        return sorted(
            (dict(row) for row in found), key=lambda row: [f"{row[key.name]!s:0>36}" for key in keys]
        )

    def row(self, interview_id: str) -> dict[str, Any]:
        """The interview as stored."""
        return next(row for row in self.rows(interviews) if str(row["id"]) == interview_id)

    def present(self) -> set[str]:
        """The ids of all interviews that are not deleted."""
        return {str(row["id"]) for row in self.rows(interviews) if row["_deleted_at"] is None}

    def ask(self, query: str) -> Any:
        """The one value that the query yields."""
        with self.warehouse.reading() as connection:
            return connection.execute(text(query)).scalar_one()

    def empty(self) -> None:
        """Forget everything but the schema."""
        names = [table.name for table in metadata.sorted_tables]
        with self.warehouse.writing() as connection:
            if self.warehouse.dialect.name == "postgresql":
                connection.exec_driver_sql(f"TRUNCATE {', '.join(names)} RESTART IDENTITY")
            else:
                for name in names:
                    connection.exec_driver_sql(f"DELETE FROM {name}")
                connection.exec_driver_sql("DELETE FROM sqlite_sequence")
        self.now = NOON


def load_killed(house: House, asked: Workspace, raw: bytes, *, full: bool = False) -> None:
    """A load that is killed just before its commit."""
    with suppress(Killed):
        house.load(asked, raw, kill=True, full=full)
