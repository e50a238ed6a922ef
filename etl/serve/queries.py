"""What the pages and the metrics read of the warehouse, and the one thing that is written: heard webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    bindparam,
    cast,
    delete,
    extract,
    func,
    literal,
    select,
    text,
    union_all,
)

from etl import ledger
from etl.column_types import Identifier, Instant
from etl.config import Settings
from etl.status import workspace_status
from etl.tables import interviews, interviews_history, webhook_deliveries

RUNS_SHOWN = 50
_MOST_BINS = 96
_BIN_SECONDS = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 7 * 86400, 28 * 86400, 364 * 86400)


class Overview(Struct, frozen=True):
    """Every workspace as it stood at one moment, its newest runs and its interviews by status."""

    taken_at: datetime
    states: list[dict[str, Any]]
    runs: dict[str, Sequence[Row[Any]]]
    by_status: dict[str, dict[str, int]]


class Past(Struct, frozen=True):
    """How many interviews had which status at the end of each of many equal spans of time."""

    times: list[datetime]
    by_status: dict[str, list[int]]


def read_overview(settings: Settings, connection: Connection, now: datetime) -> Overview:
    """All that the status page and the metrics show."""
    states = workspace_status(settings, connection, now)
    by_status: dict[str, dict[str, int]] = {}
    counted = (
        select(interviews.c.workspace_id, interviews.c.status, func.count().label("interviews"))
        .where(interviews.c._deleted_at.is_(None))
        .group_by(interviews.c.workspace_id, interviews.c.status)
        .order_by(interviews.c.status)
    )
    for row in connection.execute(counted):
        by_status.setdefault(str(row.workspace_id), {})[row.status] = row.interviews
    # A query per workspace: each reads just its newest rows by the index, however long the ledger.
    runs = {
        state["workspace_id"]: ledger.runs(connection, UUID(state["workspace_id"]), RUNS_SHOWN)
        for state in states
    }
    return Overview(now, states, runs, by_status)


def read_past(connection: Connection, workspace_id: UUID, now: datetime) -> Past | None:
    """The workspace's interviews by status over time, as far back as they were observed; None without any."""
    old, present = interviews_history.c, interviews.c
    began, ended = old["_valid_from"], old["_valid_to"]
    # What a "restored" ended is the time for which the interview was gone.
    lived = (old.workspace_id == workspace_id, old["_change"] != "restored")
    lives = (present.workspace_id == workspace_id, present._deleted_at.is_(None))
    begins = [
        connection.execute(select(func.min(began)).where(*lived)).scalar_one(),
        connection.execute(select(func.min(present._synced_at)).where(*lives)).scalar_one(),
    ]
    known = [instant for instant in begins if instant is not None]
    if not known:
        return None
    begin = int(min(known).timestamp())
    end = max(begin, int(now.timestamp()))  # the clock of whoever synced may have been ahead
    width = next((w for w in _BIN_SECONDS if (end - begin) / w < _MOST_BINS), _BIN_SECONDS[-1])

    def bin_of(instant: Any) -> Any:
        return (cast(extract("epoch", instant), BigInteger) // width).label("bin")

    came_or_went = union_all(
        select(bin_of(began), old.status, literal(1).label("step")).where(*lived),
        select(bin_of(ended), old.status, literal(-1).label("step")).where(*lived),
        select(bin_of(present._synced_at), present.status, literal(1).label("step")).where(*lives),
    ).subquery()
    bin_, status = came_or_went.c.bin, came_or_went.c.status
    steps = connection.execute(
        select(bin_, status, func.sum(came_or_went.c.step).label("step")).group_by(bin_, status)
    ).all()
    bins = range(begin // width, end // width + 1)
    return Past(
        [datetime.fromtimestamp(min((number + 1) * width, end), UTC) for number in bins],
        {name: _summed(steps, name, bins) for name in sorted({row.status for row in steps})},
    )


def _summed(steps: Sequence[Any], status: str, bins: range) -> list[int]:
    change = {int(row.bin): int(row.step) for row in steps if row.status == status}
    total, totals = 0, []
    for number in bins:
        total += change.get(number, 0)
        totals.append(total)
    return totals


# --- webhooks ---

_KEEP_DELIVERY = text(
    "INSERT INTO webhook_deliveries (workspace_id, delivery_id, body_digest, received_at) "
    "VALUES (:workspace_id, :delivery_id, :body_digest, :received_at) ON CONFLICT DO NOTHING"
).bindparams(
    bindparam("workspace_id", type_=Identifier()),
    bindparam("delivery_id", type_=Identifier()),
    bindparam("received_at", type_=Instant()),
)


def read_deliveries(connection: Connection, since: datetime) -> Sequence[Row[Any]]:
    """The webhooks heard since then, oldest first."""
    heard = webhook_deliveries
    return connection.execute(
        select(heard).where(heard.c.received_at >= since).order_by(heard.c.received_at)
    ).all()


def keep_deliveries(connection: Connection, heard: Sequence[dict[str, Any]], forget: datetime) -> None:
    """Write what was heard, and drop what is older than `forget`."""
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.received_at < forget))
    connection.execute(_KEEP_DELIVERY, heard)
