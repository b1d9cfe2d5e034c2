"""Totals by day besides those by hour, so that a report over years reads one row per day."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table and fill it from the totals by hour."""
    hourly = sa.Table("totals", sa.MetaData(), autoload_with=op.get_bind())
    kept = [column for column in hourly.c if column.name != "hour"]
    key = [column for column in kept if column.name in ("exhibit", "day")]
    op.create_table(
        "day_totals",
        *(
            sa.Column(column.name, column.type, primary_key=column in key, nullable=False)
            for column in kept
        ),
    )
    daily = sa.table("day_totals", *(sa.column(column.name) for column in kept))
    values = [
        column
        if column in key
        else sa.func.max(column)  # the same for all rows of a day
        if column.name == "weekday"
        else sa.func.sum(column)
        for column in kept
    ]
    op.execute(
        sa.insert(daily).from_select(
            [column.name for column in kept], sa.select(*values).group_by(*key)
        )
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("day_totals")
