"""What is stored about visits: no image, no embedding, only integers.

Everything measured is stored as an integer (centiseconds, ten-thousandths), so sums are exact and
every database gives the same report to the last digit. Times are UTC; the site's day, hour and
weekday are stored as well, so that reports group by the visitors' own clock.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from builder_tools.emotions import NINE_EMOTIONS

OTHER = "other"
SHARES = tuple(f"share_{name}" for name in (*NINE_EMOTIONS, OTHER))
"""Mean probability of each emotion in a visit; the last is for emotions not among the nine."""
PLACES = ("valence", "arousal")
MEASURES = ("dwell", "intensity", *PLACES, *SHARES)
"""Measures of a visit, in the order of the tables."""
UNIT = 10_000
"""Factor for storing shares, valence, arousal, intensity and quality; dwell is in centiseconds."""

METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

VISITS = Table(
    "visits",
    METADATA,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("camera", String, nullable=False),
    Column("exhibit", String, nullable=False),
    Column("run", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("seen_at", DateTime, nullable=False),
    Column("day", String, nullable=False),
    Column("hour", Integer, nullable=False),
    Column("weekday", Integer, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("sights", Integer, nullable=False),
    Column("quality", Integer, nullable=False),
    Column("x_px", Integer, nullable=False),
    Column("y_px", Integer, nullable=False),
    Column("side_px", Integer, nullable=False),
    *(Column(name, Integer, nullable=name in PLACES) for name in MEASURES),
    UniqueConstraint("camera", "run", "number"),
    Index("visits_open", "camera", "is_open"),
    Index("visits_started", "started_at"),
)
"""Visits to exhibits. While the visitor is in view the row is open and rewritten every few seconds;
the last place of the face lets a visit continue after a gap or a restart."""


def _sums_table(name: str, *key: str) -> Table:
    """Return a table of sums over visits, grouped by its key."""
    return Table(
        name,
        METADATA,
        *(Column(one, Integer if one == "hour" else String, primary_key=True) for one in key),
        Column("weekday", Integer, nullable=False),
        Column("visits", _NUMBER, nullable=False),
        Column("placed", _NUMBER, nullable=False),
        *(Column(f"{measure}_sum", _NUMBER, nullable=False) for measure in MEASURES),
        *(Column(f"{measure}_squares", _NUMBER, nullable=False) for measure in MEASURES),
    )


TOTALS = _sums_table("totals", "exhibit", "day", "hour")
"""Sums over ended visits by exhibit, day and hour of the site, for reports by hour. They are
updated in the transaction that ends a visit, so they always agree with `visits`."""
DAY_TOTALS = _sums_table("day_totals", "exhibit", "day")
"""The same by exhibit and day, in fewer rows, for all other reports; updated together."""

CAMERAS = Table(
    "cameras",
    METADATA,
    Column("camera", String, primary_key=True),
    Column("exhibit", String, nullable=False),
    Column("state", String, nullable=False),
    Column("message", String, nullable=False),
    Column("answers_per_s", Float, nullable=False),
    Column("in_sight", Integer, nullable=False),
    Column("told_at", DateTime, nullable=False),
)
"""State of each camera, updated every few seconds."""

RULES = Table(
    "rules",
    METADATA,
    Column("camera", String, primary_key=True),
    Column("minimum_group", Integer, nullable=False),
    Column("zone", String, nullable=False),
    Column("recorded_at", DateTime, nullable=False),
)
"""Rules that each camera's service recorded last, for whoever reads the database without a
configuration. They stay when a camera is removed, since its visits do."""
