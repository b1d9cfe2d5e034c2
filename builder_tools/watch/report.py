"""What groups of visitors felt, out of the database: by exhibit, hour or weekday, in any period.

Groups smaller than the site's minimum are left out by the query itself, so no page and no export
can show them. Figures come from exact sums; intervals are 95 % of a normal distribution around the
mean, which groups of visits are large enough for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa

from builder_tools.watch.database import Database
from builder_tools.watch.tables import MEASURES, PLACES, TOTALS, UNIT

GROUPINGS: dict[str, tuple[str, ...]] = {
    "site": (),
    "exhibit": ("exhibit",),
    "hour": ("exhibit", "hour"),
    "weekday": ("exhibit", "weekday"),
    "day": ("exhibit", "day"),
}
"""What a report may be by -> the columns it is grouped by."""
WITHIN_SD = 1.959964


class Mean(NamedTuple):
    """A mean and its 95 % interval; None where nothing is known. A year of days has very many."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class GroupFigures:
    """What the visits of a group show.

    Args:
        group: What they share: the exhibit, and the hour, weekday (0 is Monday) or day.
        visits: How many.
        means: By measure; dwell in seconds, the others as they are.
    """

    group: dict[str, Any]
    visits: int
    means: dict[str, Mean]


def figures(
    database: Database,
    *,
    by: str = "exhibit",
    since: date | None = None,
    until: date | None = None,
    minimum_group: int,
) -> list[GroupFigures]:
    """Return the figures of every group that is large enough, in the order of its columns.

    Args:
        database: Where the visits are.
        by: In `GROUPINGS`.
        since: First day, by the site's clock; None from the beginning.
        until: Last day; None to the end.
        minimum_group: Visits a group needs.

    Raises:
        ValueError: If `by` is unknown, or the period ends before it begins.
        DatabaseError: If the database cannot be read.
    """
    if by not in GROUPINGS:
        raise ValueError(f"Expected by to be one of {list(GROUPINGS)}. Received: {by!r}.")
    if since and until and until < since:
        raise ValueError(f"Expected until >= since. Received: {until} before {since}.")
    columns = [TOTALS.c[name] for name in GROUPINGS[by]]
    sums = [
        sa.cast(sa.func.sum(column), sa.BigInteger).label(column.name)  # no slow decimals
        for column in TOTALS.c
        if column.name in ("visits", "placed") or column.name.endswith(("_sum", "_squares"))
    ]
    query = sa.select(*columns, *sums).having(sa.func.sum(TOTALS.c.visits) >= minimum_group)
    if columns:  # else the whole site is one group
        query = query.group_by(*columns).order_by(*columns)
    if since:
        query = query.where(TOTALS.c.day >= since.isoformat())
    if until:
        query = query.where(TOTALS.c.day <= until.isoformat())
    return [_figures(row, GROUPINGS[by]) for row in database.read(query)]


def rank(found: Sequence[GroupFigures], measure: str) -> list[GroupFigures]:
    """Return groups by the mean of a measure, highest first; unknown ones last.

    Raises:
        ValueError: If there is no such measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"Expected a measure of {list(MEASURES)}. Received: {measure!r}.")
    value = {id(one): one.means[measure].value for one in found}
    return sorted(found, key=lambda one: (value[id(one)] is None, -(value[id(one)] or 0.0)))


_SUMS = tuple(
    (name, f"{name}_sum", f"{name}_squares", name in PLACES, 100 if name == "dwell" else UNIT)
    for name in MEASURES
)
"""Of each measure: its columns, whether it is known of some visits only, and its unit."""


def _figures(row: Mapping[str, Any], columns: Sequence[str]) -> GroupFigures:
    visits, placed = row["visits"], row["placed"]
    means = {
        name: _mean(row[total], row[squares], placed if is_place else visits, scale)
        for name, total, squares, is_place, scale in _SUMS
    }
    return GroupFigures({name: row[name] for name in columns}, visits, means)


def _mean(total: int, squares: int, count: int, scale: int) -> Mean:
    """Return the mean of whole numbers from their exact sums."""
    if not count:
        return Mean(None, None, None)
    mean = total / count
    if count < 2:
        return Mean(mean / scale, None, None)
    variance = (squares * count - total * total) / (count * (count - 1))
    reach = WITHIN_SD * math.sqrt(variance / count)
    return Mean(mean / scale, (mean - reach) / scale, (mean + reach) / scale)
