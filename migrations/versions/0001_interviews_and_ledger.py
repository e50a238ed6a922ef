"""The newest state of each interview, the workspaces, the ledger and the rejects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl.column_types import Identifier, Instant, Json

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interviews",
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
            "_first_seen_at", Instant(), nullable=False, comment="When a sync first loaded the interview"
        ),
        sa.Column("_synced_at", Instant(), nullable=False, comment="When this content was written"),
        sa.Column(
            "_deleted_at",
            Instant(),
            nullable=True,
            comment="When it was found gone from the API; null while present",
        ),
        sa.Column("_run_id", sa.BigInteger(), nullable=False, comment="The run (sync_runs.id) that wrote it"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interviews")),
        comment="One row per interview: the newest known state",
    )
    op.create_index(op.f("ix_interviews_workspace_id"), "interviews", ["workspace_id"], unique=False)
    op.create_table(
        "rejected_rows",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Number of the reject",
        ),
        sa.Column("workspace_id", Identifier(), nullable=False, comment="The workspace whose answer held it"),
        sa.Column("interview_id", Identifier(), nullable=True, comment="The interview's id, where legible"),
        sa.Column(
            "position", sa.BigInteger(), nullable=False, comment="Place in the array, from 0, when last seen"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why, as a word"),
        sa.Column("message", sa.Text(), nullable=False, comment="Why, with the field's path"),
        sa.Column("payload", sa.Text(), nullable=False, comment="The element's raw JSON text"),
        sa.Column(
            "payload_digest", sa.Text(), nullable=False, comment="Digest (xxh3-128, hex) of the payload"
        ),
        sa.Column("first_seen_at", Instant(), nullable=False, comment="When a sync first met it"),
        sa.Column("last_seen_at", Instant(), nullable=False, comment="When a sync last met it"),
        sa.Column("times_seen", sa.BigInteger(), nullable=False, comment="How many syncs met it"),
        sa.Column(
            "first_run_id", sa.BigInteger(), nullable=False, comment="The first such run (sync_runs.id)"
        ),
        sa.Column("last_run_id", sa.BigInteger(), nullable=False, comment="The last such run (sync_runs.id)"),
        sa.Column(
            "resolved_at",
            Instant(),
            nullable=True,
            comment="When the interview loaded after all; null while open",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_rows")),
        sa.UniqueConstraint(
            "workspace_id",
            "payload_digest",
            "message",
            name=op.f("uq_rejected_rows_workspace_id_payload_digest_message"),
        ),
        comment="What could not be loaded: one row per distinct reject, however often it recurs",
    )
    op.create_index(op.f("ix_rejected_rows_interview_id"), "rejected_rows", ["interview_id"], unique=False)
    op.create_table(
        "sync_runs",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Ascending in the order in which runs asked the API",
        ),
        sa.Column("workspace_id", Identifier(), nullable=False, comment="The workspace at Ontora"),
        sa.Column("workspace_name", sa.Text(), nullable=False, comment="Its configured name at that time"),
        sa.Column("trigger", sa.Text(), nullable=False, comment="manual, schedule, catch_up or webhook"),
        sa.Column("status", sa.Text(), nullable=False, comment="running, succeeded, failed or interrupted"),
        sa.Column("started_at", Instant(), nullable=False, comment="When the run started"),
        sa.Column("finished_at", Instant(), nullable=True, comment="When it ended; null while running"),
        sa.Column(
            "duration_seconds",
            sa.Float(precision=53),
            nullable=True,
            comment="How long it took, by a clock that cannot jump",
        ),
        sa.Column(
            "received",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Elements of the answer",
        ),
        sa.Column(
            "inserted",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews seen for the first time",
        ),
        sa.Column(
            "updated",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews whose content changed",
        ),
        sa.Column(
            "unchanged",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews found as stored, and not written",
        ),
        sa.Column(
            "stale",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Elements older than what is stored, and not written",
        ),
        sa.Column(
            "duplicate",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Elements beaten by another one with the same id in the answer",
        ),
        sa.Column(
            "rejected",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Elements that could not be loaded (rejected_rows)",
        ),
        sa.Column(
            "deleted",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews found gone and marked so",
        ),
        sa.Column(
            "restored",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews that came back after a delete; also counted by their content above",
        ),
        sa.Column(
            "held_deletes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews found gone but too many at once to believe it",
        ),
        sa.Column(
            "bytes_received",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Size of the answer after decompression",
        ),
        sa.Column(
            "attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Requests sent"
        ),
        sa.Column(
            "high_watermark",
            Instant(),
            nullable=True,
            comment="Greatest updated_at loaded so far for the workspace",
        ),
        sa.Column("error_code", sa.Text(), nullable=True, comment="What failed, as a word"),
        sa.Column("error", sa.Text(), nullable=True, comment="What failed, as a sentence"),
        sa.Column("warnings", Json(), nullable=True, comment="Things worth knowing that stopped nothing"),
        sa.Column("program_version", sa.Text(), nullable=False, comment="Version of ontora-etl that ran"),
        sa.CheckConstraint(
            "status <> 'succeeded' OR "
            "received = inserted + updated + unchanged + stale + duplicate + rejected",
            name=op.f("ck_sync_runs_conserved"),
        ),
        sa.CheckConstraint(
            "status IN ('running', 'succeeded', 'failed', 'interrupted')", name=op.f("ck_sync_runs_status")
        ),
        sa.CheckConstraint(
            "trigger IN ('manual', 'schedule', 'catch_up', 'webhook')", name=op.f("ck_sync_runs_trigger")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
        comment="The ledger: one row per attempt at a workspace",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sync_runs_workspace_id_id"), "sync_runs", ["workspace_id", "id"], unique=False)
    op.create_table(
        "workspaces",
        sa.Column("workspace_id", Identifier(), nullable=False, comment="The workspace at Ontora"),
        sa.Column("name", sa.Text(), nullable=False, comment="How the configuration calls it"),
        sa.Column("last_attempt_at", Instant(), nullable=True, comment="When its last run started"),
        sa.Column("last_success_at", Instant(), nullable=True, comment="When its last successful run ended"),
        sa.Column(
            "last_run_id",
            sa.BigInteger(),
            nullable=True,
            comment="Its last run (sync_runs.id), whatever came of it",
        ),
        sa.Column("high_watermark", Instant(), nullable=True, comment="Greatest updated_at loaded"),
        sa.Column(
            "consecutive_failures",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Failed runs since the last success",
        ),
        sa.Column(
            "held_deletes",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Interviews missing from the last answer whose deletion is held",
        ),
        sa.Column(
            "held_since",
            Instant(),
            nullable=True,
            comment="Since when deletions are held; null while none are",
        ),
        sa.Column(
            "unknown_fields",
            Json(),
            nullable=True,
            comment="Fields of the last answer that the program does not know yet",
        ),
        sa.Column(
            "applied_run_id", sa.BigInteger(), nullable=True, comment="The run whose answer was applied last"
        ),
        sa.Column(
            "applied_digest",
            sa.Text(),
            nullable=True,
            comment="Digest of that answer and of all that shapes its reading",
        ),
        sa.Column(
            "applied_counts", Json(), nullable=True, comment="What became of the elements of that answer"
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_workspaces")),
        comment="One row per workspace ever synced: its state between runs",
    )


def downgrade() -> None:
    op.drop_table("rejected_rows")
    op.drop_table("sync_runs")
    op.drop_table("workspaces")
    op.drop_table("interviews")
