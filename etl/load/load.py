"""One load, from the spooled answer to the changed warehouse: six steps, or a shorter way to the same end.

Three shorter ways, each switched off by `--full`: an answer equal to the last applied one is not parsed;
an element equal to last time's is not read; a workspace's first answer is not staged. Tests show that they
change nothing but the time it takes.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from etl.extract import Answer
from etl.load import merge
from etl.load.first import load_first
from etl.load.job import Changes, Counts, Job, Outcome, warning
from etl.load.reading import Reading
from etl.load.rejects import resolve_foreign_rejects, see_rejects_again
from etl.load.stage import stage
from etl.load.state import State, read_state, require_counted_on
from etl.meter import Meter
from etl.printable import LONGEST_NAME, printable
from etl.stop import Stop
from etl.warehouse import Dialect


def load(
    connection: Connection,
    dialect: Dialect,
    answer: Answer,
    job: Job,
    now: datetime,
    meter: Meter,
    stop: Stop,
) -> Outcome:
    """Apply the answer within the connection's transaction; the caller commits or rolls back.

    What is to be remembered of it is in the outcome, for `ledger.succeed_run`.
    Raises UnexpectedAnswer for what is no JSON array, SchemaMismatch, Interrupted, LoadConflict, LostBet, and
    WarehouseRefused where the ledger began to count anew.
    """
    state = read_state(connection, job.workspace_id)
    digest = job.reading_digest(answer.digest)
    reading = Reading(answer.file, job, meter, stop)
    if not job.dry_run and state.applied_run_id is not None and state.applied_run_id >= job.run_id:
        require_counted_on(connection, dialect, job.workspace_id, state.applied_run_id)
        return _superseded(reading, state) if state.applied_run_id > job.run_id else _applied_before(state)
    if state.applied_counts and state.applied_digest == digest and not (job.full or job.accept_deletes):
        outcome = _seen_again(connection, job, state, state.applied_counts, now)
    else:
        outcome = _apply(connection, dialect, reading, job, state, now)
    outcome.applied_digest = digest
    return outcome


def _apply(
    connection: Connection, dialect: Dialect, reading: Reading, job: Job, state: State, now: datetime
) -> Outcome:
    fresh = not state.has_interviews
    if fresh and state.applied_run_id is None and not (job.full or job.dry_run or job.staged):
        counts = load_first(connection, dialect, reading, job, now)
        reading.refuse_drift(losing=False)
        if state.foreign_rejects:
            resolve_foreign_rejects(connection, job, now)
        return _outcome(reading, job, state, counts)
    by_digest = not (fresh or job.full)

    stage(connection, dialect, reading, job, by_digest=by_digest)
    reading.notes.unknown_fields |= merge.fields_not_read_again(connection, state.unknown_fields)
    accepted = reading.received - reading.rejected
    held, held_of = merge.classify(connection, job, accepted=accepted, held_of=state.held_of)
    observed_at = merge.observation_time(connection, dialect, now)
    counts = merge.count(connection, reading, held)
    reading.refuse_drift(losing=bool(counts.deleted or held))
    changes = merge.changes(connection, counts) if job.dry_run else Changes()
    merge.keep_versions(connection, job, observed_at)
    merge.upsert(connection, job, observed_at, counts)
    merge.mark_deleted(connection, job, observed_at, counts)
    merge.keep_digests(connection, job, counts)
    merge.keep_and_resolve_rejects(connection, job, observed_at, counts)
    if state.foreign_rejects:
        resolve_foreign_rejects(connection, job, observed_at)

    outcome = _outcome(reading, job, state, counts)
    outcome.changes, outcome.held_of = changes, held_of
    return outcome


def _superseded(reading: Reading, state: State) -> Outcome:
    """The answer was asked for before the one applied last: older news, all of it (promise 3)."""
    for _ in reading.windows():
        pass
    counts = Counts(received=reading.received, stale=reading.received)
    message = (
        f"not applied: it was asked for before the answer of run {state.applied_run_id}, applied meanwhile"
    )
    return Outcome(
        counts, [warning("superseded", message)], state.high_watermark, unknown_fields=state.unknown_fields
    )


def _applied_before(state: State) -> Outcome:
    """This very run has committed, and the connection broke before it was told so."""
    return Outcome(state.applied_counts or Counts(), high_watermark=state.high_watermark, applied_before=True)


def _seen_again(connection: Connection, job: Job, state: State, counts: Counts, now: datetime) -> Outcome:
    again = counts.if_seen_again()
    if again.rejected and state.applied_run_id is not None:
        see_rejects_again(connection, job, now, state.applied_run_id)
    warnings = _scope_warnings(job, again) + _drift_warnings(state.unknown_fields)
    return Outcome(
        again, warnings, state.high_watermark, unknown_fields=state.unknown_fields, held_of=state.held_of
    )


def _outcome(reading: Reading, job: Job, state: State, counts: Counts) -> Outcome:
    if counts.received != counts.accounted():  # promise 4; the ledger's constraint would say it less clearly
        raise AssertionError(f"the load lost count: {counts}")
    newest = datetime.fromisoformat(reading.newest).replace(tzinfo=UTC) if reading.newest else None
    watermark = max((t for t in (newest, state.high_watermark) if t is not None), default=None)
    names = tuple(sorted(reading.notes.unknown_fields))
    warnings = reading.warnings() + _scope_warnings(job, counts) + _drift_warnings(names)
    return Outcome(counts, warnings, watermark, unknown_fields=names)


def _drift_warnings(unknown_fields: tuple[str, ...]) -> list[dict[str, object]]:
    if not unknown_fields:
        return []
    names = [printable(name, LONGEST_NAME) for name in unknown_fields]
    message = f"fields this program does not know, kept in _extra: {', '.join(names)}"
    return [warning("unknown_fields", message, fields=names)]


def _scope_warnings(job: Job, counts: Counts) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if job.workspace.status is not None and job.workspace.policy.detect_deletes:
        message = f"the filter status = {job.workspace.status!r} hides other rows: no deletes are detected"
        found.append(warning("deletes_not_detected", message))
    if held := counts.held_deletes:
        message = (
            f"{held} interviews are gone at once; their deletion is held. If it is true, run: "
            f"ontora-etl sync {job.workspace.name} --accept-deletes"
        )
        found.append(warning("deletes_held", message, count=held))
    return found
