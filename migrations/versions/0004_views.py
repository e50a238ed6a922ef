"""Views for analysts: the present, every version, every day, each workspace, and how well the syncs go.

Frozen like every migration: what the views say here, `etl/views.py` describes, and a test holds the two
together. A later migration that alters a table these views read drops them first and creates them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


class _Dialect(NamedTuple):
    """What the two databases spell differently. Days are `date` in Postgres, ISO text in SQLite; all UTC."""

    now: str
    today: str
    empty_instant: str
    day: Callable[[str], str]  # of an instant
    week: Callable[[str], str]  # the Monday of a day's week
    is_sunday: Callable[[str], str]
    days_between: Callable[[str, str], str]  # from one day to another
    epoch: Callable[[str], str]  # an instant's whole seconds
    exact_sum: Callable[[str], str]
    calendar: str  # every day from the first interview's first to today


_POSTGRES = _Dialect(
    now="now()",
    today="CAST(now() AT TIME ZONE 'UTC' AS date)",
    empty_instant="CAST(NULL AS timestamp with time zone)",
    day=lambda instant: f"CAST({instant} AT TIME ZONE 'UTC' AS date)",
    week=lambda day: f"{day} - CAST(extract(isodow FROM {day}) AS integer) + 1",
    is_sunday=lambda day: f"extract(isodow FROM {day}) = 7",
    days_between=lambda start, end: f"CAST({end} - {start} AS bigint)",
    epoch=lambda instant: f"CAST(floor(extract(epoch FROM {instant})) AS bigint)",
    # A sum that no double can hold is no sum of people: null, rather than an error that hides the row.
    exact_sum=lambda number: (
        f"CASE WHEN abs(sum({number})) < 9007199254740992 THEN CAST(sum({number}) AS bigint) END"
    ),
    calendar="""
        SELECT first_day + n AS day
        FROM (
            SELECT min(CAST(_first_seen_at AT TIME ZONE 'UTC' AS date)) AS first_day FROM interviews
        ) AS first
        CROSS JOIN LATERAL generate_series(0, CAST(now() AT TIME ZONE 'UTC' AS date) - first_day) AS n
    """,
)
_SQLITE = _Dialect(
    now="strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    today="date('now')",
    empty_instant="NULL",
    day=lambda instant: f"substr({instant}, 1, 10)",
    week=lambda day: f"date({day}, '-6 days', 'weekday 1')",
    is_sunday=lambda day: f"strftime('%w', {day}) = '0'",
    days_between=lambda start, end: f"CAST(julianday({end}) - julianday({start}) AS INTEGER)",
    # Without the fraction, which strftime would round.
    epoch=lambda instant: f"CAST(strftime('%s', substr({instant}, 1, 19)) AS INTEGER)",
    # sum() fails beyond 64 bits, total() does not.
    exact_sum=lambda number: (
        f"CASE WHEN abs(total({number})) < 9007199254740992 THEN CAST(total({number}) AS INTEGER) END"
    ),
    calendar="""
        SELECT substr(min(_first_seen_at), 1, 10) AS day FROM interviews
        UNION ALL
        SELECT date(day, '+1 day') FROM calendar WHERE day < date('now')
    """,
)

# Every column of an interview's content, with its comment.
_CONTENT = {
    "id": "The interview (campaign); unique over all workspaces",
    "workspace_id": "The workspace the interview belongs to",
    "project_id": "The project that groups it, if any",
    "name": "Its name as people see it",
    "description": "What it is about",
    "goal": "What the company wants to learn",
    "agent_behavior": "How the interviewing agent is told to behave",
    "status": "draft, active, paused, completed; an open set",
    "channel": "Where conversations happen, e.g. google_meet; an open set",
    "completion_threshold": "Share of contacts (percent) at which it counts as complete",
    "timeframe_start": "When conversations may start",
    "timeframe_end": "When conversations should be over",
    "interview_order": "In which order contacts are invited, e.g. seniority_high_first",
    "interview_duration_minutes": "Planned length of one conversation, in minutes",
    "created_by": "Who created it",
    "created_at": "When it was created at Ontora",
    "updated_at": "When Ontora last changed it; counters may move without it",
    "timezone": "IANA name of its time zone",
    "start_immediately": "Whether invitations go out at once (API default true)",
    "scheduling_mode": "How conversations are scheduled (API default availability)",
    "quick_mode_hours": "Hours within which quick mode schedules",
    "weekly_availability": "Weekly hours in which conversations may happen; shape undocumented",
    "project_context": "Background given to the agent",
    "success_criteria": "What a successful interview yields",
    "interview_context_for_employee": "What contacts are told beforehand",
    "interview_type": "Kind of conversation, e.g. speaking_default; an open set",
    "welcome_screen": "Text shown before a conversation",
    "closing_message": "Text shown after a conversation",
    "folder": "Folder it is filed under",
    "recurring_interval": "How often it recurs, if it does",
    "contact_count": "People to be interviewed (API default 0)",
    "completed_count": "Conversations completed (API default 0)",
    "scheduled_count": "Conversations scheduled (API default 0)",
    "_extra": "Fields the program does not know yet, as JSON; null when none",
    "_row_hash": "Digest (xxh3-128, hex) of the content",
}


def _content(prefix: str = "") -> str:
    return ", ".join(prefix + name for name in _CONTENT)


def _interviews_current(sql: _Dialect) -> str:
    created_day = sql.day("i.created_at")
    # Negative counts can be stored, and open contacts must not overflow over them.
    done = "CASE WHEN i.completed_count > 0 THEN i.completed_count ELSE 0 END"
    return f"""
        SELECT {_content("i.")}, i._first_seen_at, i._synced_at,
            w.name AS workspace_name,
            CASE
                WHEN i.contact_count > 0
                THEN CAST(i.completed_count AS double precision) / i.contact_count
            END AS completion_rate,
            CASE WHEN i.contact_count > {done} THEN i.contact_count - {done} ELSE 0 END AS open_contacts,
            coalesce(i.timeframe_end < {sql.now}, false)
                AND i.status <> 'completed' AND i.contact_count > {done} AS is_overdue,
            {created_day} AS created_day,
            {sql.week(created_day)} AS created_week,
            {sql.days_between(created_day, sql.today)} AS age_days
        FROM interviews i
        LEFT JOIN workspaces w ON w.workspace_id = i.workspace_id
        WHERE i._deleted_at IS NULL
    """


def _interview_versions(sql: _Dialect) -> str:
    present_from = "coalesce(_deleted_at, _synced_at)"

    def times(valid_from: str) -> str:
        seconds = f"{sql.epoch(valid_from)} - {sql.epoch('created_at')}"
        return f"""{sql.day(valid_from)} AS valid_from_day,
            {sql.days_between(sql.day(valid_from), sql.today)} AS days_ago,
            CAST({seconds} AS double precision) / 86400 AS days_since_created"""

    # UNION ALL of two plain SELECTs: a condition on id reaches the primary keys of both tables.
    return f"""
        SELECT {_content()}, _valid_from, _valid_to, _change,
            _change = 'restored' AS is_deleted,
            false AS is_current,
            {times("_valid_from")}
        FROM interviews_history
        UNION ALL
        SELECT {_content()}, {present_from}, {sql.empty_instant}, NULL,
            _deleted_at IS NOT NULL,
            true,
            {times(present_from)}
        FROM interviews
    """


def _interview_daily(sql: _Dialect) -> str:
    # A version is an interview's state at the end of each day from the one it began on to the one before it
    # ended. So every version is laid over the calendar once, and one that ended the day it began is left out.
    return f"""
        WITH RECURSIVE calendar AS ({sql.calendar}), days AS MATERIALIZED (
            SELECT day,
                {sql.week("day")} AS week,
                {sql.is_sunday("day")} OR day = {sql.today} AS is_week_end,
                {sql.days_between("day", sql.today)} AS days_ago
            FROM calendar
        ), stretches AS (
            SELECT id, workspace_id, project_id, name, status,
                contact_count, completed_count, scheduled_count, is_deleted,
                valid_from_day AS first_day,
                {sql.day("_valid_to")} AS end_day
            FROM interview_versions
        )
        SELECT d.day, d.week, d.is_week_end, d.days_ago,
            s.id, s.workspace_id, s.project_id, s.name, s.status,
            s.contact_count, s.completed_count, s.scheduled_count, s.is_deleted
        FROM stretches s
        JOIN days d ON d.day >= s.first_day AND (s.end_day IS NULL OR d.day < s.end_day)
        WHERE s.end_day IS NULL OR s.first_day < s.end_day
    """


def _workspace_summary(sql: _Dialect) -> str:
    present = "i._deleted_at IS NULL"

    def number(condition: str) -> str:
        return f"count(CASE WHEN {condition} THEN 1 END)"

    def present_and(condition: str) -> str:
        return number(f"{present} AND {condition}")

    def people(column: str) -> str:
        return sql.exact_sum(f"CASE WHEN {present} THEN i.{column} ELSE 0 END")

    return f"""
        SELECT s.*,
            CASE
                WHEN s.contacts > 0 THEN CAST(s.completions AS double precision) / s.contacts
            END AS completion_rate
        FROM (
            SELECT w.workspace_id, w.name AS workspace_name,
                {present_and("i.id IS NOT NULL")} AS interviews,
                {present_and("i.status = 'draft'")} AS draft,
                {present_and("i.status = 'active'")} AS active,
                {present_and("i.status = 'paused'")} AS paused,
                {present_and("i.status = 'completed'")} AS completed,
                {present_and("i.status NOT IN ('draft', 'active', 'paused', 'completed')")} AS other,
                {number("i._deleted_at IS NOT NULL")} AS deleted,
                {people("contact_count")} AS contacts,
                {people("completed_count")} AS completions,
                {people("scheduled_count")} AS scheduled,
                w.last_success_at
            FROM workspaces w
            LEFT JOIN interviews i ON i.workspace_id = w.workspace_id
            GROUP BY w.workspace_id, w.name, w.last_success_at
        ) AS s
    """


def _sync_health(sql: _Dialect) -> str:
    seconds = f"{sql.epoch(sql.now)} - {sql.epoch('w.last_success_at')}"
    return f"""
        SELECT w.workspace_id, w.name AS workspace_name,
            w.last_attempt_at, w.last_success_at,
            CASE WHEN {seconds} < 0 THEN 0 ELSE {seconds} END AS seconds_since_success,
            w.consecutive_failures,
            r.status AS last_status,
            r.error_code AS last_error_code,
            (
                SELECT count(*) FROM rejected_rows j
                WHERE j.workspace_id = w.workspace_id AND j.resolved_at IS NULL
            ) AS rejects_open,
            w.held_deletes
        FROM workspaces w
        LEFT JOIN sync_runs r ON r.id = w.last_run_id
    """


# In the order of creation: interview_daily reads interview_versions.
_VIEWS = {
    "interviews_current": _interviews_current,
    "interview_versions": _interview_versions,
    "interview_daily": _interview_daily,
    "workspace_summary": _workspace_summary,
    "sync_health": _sync_health,
}

_PRESENT_NAME = {"workspace_name": "The configuration's name for the workspace"}
_COMMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "interviews_current": (
        "One row per interview that is present at Ontora, as last synced",
        _CONTENT
        | {
            "_first_seen_at": "When a sync first loaded the interview",
            "_synced_at": "When this content was written",
        }
        | _PRESENT_NAME
        | {
            "completion_rate": "completed_count / contact_count; null without contacts",
            "open_contacts": "contact_count - completed_count, never below 0",
            "is_overdue": "Its timeframe_end has passed, its status is not completed and contacts are open",
            "created_day": "UTC day of created_at",
            "created_week": "The Monday of the week of created_day",
            "age_days": "Days from created_day to today (UTC)",
        },
    ),
    "interview_versions": (
        "Every observed version of every interview, deleted states included: history and present in one",
        _CONTENT
        | {
            "_valid_from": "When a sync first observed this version",
            "_valid_to": "When a sync observed its end; exclusive; null for the present version",
            "_change": "What ended it: updated, deleted or restored; null for the present version",
            "is_deleted": "Whether the interview was gone from Ontora while this version held",
            "is_current": "Whether this is the present version: one per interview",
            "valid_from_day": "UTC day of _valid_from",
            "days_ago": "Days from valid_from_day to today: 0 is today, 1 yesterday (UTC)",
            "days_since_created": "From created_at to _valid_from, in days and fractions of them",
        },
    ),
    "interview_daily": (
        "One row per interview and UTC day since first seen, with its state at the end of that day",
        {
            "day": "The UTC day; today's row is the state so far",
            "week": "The Monday of the day's week",
            "is_week_end": "Whether it is the last day of its week so far: a Sunday, or today",
            "days_ago": "Days from day to today: 0 is today, 1 yesterday (UTC)",
            "id": "The interview",
            "workspace_id": "The workspace it belonged to",
            "project_id": "The project that grouped it, if any",
            "name": "Its name",
            "status": "Its status",
            "contact_count": "People to be interviewed",
            "completed_count": "Conversations completed",
            "scheduled_count": "Conversations scheduled",
            "is_deleted": "Whether it was gone from Ontora",
        },
    ),
    "workspace_summary": (
        "One row per workspace ever synced: its interviews by status and its conversations",
        {"workspace_id": "The workspace at Ontora"}
        | _PRESENT_NAME
        | {
            "interviews": "Interviews present, whatever their status",
            "draft": "Of these, with status draft",
            "active": "Of these, with status active",
            "paused": "Of these, with status paused",
            "completed": "Of these, with status completed",
            "other": "Of these, with any other status",
            "deleted": "Interviews found gone from Ontora; not among the above",
            "contacts": "Sum of contact_count of interviews present; null beyond 2^53",
            "completions": "Sum of completed_count of interviews present; null beyond 2^53",
            "scheduled": "Sum of scheduled_count of interviews present; null beyond 2^53",
            "last_success_at": "When its last successful run ended",
            "completion_rate": "completions / contacts; null without contacts",
        },
    ),
    "sync_health": (
        "One row per workspace ever synced: how fresh it is and what needs attention",
        {"workspace_id": "The workspace at Ontora"}
        | _PRESENT_NAME
        | {
            "last_attempt_at": "When its last run started",
            "last_success_at": "When its last successful run ended",
            "seconds_since_success": "Age of the last success; null where there was none",
            "consecutive_failures": "Failed runs since the last success",
            "last_status": "Outcome of the last run: running, succeeded, failed or interrupted",
            "last_error_code": "What failed in the last run, as a word",
            "rejects_open": "Rejected rows whose interviews have not loaded since",
            "held_deletes": "Interviews missing from the last answer whose deletion is held",
        },
    ),
}


def upgrade() -> None:
    postgres = context.get_context().dialect.name == "postgresql"
    for view, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query(_POSTGRES if postgres else _SQLITE)}")
        if postgres:
            comment, columns = _COMMENTS[view]
            op.execute(f"COMMENT ON VIEW {view} IS {_quoted(comment)}")
            for column, meaning in columns.items():
                op.execute(f"COMMENT ON COLUMN {view}.{column} IS {_quoted(meaning)}")


def downgrade() -> None:
    for view in reversed(_VIEWS):
        op.execute(f"DROP VIEW {view}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
