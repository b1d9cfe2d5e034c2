"""The live page of a site watched by `builder-tools watch`: its cameras now, its recent groups.

The page requests its changing part every few seconds; everything comes from the site's database, so
the service may run on another machine. The query itself leaves out groups that are too small, and
the page shows neither faces nor figures about individuals.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse

from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.languages import LANGUAGES
from builder_tools.watch.config import Site, read_site
from builder_tools.watch.database import Database, DatabaseError
from builder_tools.watch.health import silence
from builder_tools.watch.report import GroupFigures, Mean, figures, rank
from builder_tools.web.templating import render
from builder_tools.web.texts import Words

PERIODS = {"today": 0, "week": 6, "month": 29, "all": None}
"""Period -> how many days before today it begins; one more, `days`, lets the user pick dates."""
PICKED = "days"
MEASURES = ("share_happy", "intensity", "valence", "arousal", "dwell")
"""Measures for ranking exhibits and colouring hours; the first tells which exhibit gives joy."""
REFRESH_S = 5
LEAST_SHARE = 0.005
"""Emotions that stay below this share in every group are left out."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What the page is asked to show.

    Args:
        period: One of `PERIODS`, or `days`.
        since: First day if `period` is `days`; None for the beginning.
        until: Last day; None for the end.
        measure: One of `MEASURES`.
    """

    period: str = "today"
    since: date | None = None
    until: date | None = None
    measure: str = MEASURES[0]

    def days(self, today: date) -> tuple[date | None, date | None]:
        """Return the first and last day of the period."""
        if self.period == PICKED:
            return self.since, self.until
        before = PERIODS[self.period]
        return (None if before is None else today - timedelta(days=before)), None

    @classmethod
    def of(cls, period: str, since: str, until: str, measure: str) -> Asked:
        """Return what an address asks for, with defaults for invalid periods, days and measures."""
        days = []
        for text in (since, until):
            try:
                days.append(date.fromisoformat(text))
            except ValueError:
                days.append(None)
        if all(days) and days[1] < days[0]:
            days.reverse()
        return cls(
            period if period in (*PERIODS, PICKED) else cls.period,
            *days,
            measure if measure in MEASURES else cls.measure,
        )


@dataclass(frozen=True)
class Hours:
    """A heat map: exhibits by hour of the day.

    Args:
        hours: The columns.
        rows: Exhibit -> for each hour the measure, the number of visits and the place in 0...1,
            or None if the group is too small.
    """

    hours: Sequence[int]
    rows: dict[str, list[tuple[Mean, int, float] | None]]


def open_site(text: str) -> Site:
    """Return the site of a TOML file, or one without cameras, known by its database's address.

    Raises:
        FileNotFoundError, ValueError: If the file does not exist or is not a site's.
    """
    return Site((), database=text) if "://" in text else read_site(Path(text))


class Live:
    """The data of a site, for the page.

    Args:
        site: The site: its time zone, smallest group and database. Of one without cameras only the
            database is used, and the rules that its services recorded there.

    Raises:
        DatabaseError, ValueError: If there is no such database; a site with cameras gets one.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        open_database = Database if site.cameras else Database.with_visits
        self._database = open_database(site.database, site.zone_info)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def part(self, asked: Asked, words: Words) -> str:
        """Return the changing part of the page, as HTML.

        Raises:
            DatabaseError: If the database cannot be read at the moment.
        """
        site = self._site_now()
        if site is None:
            return render("notice", words, text=words("live.no_rules"), kind="info")
        group = site.minimum_group
        now = datetime.now(site.zone_info)
        since, until = asked.days(now.date())
        cameras = self._database.states()
        for camera in cameras:
            if silence(camera["told_at"]):
                camera["state"] = "silent"
        found = self._figures("exhibit", since, until, group)
        shares = {
            name: max(((one.means[f"share_{name}"].value or 0.0) for one in found), default=0.0)
            for name in NINE_EMOTIONS
        }
        shown = [name for name in shares if shares[name] >= LEAST_SHARE]
        return render(
            "live_part",
            words,
            site=site,
            asked=asked,
            time=f"{now:%H:%M:%S}",
            cameras=cameras,
            today=self._visits(now.date(), now.date(), group),
            visits=self._visits(since, until, group),
            exhibits=rank(found, asked.measure),
            emotions=sorted(shown, key=lambda name: -shares[name]),
            hours=_hours(self._figures("hour", since, until, group), asked.measure),
        )

    def _site_now(self) -> Site | None:
        """Return the site under the rules that hold now, or None if none are known."""
        if self.site.cameras:
            return self.site
        rules = self._database.rules()
        if rules is None:
            return None
        return replace(self.site, minimum_group=rules.minimum_group, zone=rules.zone)

    def _figures(
        self, by: str, since: date | None, until: date | None, group: int
    ) -> list[GroupFigures]:
        return figures(self._database, by=by, since=since, until=until, minimum_group=group)

    def _visits(self, since: date | None, until: date | None, group: int) -> str:
        """Say how many visits the site had, without telling those to exhibits that had too few."""
        found = self._figures("site", since, until, group)
        if not found:
            return f"< {group}"
        shown = sum(one.visits for one in self._figures("exhibit", since, until, group))
        is_told = 0 < found[0].visits - shown < group
        return f"≥ {shown}" if is_told else str(found[0].visits)


def add_live(app: FastAPI, live: Live) -> None:
    """Add the live page in each language."""
    for language in LANGUAGES:
        _add(app, live, Words(language))


def _add(app: FastAPI, live: Live, words: Words) -> None:
    router = APIRouter(prefix=f"/{words.language}/live", include_in_schema=False)

    @router.get("", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        return HTMLResponse(
            render(
                "live",
                words,
                site=live.site,
                other_language=next(one for one in LANGUAGES if one != words.language),
                periods=(*PERIODS, PICKED),
                measures=MEASURES,
                refresh_s=REFRESH_S,
            )
        )

    @router.get("/part", response_class=HTMLResponse)
    def part(period: str = "", since: str = "", until: str = "", measure: str = "") -> HTMLResponse:
        try:
            return HTMLResponse(live.part(Asked.of(period, since, until, measure), words))
        except DatabaseError as error:
            _logger.error("%s", error)
            told = render("notice", words, text=words("live.no_database"), kind="error")
            return HTMLResponse(told, status_code=503)

    app.include_router(router)


def _hours(found: Sequence[GroupFigures], measure: str) -> Hours:
    values = [v for one in found if (v := one.means[measure].value) is not None]
    if not values:
        return Hours((), {})
    seen = [one.group["hour"] for one in found]
    hours = range(min(seen), max(seen) + 1)
    least, span = min(values), (max(values) - min(values)) or 1.0
    rows: dict[str, list] = {one.group["exhibit"]: [None] * len(hours) for one in found}
    for one in found:
        mean = one.means[measure]
        if mean.value is not None:
            place = hours.index(one.group["hour"])
            rows[one.group["exhibit"]][place] = (mean, one.visits, (mean.value - least) / span)
    return Hours(hours, rows)
