"""What groups of visitors felt, out of the database: by exhibit, hour or weekday, in any period.

Groups smaller than the site's minimum are left out by the query itself, so no page and no export
can show them. Figures come from exact sums; intervals are 95 % of a normal distribution around the
mean, which groups of visits are large enough for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from builder_tools.watch.database import Database
from builder_tools.watch.tables import DAY_TOTALS, MEASURES, PLACES, TOTALS, UNIT

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
    totals = TOTALS if "hour" in GROUPINGS[by] else DAY_TOTALS
    columns = [totals.c[name] for name in GROUPINGS[by]]
    sums = [
        sa.cast(sa.func.sum(column), sa.BigInteger).label(column.name)  # no slow decimals
        for column in totals.c
        if column.name in ("visits", "placed") or column.name.endswith(("_sum", "_squares"))
    ]
    query = sa.select(*columns, *sums).having(sa.func.sum(totals.c.visits) >= minimum_group)
    if columns:  # else the whole site is one group
        query = query.group_by(*columns).order_by(*columns)
    if since:
        query = query.where(totals.c.day >= since.isoformat())
    if until:
        query = query.where(totals.c.day <= until.isoformat())
    found = database.read(query)
    visits, of_measures = found["visits"], [_means(found, name) for name in MEASURES]
    groups = zip(*(found[name] for name in GROUPINGS[by]), strict=True)
    rows = zip(groups if columns else [()] * len(visits), visits, *of_measures, strict=True)
    return [
        GroupFigures(
            dict(zip(GROUPINGS[by], group, strict=True)),
            number,
            dict(zip(MEASURES, means, strict=True)),
        )
        for group, number, *means in rows
    ]


def rank(found: Sequence[GroupFigures], measure: str) -> list[GroupFigures]:
    """Return groups by the mean of a measure, highest first; unknown ones last.

    Raises:
        ValueError: If there is no such measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"Expected a measure of {list(MEASURES)}. Received: {measure!r}.")
    value = {id(one): one.means[measure].value for one in found}
    return sorted(found, key=lambda one: (value[id(one)] is None, -(value[id(one)] or 0.0)))


def _means(found: Mapping[str, Sequence[int]], measure: str) -> list[Mean]:
    """Return the mean of a measure in each group, from the exact sums."""
    count, total, squares = (
        np.array(found[name], dtype=object)  # Python's whole numbers: none is too large
        for name in (
            "placed" if measure in PLACES else "visits",
            f"{measure}_sum",
            f"{measure}_squares",
        )
    )
    scale = 100 if measure == "dwell" else UNIT
    some, several = np.maximum(count, 1), np.maximum(count, 2)
    mean = (total / some).astype(float)
    variance = ((squares * count - total * total) / (several * (several - 1))).astype(float)
    reach = WITHIN_SD * np.sqrt(variance / several.astype(float))
    ends = (mean / scale, (mean - reach) / scale, (mean + reach) / scale)
    means = list(map(Mean, *(end.tolist() for end in ends)))
    for place in np.flatnonzero(count < 2):  # too few for an interval, or for anything
        means[place] = Mean(means[place].value if count[place] else None, None, None)
    return means
