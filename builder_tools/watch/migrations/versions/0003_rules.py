"""The rules of services, for whoever reads a database without its configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table; services fill it when they start."""
    op.create_table(
        "rules",
        sa.Column("camera", sa.String, primary_key=True),
        sa.Column("minimum_group", sa.Integer, nullable=False),
        sa.Column("zone", sa.String, nullable=False),
        sa.Column("recorded_at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("rules")
