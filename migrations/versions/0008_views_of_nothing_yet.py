"""Two views say the same on both databases where there is nothing to count yet.

A workspace without interviews has 0 contacts in Postgres too. In SQLite no day is shown that is still to
come, which it was where the clock of the first sync was ahead.
"""

from __future__ import annotations

from alembic import context, op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def _workspace_summary(counted: str) -> str:
    """For Postgres; whose people are counted is what changes."""

    def number(condition: str) -> str:
        return f"count(CASE WHEN {condition} THEN 1 END)"

    def present_and(condition: str) -> str:
        return number(f"i._deleted_at IS NULL AND {condition}")

    def people(column: str) -> str:
        added = f"sum(CASE WHEN {counted} THEN i.{column} ELSE 0 END)"
        return f"CASE WHEN abs({added}) < 9007199254740992 THEN CAST({added} AS bigint) END"

    return f"""
        CREATE OR REPLACE VIEW workspace_summary AS
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


def _interview_daily(first_day: str) -> str:
    """For SQLite; where the calendar begins is what changes."""
    return f"""
        CREATE VIEW interview_daily AS
        WITH RECURSIVE calendar AS (
            {first_day}
            UNION ALL
            SELECT date(day, '+1 day') FROM calendar WHERE day < date('now')
        ), days AS MATERIALIZED (
            SELECT day,
                date(day, '-6 days', 'weekday 1') AS week,
                strftime('%w', day) = '0' OR day = date('now') AS is_week_end,
                CAST(julianday(date('now')) - julianday(day) AS INTEGER) AS days_ago
            FROM calendar
        ), stretches AS (
            SELECT id, workspace_id, project_id, name, status,
                contact_count, completed_count, scheduled_count, is_deleted,
                valid_from_day AS first_day,
                substr(_valid_to, 1, 10) AS end_day
            FROM interview_versions
        )
        SELECT d.day, d.week, d.is_week_end, d.days_ago,
            s.id, s.workspace_id, s.project_id, s.name, s.status,
            s.contact_count, s.completed_count, s.scheduled_count, s.is_deleted
        FROM stretches s
        JOIN days d ON d.day >= s.first_day AND (s.end_day IS NULL OR d.day < s.end_day)
        WHERE s.end_day IS NULL OR s.first_day < s.end_day
    """


_FIRST_DAY = "SELECT substr(min(_first_seen_at), 1, 10) AS day FROM interviews"


def _is_postgres() -> bool:
    return context.get_context().dialect.name == "postgresql"


def upgrade() -> None:
    if _is_postgres():
        op.execute(_workspace_summary("i.id IS NOT NULL AND i._deleted_at IS NULL"))
    else:
        op.execute("DROP VIEW interview_daily")
        op.execute(_interview_daily(f"SELECT day FROM ({_FIRST_DAY}) WHERE day <= date('now')"))


def downgrade() -> None:
    if _is_postgres():
        op.execute(_workspace_summary("i._deleted_at IS NULL"))
    else:
        op.execute("DROP VIEW interview_daily")
        op.execute(_interview_daily(_FIRST_DAY))
