"""Steps 2 to 6: what was staged changes the warehouse, each step one look at set-based SQL.

classify → count → history → upsert → delete → digests, rejects
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from etl.errors import LoadConflict
from etl.load import sql
from etl.load.job import Change, Changes, Counts, Job
from etl.load.reading import Reading
from etl.load.rejects import keep_staged_rejects, resolve_rejects
from etl.warehouse import Dialect

_MOST_SHOWN = 20


def fields_not_read_again(connection: Connection, unknown: Iterable[str]) -> set[str]:
    """Those unknown fields of last time that elements known by their bytes, and so not read, still hold."""
    sought, found = set(unknown), set[str]()
    if sought:
        with connection.execute(sql.KNOWN_EXTRAS.columns(extra=sql.JSON)) as result:
            for (extra,) in result:
                found |= sought & extra.keys()
                if found == sought:
                    break
    return found


def classify(
    connection: Connection, job: Job, *, accepted: int, held_of: int | None
) -> tuple[int, int | None]:
    """Give every staged element its fate and find the interviews that are gone.

    Returns how many of those are held, and of how many rows. A loss is held where it is more than
    `max_delete_rows` and more than `max_delete_fraction` of the active rows, or where not one element was
    `accepted`: that is more often a fault than the truth. While it is held it is measured by no more rows
    than before, `held_of`: what comes meanwhile, or comes back, would make it look small. That outlasts runs
    that look for no deletes.
    """
    workspace, policy = job.workspace, job.workspace.policy
    scope = {"workspace_id": workspace.id, "project_id": workspace.project_id}
    connection.execute(sql.CLASSIFY, {"workspace_id": workspace.id})
    if not policy.detect_deletes or workspace.status is not None:
        return 0, held_of  # not looked at: what was held may be missing still
    gone = connection.execute(sql.CLASSIFY_GONE, scope).rowcount
    if job.accept_deletes or not gone or (accepted and gone <= policy.max_delete_rows):
        return 0, None
    rows: int = connection.execute(sql.COUNT_ACTIVE, scope).scalar_one()
    if held_of is not None:
        rows = min(rows, held_of)
    if accepted and gone <= policy.max_delete_fraction * rows:
        return 0, None
    connection.execute(sql.FORGET_GONE)
    return gone, rows


def observation_time(connection: Connection, dialect: Dialect, now: datetime) -> datetime:
    """When this load's changes count as observed; the rows about to change stay locked.

    Now, or just after the newest version that is to end, should the clock have been set back.
    Raises LoadConflict where another load has changed one of the rows since they were classified.
    """
    moved_on, newest = connection.execute(
        sql.lock_changing(dialect.row_lock).columns(moved_on=sql.COUNT, valid_from=sql.INSTANT)
    ).one()
    if moved_on:
        raise LoadConflict(f"{moved_on} interviews were changed by another load")
    return now if newest is None else max(now, newest + timedelta(microseconds=1))


def keep_versions(connection: Connection, job: Job, observed_at: datetime) -> None:
    """History: the versions about to end, as they stand."""
    if job.workspace.policy.history:
        connection.execute(sql.KEEP_VERSIONS, {"observed_at": observed_at, "run_id": job.run_id})


def upsert(connection: Connection, job: Job, observed_at: datetime, counts: Counts) -> None:
    """Write what is new or changed, restore what came back."""
    at = {"observed_at": observed_at, "run_id": job.run_id}
    if counts.inserted or counts.updated:
        written = connection.execute(sql.UPSERT, at).rowcount
        if written != counts.inserted + counts.updated:
            raise LoadConflict("another load wrote one of these interviews first")
    if counts.restored:
        connection.execute(sql.RESTORE_AS_STORED, at)


def mark_deleted(connection: Connection, job: Job, observed_at: datetime, counts: Counts) -> None:
    """Mark what is gone."""
    if counts.deleted:
        connection.execute(sql.MARK_DELETED, {"observed_at": observed_at, "run_id": job.run_id})


def keep_digests(connection: Connection, job: Job, counts: Counts) -> None:
    """The digests of the elements that this answer holds as they are stored now; all others are dropped."""
    at = {"workspace_id": job.workspace_id}
    if counts.updated:
        # In this order: the first waits for a load of theirs, and the second must see its digests.
        connection.execute(sql.DISTRUST_FORMER_WORKSPACES, at)
        connection.execute(sql.DROP_MOVED_DIGESTS, at)
    connection.execute(sql.DROP_UNSEEN_DIGESTS, at)
    connection.execute(sql.KEEP_DIGESTS, at)


def keep_and_resolve_rejects(connection: Connection, job: Job, observed_at: datetime, counts: Counts) -> None:
    """Write what was rejected; close the rejects whose interviews loaded."""
    if counts.rejected:
        keep_staged_rejects(connection, job, observed_at)
    resolve_rejects(connection, job, observed_at)


def count(connection: Connection, reading: Reading, held: int) -> Counts:
    """What becomes of every element, from the fates."""
    fates = {row.fate: row for row in connection.execute(sql.COUNT_FATES)}
    known = connection.execute(sql.COUNT_KNOWN).one()

    def rows(fate: str) -> int:
        return fates[fate].rows if fate in fates else 0

    return Counts(
        received=reading.received,
        inserted=rows("inserted"),
        updated=rows("updated"),
        unchanged=rows("unchanged") + known.interviews,
        stale=rows("stale"),
        duplicate=rows("duplicate") + known.elements - known.interviews,
        rejected=sum(reading.reasons.values()),
        deleted=rows("gone"),
        restored=sum(row.restored for row in fates.values()),
        held_deletes=held,
    )


def changes(connection: Connection, counts: Counts) -> Changes:
    """For a dry run: up to 20 interviews that will be updated, field by field, and 20 that come or go."""
    updated = []
    for row in connection.execute(sql.CHANGES, {"most": _MOST_SHOWN}).mappings():
        fields: dict[str, tuple[Any, Any]] = {
            name: (row[f"old_{name}"], row[f"new_{name}"])
            for name in sql.COMPARED
            if row[f"old_{name}"] != row[f"new_{name}"]
        }
        updated.append(Change(str(row["id"]), row["name"], "updated", fields))
    rows = connection.execute(sql.COMINGS_AND_GOINGS, {"most": _MOST_SHOWN}).all()
    others = [Change(str(row.id), row.name, row.fate) for row in rows]
    others_in_all = rows[0].in_all if rows else 0
    shown = updated + others
    return Changes(shown, counts.updated + others_in_all - len(shown))
