"""What people are to be told of workspaces, and what they have been told: each thing once.

What is due follows from how things stand, not from the end of a run. So what could not be sent is due again
at the next look, whoever looks: cron, the daemon, or the daemon after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Connection, delete, func, insert, select

from etl.errors import SchemaMismatch
from etl.streak import Streak
from etl.tables import notices, sync_runs, workspaces

Subject = Literal["failing", "schema_mismatch", "held_deletes"]

_ENDED_BY_SUCCESS: tuple[Subject, ...] = ("failing", "schema_mismatch")
_NEVER_FAILED = Streak()


class Watched(Struct, frozen=True):
    """A workspace to look at, with what the daemon knows of it."""

    id: UUID
    name: str
    streak: Streak = _NEVER_FAILED


class Notice(Struct, frozen=True):
    """A line for people, empty where there is nothing to say, and what begins or ends with it."""

    line: str
    workspace_id: UUID
    subject: Subject
    begins: bool
    run_id: int = 0
    """The workspace's last run when it began."""


class Told:
    """What people have been told and is still so: subject → the last run then, by workspace.

    The warehouse has it for all processes; what cannot be written there yet is kept here.
    """

    def __init__(self) -> None:
        self._known: dict[UUID, dict[Subject, int]] = {}
        self._unwritten: dict[tuple[UUID, Subject], Notice] = {}

    def of(self, workspace_id: UUID) -> Mapping[Subject, int]:
        """What they know of the workspace."""
        return self._known.get(workspace_id, {})

    def read(self, connection: Connection) -> None:
        """Take in what all processes have told. What was known stays where that cannot be read."""
        rows = connection.execute(select(notices)).all()
        self._known = {}
        for row in rows:
            self._known.setdefault(row.workspace_id, {})[row.subject] = row.run_id
        for notice in self._unwritten.values():
            self._take_in(notice)

    def note(self, said: Sequence[Notice]) -> None:
        """These have been sent."""
        for notice in said:
            self._unwritten[notice.workspace_id, notice.subject] = notice
            self._take_in(notice)

    def write(self, connection: Connection, now: datetime) -> None:
        """Write down what is noted; `written` follows where that was committed."""
        for (workspace_id, subject), notice in self._unwritten.items():
            here = (notices.c.workspace_id == workspace_id, notices.c.subject == subject)
            connection.execute(delete(notices).where(*here))
            if notice.begins:
                row = {"workspace_id": workspace_id, "subject": subject}
                connection.execute(insert(notices).values(**row, run_id=notice.run_id, told_at=now))

    def written(self) -> None:
        """All that was noted is in the warehouse."""
        self._unwritten.clear()

    @property
    def has_unwritten(self) -> bool:
        """Whether the warehouse lacks something."""
        return bool(self._unwritten)

    def _take_in(self, notice: Notice) -> None:
        known = self._known.setdefault(notice.workspace_id, {})
        if notice.begins:
            known[notice.subject] = notice.run_id
        else:
            known.pop(notice.subject, None)


class _State(Struct, frozen=True):
    """How a workspace stands by the ledger."""

    failures: int = 0
    last_success_at: datetime | None = None
    last_run_id: int = 0
    held_deletes: int = 0


def due(connection: Connection, watched: Sequence[Watched], told: Told, after_failures: int) -> list[Notice]:
    """All that these workspaces call for and people do not know yet."""
    columns = workspaces.c
    query = select(
        columns.workspace_id,
        columns.consecutive_failures,
        columns.last_success_at,
        func.coalesce(columns.last_run_id, 0),
        columns.held_deletes,
    ).where(columns.workspace_id.in_([one.id for one in watched]))
    states = {row[0]: _State(*row[1:]) for row in connection.execute(query)}
    return [
        notice
        for one in watched
        for notice in _of(connection, one, states.get(one.id, _State()), told.of(one.id), after_failures)
    ]


def due_without_ledger(watched: Sequence[Watched], told: Told, after_failures: int) -> list[Notice]:
    """What the daemon's own count calls for while the warehouse cannot be asked."""
    return [
        Notice(_failing(one.name, one.streak.failures, one.streak, None), one.id, "failing", begins=True)
        for one in watched
        if one.streak.failures >= after_failures and "failing" not in told.of(one.id)
    ]


