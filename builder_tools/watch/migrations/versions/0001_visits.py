"""Visits, hourly totals and cameras, as they were first."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SHARES = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
MEASURES = (
    *("dwell", "intensity", "valence", "arousal"),
    *(f"share_{name}" for name in (*SHARES, "uncertain", "other")),
)
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "visits",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("camera", "exhibit", "run")),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("day", sa.String, nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("weekday", sa.Integer, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("sights", "quality", "x_px", "y_px", "side_px")
        ),
        *(
            sa.Column(name, sa.Integer, nullable=name in ("valence", "arousal"))
            for name in MEASURES
        ),
        sa.UniqueConstraint("camera", "run", "number"),
    )
    op.create_index("visits_open", "visits", ["camera", "is_open"])
    op.create_index("visits_started", "visits", ["started_at"])
    op.create_table(
        "totals",
        sa.Column("exhibit", sa.String, primary_key=True),
        sa.Column("day", sa.String, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("weekday", sa.Integer, nullable=False),
        sa.Column("visits", NUMBER, nullable=False),
        sa.Column("placed", NUMBER, nullable=False),
        *(sa.Column(f"{name}_sum", NUMBER, nullable=False) for name in MEASURES),
        *(sa.Column(f"{name}_squares", NUMBER, nullable=False) for name in MEASURES),
    )
    op.create_table(
        "cameras",
        sa.Column("camera", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("exhibit", "state", "message")),
        sa.Column("answers_per_s", sa.Float, nullable=False),
        sa.Column("in_sight", sa.Integer, nullable=False),
        sa.Column("told_at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("cameras", "totals", "visits"):
        op.drop_table(name)
