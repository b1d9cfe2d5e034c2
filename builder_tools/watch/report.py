"""Reports from the database what groups of visitors felt: by exhibit, hour, weekday or day.

The query itself leaves out groups smaller than the site's minimum, so no page and no export can
show them; nor can they be found as the difference between an exhibit and its parts, or a weekday
and its days. Figures come from exact sums; intervals are Student's, 95 %, and end where no visit
can lie beyond.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from builder_tools.timeline.small_groups import standard_errors
from builder_tools.watch.database import Database
from builder_tools.watch.tables import DAY_TOTALS, MEASURES, PLACES, TOTALS, UNIT

GROUPINGS: dict[str, tuple[str, ...]] = {
    "site": (),
    "exhibit": ("exhibit",),
    "hour": ("exhibit", "hour"),
    "weekday": ("exhibit", "weekday"),
    "day": ("exhibit", "day"),
}
"""Grouping of a report -> the columns it is grouped by."""
_LIMITS = {"dwell": (0.0, np.inf), **dict.fromkeys(PLACES, (-1.0, 1.0))}
"""Least and greatest value of the measures that are not shares of one."""


class Mean(NamedTuple):
    """A mean and its 95 % interval; None where unknown."""

    value: float | None
    low: float | None
    high: float | None


class Means(Mapping[str, Mean]):
    """The means of a group by measure, looked up lazily: a year of days has very many groups.

    Args:
        columns: Measure -> the values, lower and upper ends of all groups.
        row: Index of the group.
    """

    __slots__ = ("_columns", "_row")

    def __init__(self, columns: Mapping[str, Sequence[Sequence[float | None]]], row: int) -> None:
        self._columns, self._row = columns, row

    def __getitem__(self, measure: str) -> Mean:
        values, lows, highs = self._columns[measure]
        return Mean(values[self._row], lows[self._row], highs[self._row])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True)
class GroupFigures:
    """What the visits of a group show.

    Args:
        group: What they share: the exhibit, and the hour, weekday (0 is Monday) or day.
        visits: Number of visits.
        means: Measure -> mean; dwell time in seconds, the others in their own units.
    """

    group: dict[str, Any]
    visits: int
    means: Mapping[str, Mean]


def figures(
    database: Database,
    *,
    by: str = "exhibit",
    since: date | None = None,
    until: date | None = None,
    minimum_group: int,
) -> list[GroupFigures]:
    """Return the figures of every group that is large enough, ordered by its columns.

    If the visits of an exhibit that are in none of its large hours, weekdays or days would be too
    few, the smallest of these is left out, too. Otherwise the few could be found as the difference
    between the exhibit and its parts. So it is with the days of a weekday. A measure that is known
    of too few visits is unknown.

    Args:
        database: The database of visits.
        by: One of `GROUPINGS`.
        since: First day, by the site's clock; None for the beginning.
        until: Last day; None for the end.
        minimum_group: Visits that a group needs.

    Raises:
        ValueError: If `by` is unknown, or the period ends before it begins.
        DatabaseError: If the database cannot be read.
    """
    if by not in GROUPINGS:
        raise ValueError(f"Expected by to be one of {list(GROUPINGS)}. Received: {by!r}.")
    if since and until and until < since:
        raise ValueError(f"Expected until >= since. Received: {until} before {since}.")
    totals = TOTALS if "hour" in GROUPINGS[by] else DAY_TOTALS
    key = [totals.c[name] for name in GROUPINGS[by]]
    sums = [
        sa.cast(sa.func.sum(column), sa.BigInteger).label(column.name)  # avoids slow decimals
        for column in totals.c
        if column.name in ("visits", "placed") or column.name.endswith(("_sum", "_squares"))
    ]
    query = sa.select(*key, *sums).having(sa.func.sum(totals.c.visits) >= minimum_group)
    if key:  # otherwise the whole site is one group
        query = query.group_by(*key).order_by(*key)
    if since:
        query = query.where(totals.c.day >= since.isoformat())
    if until:
        query = query.where(totals.c.day <= until.isoformat())
    found = database.read(query)
    columns = {name: _means(found, name, minimum_group) for name in MEASURES}
    groups = [
        GroupFigures(
            {name: found[name][row] for name in GROUPINGS[by]}, visits, Means(columns, row)
        )
        for row, visits in enumerate(found["visits"])
    ]
    if len(key) < 2 or not groups:
        return groups
    wider = partial(figures, database, since=since, until=until, minimum_group=minimum_group)
    whole: dict[tuple[str, int | None], int] = {
        (one.group["exhibit"], None): one.visits for one in wider()
    }
    if by == "day":  # both reports may be at hand, so weekdays are wholes of days, too
        for one in wider(by="weekday"):
            exhibit = one.group["exhibit"]
            whole[exhibit, one.group["weekday"]] = one.visits
            whole[exhibit, None] = whole.get((exhibit, None), 0) - one.visits
    return _without_telling_parts(groups, whole, minimum_group)


def rank(found: Sequence[GroupFigures], measure: str) -> list[GroupFigures]:
    """Return groups by the mean of a measure, highest first; unknown ones last.

    Raises:
        ValueError: If there is no such measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"Expected a measure of {list(MEASURES)}. Received: {measure!r}.")
    value = {id(one): one.means[measure].value for one in found}
    return sorted(found, key=lambda one: (value[id(one)] is None, -(value[id(one)] or 0.0)))


def _without_telling_parts(
    parts: Sequence[GroupFigures], whole: Mapping[tuple[str, int | None], int], minimum_group: int
) -> list[GroupFigures]:
    """Leave out the smallest part of a whole where the rest of it would be too few.

    Args:
        parts: Figures by hour, weekday or day.
        whole: Visits by exhibit and weekday; None for the exhibit, less the weekdays that are here.
        minimum_group: Visits that a group needs.
    """
    rest = dict(whole)
    smallest: dict[tuple[str, int | None], GroupFigures] = {}
    for part in parts:
        day = part.group.get("day")
        key = part.group["exhibit"], day and date.fromisoformat(day).weekday()
        key = key if key in whole else (key[0], None)
        rest[key] = rest.get(key, 0) - part.visits
        if key not in smallest or part.visits < smallest[key].visits:
            smallest[key] = part
    telling = {id(smallest[key]) for key in smallest if 0 < rest[key] < minimum_group}
    return [part for part in parts if id(part) not in telling]


def _means(
    found: Mapping[str, Sequence[int]], measure: str, minimum_group: int
) -> tuple[list, list, list]:
    """Return each group's mean of a measure and the ends of its interval, from the exact sums.

    They are None where the measure is known of fewer visits than `minimum_group`.
    """
    count, total, squares = (
        np.array(found[name], dtype=object)  # Python integers cannot overflow
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
    several = several.astype(float)
    reach = standard_errors(several) * np.sqrt(variance / several)
    least, most = _LIMITS.get(measure, (0.0, 1.0))
    low, high = np.clip([mean - reach, mean + reach], least * scale, most * scale)
    ends = [(end / scale).tolist() for end in (mean, low, high)]
    for row in np.flatnonzero(count < max(minimum_group, 2)):  # one visit has no interval
        for end in ends if count[row] < max(minimum_group, 1) else ends[1:]:
            end[row] = None
    return tuple(ends)
