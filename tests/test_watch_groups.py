"""What reports from the database do not tell: figures of fewer visits than a group needs."""
# ruff: noqa: F811 - fixtures by their names.

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from test_watch import BERLIN, made_visit, postgres, server, sighting, url  # noqa: F401

from builder_tools.watch.config import Site
from builder_tools.watch.database import Database
from builder_tools.watch.exhibit_results import report_paragraphs
from builder_tools.watch.report import figures


def test_a_place_that_is_known_of_fewer_than_a_group_is_not_told(tmp_path):
    """Some visits have none: the model of their time had classes without a place."""
    database = Database(str(tmp_path / "v.db"), BERLIN)
    for number, exhibit in enumerate(("Blue", "Blue", "Blue", "Red", "Red", "Red")):
        visit = made_visit(number, 10.0 + number)
        if number not in (0, 3, 4):
            visit.affect[:3] = 0.0  # the model gives no place
        database.write([], [(visit, sighting(exhibit))])
    blue, red = figures(database, minimum_group=2)
    assert blue.means["valence"] == blue.means["arousal"] == (None, None, None)
    assert red.means["valence"] == (0.5, 0.5, 0.5) and blue.means["dwell"].value == 11.0
    blue, red = figures(database, minimum_group=3)
    assert red.means["valence"] == (None, None, None), "known of two"
    assert figures(database, minimum_group=1)[0].means["valence"] == (0.5, None, None)
    database.close()


@pytest.mark.parametrize("by", ["hour", "day"])
def test_what_is_left_out_is_not_the_difference_to_the_whole(url, by):
    """Parts of an exhibit and the exhibit itself: what lies between them is a group, or nobody."""
    database, number = Database(url, BERLIN), 0
    parts = {"Blue": (6, 5, 1), "Red": (6, 5), "Green": (5, 3, 2), "Grey": (4, 1), "Black": (3,)}
    for exhibit, sizes in parts.items():
        for part, visits in enumerate(sizes):
            for _ in range(visits):
                number += 1
                place = sighting(exhibit, hours=part * (1 if by == "hour" else 24))
                database.write([], [(made_visit(number, 9.0), place)])
    whole = {one.group["exhibit"]: one.visits for one in figures(database, minimum_group=5)}
    assert whole == {"Blue": 12, "Red": 11, "Green": 10, "Grey": 5}
    shown = [
        (one.group["exhibit"], one.visits) for one in figures(database, by=by, minimum_group=5)
    ]
    assert shown == [("Blue", 6), ("Green", 5), ("Red", 6), ("Red", 5)]
    database.close()


def test_a_day_left_out_is_not_the_difference_between_its_weekday_and_the_other_days(tmp_path):
    """Both reports are of one period, so whoever has the two can subtract them."""
    database, number = Database(str(tmp_path / "v.db"), BERLIN), 0
    days = {
        "Blue": {0: 6, 7: 1, 1: 5, 2: 3, 3: 2},
        "Red": {0: 5, 1: 1, 2: 9, 9: 4, 3: 8},
        "Grey": {0: 6, 7: 5},
    }
    for exhibit, visits in days.items():
        for day, count in visits.items():
            for _ in range(count):
                number += 1
                place = sighting(exhibit, hours=24 * day)
                database.write([], [(made_visit(number, 9.0), place)])

    def shown(by):
        found = figures(database, by=by, minimum_group=5)
        return [f"{one.group['exhibit']} {one.visits}" for one in found]

    assert shown("weekday") == ["Blue 7", "Blue 5", "Grey 11", "Red 13", "Red 8"]
    # By day, 7 - 6 and 13 - 9 would tell of too few; so would 27 - 13 - 8 - 5, of two weekdays.
    assert shown("day") == ["Blue 5", "Grey 6", "Grey 5", "Red 8"]
    database.close()


def test_a_report_says_why_a_large_group_may_be_missing():
    (told,) = report_paragraphs(Site((), minimum_group=7), None, None)
    assert "fewer than 7 visits are left out, and so is another one" in told
