"""What a held loss is measured by: a number taken when it is first held, instead of what is counted anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl.column_types import Instant

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workspaces",
        sa.Column(
            "held_of",
            sa.BigInteger(),
            nullable=True,
            comment="Of how many present interviews deletions are held; null while none are",
        ),
    )
    op.execute("""
        UPDATE workspaces
        SET held_of = (
            SELECT count(*) FROM interviews
            WHERE interviews.workspace_id = workspaces.workspace_id AND interviews._deleted_at IS NULL
                AND interviews._first_seen_at < workspaces.held_since
        )
        WHERE held_since IS NOT NULL
    """)
    op.drop_column("workspaces", "held_since")


def downgrade() -> None:
    op.add_column(
        "workspaces",
        sa.Column(
            "held_since",
            Instant(),
            nullable=True,
            comment="Since when deletions are held; null while none are",
        ),
    )
    # So that as many interviews were there before it: what has come since is no part of the measure.
    op.execute("""
        UPDATE workspaces
        SET held_since = coalesce(
            (
                SELECT _first_seen_at
                FROM (
                    SELECT workspace_id, _first_seen_at,
                        row_number() OVER (PARTITION BY workspace_id ORDER BY _first_seen_at) AS place
                    FROM interviews WHERE _deleted_at IS NULL
                ) present
                WHERE present.workspace_id = workspaces.workspace_id AND place = workspaces.held_of + 1
            ),
            last_success_at
        )
        WHERE held_of IS NOT NULL
    """)
    op.drop_column("workspaces", "held_of")
