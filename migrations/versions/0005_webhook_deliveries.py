"""Which webhooks have been heard, so that a repeated one is not heard again after a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl.column_types import Identifier, Instant

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("workspace_id", Identifier(), nullable=False, comment="The workspace it was sent for"),
        sa.Column("delivery_id", Identifier(), nullable=False, comment="Its X-Ontora-Delivery-Id"),
        sa.Column("body_digest", sa.Text(), nullable=False, comment="SHA-256 (hex) of its body"),
        sa.Column("received_at", Instant(), nullable=False, comment="When it arrived"),
        sa.PrimaryKeyConstraint("workspace_id", "delivery_id", name=op.f("pk_webhook_deliveries")),
        comment="Webhooks of the last days: one that comes again is not heard again",
    )
    op.create_index(op.f("ix_webhook_deliveries_received_at"), "webhook_deliveries", ["received_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_deliveries_received_at"), table_name="webhook_deliveries")
    op.drop_table("webhook_deliveries")
