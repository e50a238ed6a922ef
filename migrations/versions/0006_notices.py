"""What people have been told of, so that no process tells it again and each sees what is still to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl.column_types import Identifier, Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("workspace_id", Identifier(), nullable=False, comment="The workspace it is about"),
        sa.Column("subject", sa.Text(), nullable=False, comment="failing, schema_mismatch or held_deletes"),
        sa.Column(
            "run_id", sa.BigInteger(), nullable=False, comment="The workspace's last run when it was told"
        ),
        sa.Column("told_at", Instant(), nullable=False, comment="When it was told"),
        sa.PrimaryKeyConstraint("workspace_id", "subject", name=op.f("pk_notices")),
        comment="What people were told and is still so: it is not told again, its end is",
    )


def downgrade() -> None:
    op.drop_table("notices")
