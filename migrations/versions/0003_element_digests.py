"""What each interview last looked like on the wire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl.column_types import Identifier

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interview_digests",
        sa.Column("workspace_id", Identifier(), nullable=False, comment="The workspace whose answer held it"),
        sa.Column("interview_id", Identifier(), nullable=False, comment="The interview"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="xxh3-128 of the element's raw bytes"),
        sa.PrimaryKeyConstraint("workspace_id", "interview_id", name=op.f("pk_interview_digests")),
        comment="How each present interview last looked on the wire: an equal element needs no reading",
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("interview_digests")