def _of(
    connection: Connection, one: Watched, state: _State, told: Mapping[Subject, int], after_failures: int
) -> Iterator[Notice]:
    streak = one.streak
    if not streak.goes_beyond(state.failures, state.last_success_at):
        streak = Streak(state.failures)
    if not streak.failures:
        if ended := [subject for subject in _ENDED_BY_SUCCESS if subject in told]:
            failed = max(_failures(connection, one.id, min(told[s] for s in ended)), one.streak.ended)
            yield Notice(_fresh_again(one.name, failed), one.id, ended[0], begins=False)
            yield from (Notice("", one.id, subject, begins=False) for subject in ended[1:])
    elif not told.keys() >= set(_ENDED_BY_SUCCESS):
        if streak.error_code is None:
            streak = _last_failure(connection, one.id, streak.failures)
        yield from _of_failures(one, streak, state, told, after_failures)
    yield from _of_held_deletes(connection, one, state, told)


def _of_failures(
    one: Watched, streak: Streak, state: _State, told: Mapping[Subject, int], after_failures: int
) -> Iterator[Notice]:
    def begin(line: str, subject: Subject) -> Notice:
        return Notice(line, one.id, subject, begins=True, run_id=state.last_run_id)

    if streak.error_code == SchemaMismatch.code and "schema_mismatch" not in told:
        yield begin(f"workspace {one.name}: {streak.error}", "schema_mismatch")
    if streak.failures >= after_failures and "failing" not in told:
        yield begin(_failing(one.name, streak.failures, streak, state.last_success_at), "failing")


def _of_held_deletes(
    connection: Connection, one: Watched, state: _State, told: Mapping[Subject, int]
) -> Iterator[Notice]:
    if state.held_deletes and "held_deletes" not in told:
        line = f"workspace {one.name}: {_held_message(connection, one.id, state.held_deletes)}"
        yield Notice(line, one.id, "held_deletes", begins=True, run_id=state.last_run_id)
    elif not state.held_deletes and "held_deletes" in told:
        yield Notice("", one.id, "held_deletes", begins=False)


# --- the lines ---


def _failing(name: str, failures: int, streak: Streak, last_success_at: datetime | None) -> str:
    times = "once" if failures == 1 else f"{failures} times in a row"
    since = f"; last success: {last_success_at:%Y-%m-%d %H:%M} UTC" if last_success_at else ""
    return f"workspace {name} failed {times}: {streak.error} [{streak.error_code}]{since}"


def _fresh_again(name: str, failed: int) -> str:
    times = "1 failed run" if failed == 1 else f"{failed} failed runs"
    return f"workspace {name} is fresh again" + (f", after {times}" if failed else "")


# --- what else the ledger knows ---


def _last_failure(connection: Connection, workspace_id: UUID, failures: int) -> Streak:
    """So many failures, with the error of the newest."""
    row = connection.execute(
        select(sync_runs.c.error_code, sync_runs.c.error)
        .where(sync_runs.c.workspace_id == workspace_id, sync_runs.c.status == "failed")
        .order_by(sync_runs.c.id.desc())
        .limit(1)
    ).first()
    return Streak(failures, row.error_code, row.error) if row else Streak(failures)


def _failures(connection: Connection, workspace_id: UUID, told_after: int) -> int:
    """How many runs have failed since the last success before people were told; 0 where that is unknown."""
    if not told_after:
        return 0
    runs = sync_runs.c
    own = runs.workspace_id == workspace_id
    success = connection.execute(
        select(runs.id)
        .where(own, runs.id <= told_after, runs.status == "succeeded")
        .order_by(runs.id.desc())
        .limit(1)
    ).scalar()
    count = select(func.count()).where(own, runs.id > (success or 0), runs.status == "failed")
    return connection.execute(count).scalar_one()


def _held_message(connection: Connection, workspace_id: UUID, held: int) -> str:
    runs = sync_runs.c
    warnings = connection.execute(
        select(runs.warnings)
        .where(runs.workspace_id == workspace_id, runs.status == "succeeded")
        .order_by(runs.id.desc())
        .limit(1)
    ).scalar()
    said = [
        warning["message"]
        for warning in cast("list[dict[str, Any]]", warnings or [])
        if warning["code"] == "deletes_held"
    ]
    return said[0] if said else f"{held} deletes are held"
