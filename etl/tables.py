"""The warehouse's tables: names, columns, constraints and what each column means.

The migrations in `migrations/` build exactly this; `alembic check` compares the two. The comments are
the data dictionary: Postgres carries them, and `ontora-etl schema` prints them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from etl.column_types import Identifier, Instant, Json, RowNumber

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# One line per field of the API: name, type, nullable, meaning. Order and nullability as documented there.
_FIELDS: tuple[tuple[str, type[TypeEngine[Any]], bool, str], ...] = (
    ("id", Identifier, False, "The interview (campaign); unique over all workspaces"),
    ("workspace_id", Identifier, False, "The workspace the interview belongs to"),
    ("project_id", Identifier, True, "The project that groups it, if any"),
    ("name", Text, False, "Its name as people see it"),
    ("description", Text, True, "What it is about"),
    ("goal", Text, True, "What the company wants to learn"),
    ("agent_behavior", Text, True, "How the interviewing agent is told to behave"),
    ("status", Text, False, "draft, active, paused, completed; an open set"),
    ("channel", Text, False, "Where conversations happen, e.g. google_meet; an open set"),
    ("completion_threshold", BigInteger, False, "Share of contacts (percent) at which it counts as complete"),
    ("timeframe_start", Instant, True, "When conversations may start"),
    ("timeframe_end", Instant, True, "When conversations should be over"),
    ("interview_order", Text, False, "In which order contacts are invited, e.g. seniority_high_first"),
    ("interview_duration_minutes", BigInteger, False, "Planned length of one conversation, in minutes"),
    ("created_by", Text, True, "Who created it"),
    ("created_at", Instant, False, "When it was created at Ontora"),
    ("updated_at", Instant, False, "When Ontora last changed it; counters may move without it"),
    ("timezone", Text, True, "IANA name of its time zone"),
    ("start_immediately", Boolean, False, "Whether invitations go out at once (API default true)"),
    ("scheduling_mode", Text, False, "How conversations are scheduled (API default availability)"),
    ("quick_mode_hours", BigInteger, True, "Hours within which quick mode schedules"),
    ("weekly_availability", Json, True, "Weekly hours in which conversations may happen; shape undocumented"),
    ("project_context", Text, True, "Background given to the agent"),
    ("success_criteria", Text, True, "What a successful interview yields"),
    ("interview_context_for_employee", Text, True, "What contacts are told beforehand"),
    ("interview_type", Text, True, "Kind of conversation, e.g. speaking_default; an open set"),
    ("welcome_screen", Text, True, "Text shown before a conversation"),
    ("closing_message", Text, True, "Text shown after a conversation"),
    ("folder", Text, True, "Folder it is filed under"),
    ("recurring_interval", Text, True, "How often it recurs, if it does"),
    ("contact_count", BigInteger, False, "People to be interviewed (API default 0)"),
    ("completed_count", BigInteger, False, "Conversations completed (API default 0)"),
    ("scheduled_count", BigInteger, False, "Conversations scheduled (API default 0)"),
)

FIELD_NAMES = tuple(name for name, *_ in _FIELDS)

# What makes a version: the API's fields, what the program does not know yet, and their digest.
CONTENT_COLUMNS = (*FIELD_NAMES, "_extra", "_row_hash")


def _content() -> list[Column[Any]]:
    return [
        *(
            Column(name, kind(), nullable=nullable, comment=comment)
            for name, kind, nullable, comment in _FIELDS
        ),
        Column("_extra", Json(), comment="Fields the program does not know yet, as JSON; null when none"),
        Column("_row_hash", Text(), nullable=False, comment="Digest (xxh3-128, hex) of the content"),
    ]


interviews = Table(
    "interviews",
    metadata,
    *_content(),
    Column("_first_seen_at", Instant(), nullable=False, comment="When a sync first loaded the interview"),
    Column("_synced_at", Instant(), nullable=False, comment="When this content was written"),
    Column("_deleted_at", Instant(), comment="When it was found gone from the API; null while present"),
    Column("_run_id", BigInteger(), nullable=False, comment="The run (sync_runs.id) that wrote it"),
    PrimaryKeyConstraint("id"),
    Index(None, "workspace_id"),
    comment="One row per interview: the newest known state",
)

interviews_history = Table(
    "interviews_history",
    metadata,
    *_content(),
    Column("_valid_from", Instant(), nullable=False, comment="When a sync first observed this version"),
    Column("_valid_to", Instant(), nullable=False, comment="When a sync observed its end; exclusive"),
    Column("_change", Text(), nullable=False, comment="What ended it: updated, deleted or restored"),
    Column("_run_id", BigInteger(), nullable=False, comment="The run (sync_runs.id) that ended it"),
    PrimaryKeyConstraint("id", "_valid_from"),
    CheckConstraint("_valid_from < _valid_to", name="valid_range"),
    CheckConstraint("_change IN ('updated', 'deleted', 'restored')", name="change"),
    comment="Superseded versions of interviews, by observed time; no overlap and no gap per id",
)

# The counters of one run; together they account for every element of the answer (promise 4).
FATES = ("inserted", "updated", "unchanged", "stale", "duplicate", "rejected")
COUNTERS = ("received", *FATES, "deleted", "restored", "held_deletes", "bytes_received", "attempts")


def _count(name: str, comment: str) -> Column[int]:
    return Column(name, BigInteger(), nullable=False, server_default=text("0"), comment=comment)


workspaces = Table(
    "workspaces",
    metadata,
    Column("workspace_id", Identifier(), primary_key=True, comment="The workspace at Ontora"),
    Column("name", Text(), nullable=False, comment="How the configuration calls it"),
    Column("last_attempt_at", Instant(), comment="When its last run started"),
    Column("last_success_at", Instant(), comment="When its last successful run ended"),
    Column("last_run_id", BigInteger(), comment="Its last run (sync_runs.id), whatever came of it"),
    Column("high_watermark", Instant(), comment="Greatest updated_at loaded"),
    _count("consecutive_failures", "Failed runs since the last success"),
    _count("held_deletes", "Interviews missing from the last answer whose deletion is held"),
    Column("unknown_fields", Json(), comment="Fields of the last answer that the program does not know yet"),
    Column("applied_run_id", BigInteger(), comment="The run whose answer was applied last"),
    Column("applied_digest", Text(), comment="Digest of that answer and of all that shapes its reading"),
    Column("applied_counts", Json(), comment="What became of the elements of that answer"),
    Column(
        "held_of",
        BigInteger(),
        comment="Of how many present interviews deletions are held; null while none are",
    ),
    comment="One row per workspace ever synced: its state between runs",
)

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", RowNumber, primary_key=True, comment="Ascending in the order in which runs asked the API"),
    Column("workspace_id", Identifier(), nullable=False, comment="The workspace at Ontora"),
    Column("workspace_name", Text(), nullable=False, comment="Its configured name at that time"),
    Column("trigger", Text(), nullable=False, comment="manual, schedule, catch_up or webhook"),
    Column("status", Text(), nullable=False, comment="running, succeeded, failed or interrupted"),
    Column("started_at", Instant(), nullable=False, comment="When the run started"),
    Column("finished_at", Instant(), comment="When it ended; null while running"),
    Column("duration_seconds", Float(53), comment="How long it took, by a clock that cannot jump"),
    _count("received", "Elements of the answer"),
    _count("inserted", "Interviews seen for the first time"),
    _count("updated", "Interviews whose content changed"),
    _count("unchanged", "Interviews found as stored, and not written"),
    _count("stale", "Elements older than what is stored, and not written"),
    _count("duplicate", "Elements beaten by another one with the same id in the answer"),
    _count("rejected", "Elements that could not be loaded (rejected_rows)"),
    _count("deleted", "Interviews found gone and marked so"),
    _count("restored", "Interviews that came back after a delete; also counted by their content above"),
    _count("held_deletes", "Interviews found gone but too many at once to believe it"),
    _count("bytes_received", "Size of the answer after decompression"),
    _count("attempts", "Requests sent"),
    Column("high_watermark", Instant(), comment="Greatest updated_at loaded so far for the workspace"),
    Column("error_code", Text(), comment="What failed, as a word"),
    Column("error", Text(), comment="What failed, as a sentence"),
    Column("warnings", Json(), comment="Things worth knowing that stopped nothing"),
    Column("program_version", Text(), nullable=False, comment="Version of ontora-etl that ran"),
    CheckConstraint("trigger IN ('manual', 'schedule', 'catch_up', 'webhook')", name="trigger"),
    CheckConstraint("status IN ('running', 'succeeded', 'failed', 'interrupted')", name="status"),
    CheckConstraint(
        "status <> 'succeeded' OR received = inserted + updated + unchanged + stale + duplicate + rejected",
        name="conserved",
    ),
    Index(None, "workspace_id", "id"),
    comment="The ledger: one row per attempt at a workspace",
    sqlite_autoincrement=True,
)

rejected_rows = Table(
    "rejected_rows",
    metadata,
    Column("id", RowNumber, primary_key=True, comment="Number of the reject"),
    Column("workspace_id", Identifier(), nullable=False, comment="The workspace whose answer held it"),
    Column("interview_id", Identifier(), comment="The interview's id, where legible"),
    Column("position", BigInteger(), nullable=False, comment="Place in the array, from 0, when last seen"),
    Column("reason", Text(), nullable=False, comment="Why, as a word"),
    Column("message", Text(), nullable=False, comment="Why, with the field's path"),
    Column("payload", Text(), nullable=False, comment="The element's raw JSON text"),
    Column("payload_digest", Text(), nullable=False, comment="Digest (xxh3-128, hex) of the payload"),
    Column("first_seen_at", Instant(), nullable=False, comment="When a sync first met it"),
    Column("last_seen_at", Instant(), nullable=False, comment="When a sync last met it"),
    Column("times_seen", BigInteger(), nullable=False, comment="How many syncs met it"),
    Column("first_run_id", BigInteger(), nullable=False, comment="The first such run (sync_runs.id)"),
    Column("last_run_id", BigInteger(), nullable=False, comment="The last such run (sync_runs.id)"),
    Column("resolved_at", Instant(), comment="When the interview loaded after all; null while open"),
    UniqueConstraint("workspace_id", "payload_digest", "message"),
    Index(None, "interview_id"),
    comment="What could not be loaded: one row per distinct reject, however often it recurs",
)

interview_digests = Table(
    "interview_digests",
    metadata,
    Column("workspace_id", Identifier(), primary_key=True, comment="The workspace whose answer held it"),
    Column("interview_id", Identifier(), primary_key=True, comment="The interview"),
    Column("digest", LargeBinary(), nullable=False, comment="xxh3-128 of the element's raw bytes"),
    comment="How each present interview last looked on the wire: an equal element needs no reading",
    sqlite_with_rowid=False,
)

notices = Table(
    "notices",
    metadata,
    Column("workspace_id", Identifier(), primary_key=True, comment="The workspace it is about"),
    Column("subject", Text(), primary_key=True, comment="failing, schema_mismatch or held_deletes"),
    Column("run_id", BigInteger(), nullable=False, comment="The workspace's last run when it was told"),
    Column("told_at", Instant(), nullable=False, comment="When it was told"),
    comment="What people were told and is still so: it is not told again, its end is",
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("workspace_id", Identifier(), primary_key=True, comment="The workspace it was sent for"),
    Column("delivery_id", Identifier(), primary_key=True, comment="Its X-Ontora-Delivery-Id"),
    Column("body_digest", Text(), nullable=False, comment="SHA-256 (hex) of its body"),
    Column("received_at", Instant(), nullable=False, comment="When it arrived"),
    Index(None, "received_at"),
    comment="Webhooks of the last days: one that comes again is not heard again",
)
