"""The views for analysts: what each one holds and what its columns mean, for the data dictionary.

Their SQL is in `migrations/versions/`; tests hold both to the same columns and the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import TypeEngine

from etl.tables import CONTENT_COLUMNS, interviews


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of a view; `type` as Postgres calls it."""

    name: str
    type: str
    comment: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """A view. `key` names the columns that tell its rows apart."""

    name: str
    comment: str
    key: tuple[str, ...]
    columns: tuple[ViewColumn, ...]


_SHORT_TYPES = {"timestamp with time zone": "timestamptz"}


def type_name(kind: TypeEngine[Any]) -> str:
    """What Postgres calls a column type, in its shorter form."""
    name = kind.compile(dialect=PGDialect()).lower()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    return "double precision" if name.startswith("float") else _SHORT_TYPES.get(name, name)


def _always(name: str, type_: str, comment: str) -> ViewColumn:
    return ViewColumn(name, type_, comment, nullable=False)


def _maybe(name: str, type_: str, comment: str) -> ViewColumn:
    return ViewColumn(name, type_, comment)


def _from_interviews(*names: str) -> tuple[ViewColumn, ...]:
    columns = [interviews.c[name] for name in names]
    return tuple(ViewColumn(c.name, type_name(c.type), c.comment or "", bool(c.nullable)) for c in columns)


_WORKSPACE = (
    _always("workspace_id", "uuid", "The workspace at Ontora"),
    _always("workspace_name", "text", "The configuration's name for the workspace"),
)

VIEWS = (
    View(
        "interviews_current",
        "One row per interview that is present at Ontora, as last synced",
        ("id",),
        (
            *_from_interviews(*CONTENT_COLUMNS, "_first_seen_at", "_synced_at"),
            _maybe("workspace_name", "text", "The configuration's name for the workspace"),
            _maybe(
                "completion_rate",
                "double precision",
                "completed_count / contact_count; null without contacts",
            ),
            _always("open_contacts", "bigint", "contact_count - completed_count, never below 0"),
            _always(
                "is_overdue",
                "boolean",
                "Its timeframe_end has passed, its status is not completed and contacts are open",
            ),
            _always("created_day", "date", "UTC day of created_at"),
            _always("created_week", "date", "The Monday of the week of created_day"),
            _always("age_days", "bigint", "Days from created_day to today (UTC)"),
        ),
    ),
    View(
        "interview_versions",
        "Every observed version of every interview, deleted states included: history and present in one",
        ("id", "_valid_from"),
        (
            *_from_interviews(*CONTENT_COLUMNS),
            _always("_valid_from", "timestamptz", "When a sync first observed this version"),
            _maybe(
                "_valid_to",
                "timestamptz",
                "When a sync observed its end; exclusive; null for the present version",
            ),
            _maybe(
                "_change",
                "text",
                "What ended it: updated, deleted or restored; null for the present version",
            ),
            _always(
                "is_deleted", "boolean", "Whether the interview was gone from Ontora while this version held"
            ),
            _always("is_current", "boolean", "Whether this is the present version: one per interview"),
            _always("valid_from_day", "date", "UTC day of _valid_from"),
            _always("days_ago", "bigint", "Days from valid_from_day to today: 0 is today, 1 yesterday (UTC)"),
            _always(
                "days_since_created",
                "double precision",
                "From created_at to _valid_from, in days and fractions of them",
            ),
        ),
    ),
    View(
        "interview_daily",
        "One row per interview and UTC day since first seen, with its state at the end of that day",
        ("id", "day"),
        (
            _always("day", "date", "The UTC day; today's row is the state so far"),
            _always("week", "date", "The Monday of the day's week"),
            _always(
                "is_week_end",
                "boolean",
                "Whether it is the last day of its week so far: a Sunday, or today",
            ),
            _always("days_ago", "bigint", "Days from day to today: 0 is today, 1 yesterday (UTC)"),
            _always("id", "uuid", "The interview"),
            _always("workspace_id", "uuid", "The workspace it belonged to"),
            _maybe("project_id", "uuid", "The project that grouped it, if any"),
            _always("name", "text", "Its name"),
            _always("status", "text", "Its status"),
            _always("contact_count", "bigint", "People to be interviewed"),
            _always("completed_count", "bigint", "Conversations completed"),
            _always("scheduled_count", "bigint", "Conversations scheduled"),
            _always("is_deleted", "boolean", "Whether it was gone from Ontora"),
        ),
    ),
    View(
        "workspace_summary",
        "One row per workspace ever synced: its interviews by status and its conversations",
        ("workspace_id",),
        (
            *_WORKSPACE,
            _always("interviews", "bigint", "Interviews present, whatever their status"),
            _always("draft", "bigint", "Of these, with status draft"),
            _always("active", "bigint", "Of these, with status active"),
            _always("paused", "bigint", "Of these, with status paused"),
            _always("completed", "bigint", "Of these, with status completed"),
            _always("other", "bigint", "Of these, with any other status"),
            _always("deleted", "bigint", "Interviews found gone from Ontora; not among the above"),
            _maybe("contacts", "bigint", "Sum of contact_count of interviews present; null beyond 2^53"),
            _maybe("completions", "bigint", "Sum of completed_count of interviews present; null beyond 2^53"),
            _maybe("scheduled", "bigint", "Sum of scheduled_count of interviews present; null beyond 2^53"),
            _maybe("last_success_at", "timestamptz", "When its last successful run ended"),
            _maybe("completion_rate", "double precision", "completions / contacts; null without contacts"),
        ),
    ),
    View(
        "sync_health",
        "One row per workspace ever synced: how fresh it is and what needs attention",
        ("workspace_id",),
        (
            *_WORKSPACE,
            _maybe("last_attempt_at", "timestamptz", "When its last run started"),
            _maybe("last_success_at", "timestamptz", "When its last successful run ended"),
            _maybe("seconds_since_success", "bigint", "Age of the last success; null where there was none"),
            _always("consecutive_failures", "bigint", "Failed runs since the last success"),
            _maybe(
                "last_status",
                "text",
                "Outcome of the last run: running, succeeded, failed or interrupted",
            ),
            _maybe("last_error_code", "text", "What failed in the last run, as a word"),
            _always("rejects_open", "bigint", "Rejected rows whose interviews have not loaded since"),
            _always(
                "held_deletes", "bigint", "Interviews missing from the last answer whose deletion is held"
            ),
        ),
    ),
)
