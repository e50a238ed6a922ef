"""Superseded versions of interviews."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl.column_types import Identifier, Instant, Json

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interviews_history",
        sa.Column(
            "id", Identifier(), nullable=False, comment="The interview (campaign); unique over all workspaces"
        ),
        sa.Column(
            "workspace_id", Identifier(), nullable=False, comment="The workspace the interview belongs to"
        ),
        sa.Column("project_id", Identifier(), nullable=True, comment="The project that groups it, if any"),
        sa.Column("name", sa.Text(), nullable=False, comment="Its name as people see it"),
        sa.Column("description", sa.Text(), nullable=True, comment="What it is about"),
        sa.Column("goal", sa.Text(), nullable=True, comment="What the company wants to learn"),
        sa.Column(
            "agent_behavior", sa.Text(), nullable=True, comment="How the interviewing agent is told to behave"
        ),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="draft, active, paused, completed; an open set"
        ),
        sa.Column(
            "channel",
            sa.Text(),
            nullable=False,
            comment="Where conversations happen, e.g. google_meet; an open set",
        ),
        sa.Column(
            "completion_threshold",
            sa.BigInteger(),
            nullable=False,
            comment="Share of contacts (percent) at which it counts as complete",
        ),
        sa.Column("timeframe_start", Instant(), nullable=True, comment="When conversations may start"),
        sa.Column("timeframe_end", Instant(), nullable=True, comment="When conversations should be over"),
        sa.Column(
            "interview_order",
            sa.Text(),
            nullable=False,
            comment="In which order contacts are invited, e.g. seniority_high_first",
        ),
        sa.Column(
            "interview_duration_minutes",
            sa.BigInteger(),
            nullable=False,
            comment="Planned length of one conversation, in minutes",
        ),
        sa.Column("created_by", sa.Text(), nullable=True, comment="Who created it"),
        sa.Column("created_at", Instant(), nullable=False, comment="When it was created at Ontora"),
        sa.Column(
            "updated_at",
            Instant(),
            nullable=False,
            comment="When Ontora last changed it; counters may move without it",
        ),
        sa.Column("timezone", sa.Text(), nullable=True, comment="IANA name of its time zone"),
        sa.Column(
            "start_immediately",
            sa.Boolean(),
            nullable=False,
            comment="Whether invitations go out at once (API default true)",
        ),
        sa.Column(
            "scheduling_mode",
            sa.Text(),
            nullable=False,
            comment="How conversations are scheduled (API default availability)",
        ),
        sa.Column(
            "quick_mode_hours",
            sa.BigInteger(),
            nullable=True,
            comment="Hours within which quick mode schedules",
        ),
        sa.Column(
            "weekly_availability",
            Json(),
            nullable=True,
            comment="Weekly hours in which conversations may happen; shape undocumented",
        ),
        sa.Column("project_context", sa.Text(), nullable=True, comment="Background given to the agent"),
        sa.Column("success_criteria", sa.Text(), nullable=True, comment="What a successful interview yields"),
        sa.Column(
            "interview_context_for_employee",
            sa.Text(),
            nullable=True,
            comment="What contacts are told beforehand",
        ),
        sa.Column(
            "interview_type",
            sa.Text(),
            nullable=True,
            comment="Kind of conversation, e.g. speaking_default; an open set",
        ),
        sa.Column("welcome_screen", sa.Text(), nullable=True, comment="Text shown before a conversation"),
        sa.Column("closing_message", sa.Text(), nullable=True, comment="Text shown after a conversation"),
        sa.Column("folder", sa.Text(), nullable=True, comment="Folder it is filed under"),
        sa.Column("recurring_interval", sa.Text(), nullable=True, comment="How often it recurs, if it does"),
        sa.Column(
            "contact_count",
            sa.BigInteger(),
            nullable=False,
            comment="People to be interviewed (API default 0)",
        ),
        sa.Column(
            "completed_count",
            sa.BigInteger(),
            nullable=False,
            comment="Conversations completed (API default 0)",
        ),
        sa.Column(
            "scheduled_count",
            sa.BigInteger(),
            nullable=False,
            comment="Conversations scheduled (API default 0)",
        ),
        sa.Column(
            "_extra",
            Json(),
            nullable=True,
            comment="Fields the program does not know yet, as JSON; null when none",
        ),
        sa.Column("_row_hash", sa.Text(), nullable=False, comment="Digest (xxh3-128, hex) of the content"),
        sa.Column(
            "_valid_from", Instant(), nullable=False, comment="When a sync first observed this version"
        ),
        sa.Column("_valid_to", Instant(), nullable=False, comment="When a sync observed its end; exclusive"),
        sa.Column(
            "_change", sa.Text(), nullable=False, comment="What ended it: updated, deleted or restored"
        ),
        sa.Column("_run_id", sa.BigInteger(), nullable=False, comment="The run (sync_runs.id) that ended it"),
        sa.CheckConstraint(
            "_change IN ('updated', 'deleted', 'restored')", name=op.f("ck_interviews_history_change")
        ),
        sa.CheckConstraint("_valid_from < _valid_to", name=op.f("ck_interviews_history_valid_range")),
        sa.PrimaryKeyConstraint("id", "_valid_from", name=op.f("pk_interviews_history")),
        comment="Superseded versions of interviews, by observed time; no overlap and no gap per id",
    )


def downgrade() -> None:
    op.drop_table("interviews_history")
