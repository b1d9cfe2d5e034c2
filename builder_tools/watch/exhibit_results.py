"""Converts figures in a site's database to the results that `builder-tools exhibits` reports."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from builder_tools.timeline.exhibits import Estimate, ExhibitResult
from builder_tools.timeline.exhibits_config import Exhibit, ExhibitConfig
from builder_tools.watch.config import Site
from builder_tools.watch.report import GroupFigures, Mean, rank
from builder_tools.watch.tables import MEASURES, OTHER

_SAID: dict[str, Callable[[Any], str]] = {
    "hour": lambda hour: f"{hour:02d}:00",
    "weekday": lambda day: calendar.day_name[day],
    "day": str,
}


def exhibit_results(found: Sequence[GroupFigures], site: Site, by: str) -> list[ExhibitResult]:
    """Return figures as results: exhibits by rank, hours and days in their own order.

    Args:
        found: From `figures`.
        site: Gives the measure they are ranked by.
        by: How they are grouped, one of `GROUPINGS`.
    """
    ranked = rank(found, site.rank_by)
    # "Other" emotions are a measure only if somebody showed one, or they are ranked by.
    others = f"share_{OTHER}"
    has_others = site.rank_by == others or any(one.means[others].value for one in found)
    told = [measure for measure in MEASURES if measure != others or has_others]
    places = {id(one): place for place, one in enumerate(ranked, start=1)}
    return [
        ExhibitResult(
            one.group["exhibit"],
            places[id(one)],
            one.visits,
            {_name(measure): _estimate(one.means[measure]) for measure in told},
            {name: _SAID[name](value) for name, value in one.group.items() if name in _SAID},
        )
        for one in (ranked if by == "exhibit" else found)
    ]


def report_config(site: Site, results: Sequence[ExhibitResult]) -> ExhibitConfig:
    """Return the configuration with which the report of recordings shows these results."""
    exhibits = dict.fromkeys(camera.exhibit for camera in site.cameras)
    exhibits |= dict.fromkeys(result.name for result in results)
    return ExhibitConfig(
        tuple(Exhibit(name, 0) for name in exhibits),
        title=site.title,
        minimum_group=site.minimum_group,
        minimum_dwell_s=site.minimum_dwell_s,
        rank_by=_name(site.rank_by),
    )


def report_paragraphs(site: Site, since: date | None, until: date | None) -> list[str]:
    """Return the introduction of such a report."""
    period = f"From {since or 'the first visit'} to {until or 'the last one'}, {site.zone} time."
    return [
        f"{period} Small figures are 95 % intervals of the mean over visits. A visit is one stay "
        f"of at least {site.minimum_dwell_s:g} s; somebody who comes back is counted again, since "
        f"nobody is recognised. Groups of fewer than {site.minimum_group} visits are left out, and "
        "so is another one where they could be found as a difference. Emotions are what a model "
        "reads from faces, which is not always what people feel.",
        *filter(None, [site.consent]),
    ]


def _name(measure: str) -> str:
    return "dwell_s" if measure == "dwell" else measure.removeprefix("share_")


def _estimate(mean: Mean) -> Estimate:
    if None not in mean:
        return Estimate(*mean)
    return Estimate(*(math.nan if value is None else value for value in mean))
