"""What an earlier run of `watch`, or an earlier configuration, left in the database."""
# ruff: noqa: F811 - fixtures by their names.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

import sqlalchemy as sa
from made_machine import NORTH, Machine
from test_watch import BERLIN, NOON, made_visit, postgres, server, url  # noqa: F401
from test_watch_trouble import visits

from builder_tools.cli import main
from builder_tools.watch.config import Camera
from builder_tools.watch.database import Database, Sighting
from builder_tools.watch.feeds import WATCHING
from builder_tools.watch.health import STALE_S
from builder_tools.watch.report import figures
from builder_tools.watch.tables import VISITS

RENAMED = replace(NORTH, name="north-2")
TIMES = ("started_at", "seen_at", "day", "hour")


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch, NOON)


def leave(database: Database, *dwells_s: float, ago: timedelta = timedelta()) -> list[dict]:
    """Leave visits to the north open, last seen so long ago, before the middle of the image."""
    seen_at, left = NOON - ago, []
    for number, dwell_s in enumerate(dwells_s, start=1):
        visit = made_visit(number, dwell_s)
        visit.place = type(visit.place)(32.0, 32.0, 32.0)
        begun_at = seen_at - timedelta(seconds=dwell_s)
        left.append((visit, Sighting("north", "Blue", "before", begun_at, seen_at)))
    database.write(left, [])
    return visits(database)


def counted(database: Database) -> dict[str, tuple[int, float]]:
    """Exhibit -> the visits counted and their mean dwell time."""
    found = figures(database, minimum_group=1)
    return {one.group["exhibit"]: (one.visits, one.means["dwell"].value) for one in found}


@pytest.mark.parametrize("ago", [timedelta(), timedelta(seconds=3), timedelta(days=40)])
def test_visits_of_a_camera_that_was_renamed_are_counted_as_they_were(url, machine, ago):
    database = Database(url, BERLIN)
    left = leave(database, 10.0, 20.0, 30.0, ago=ago)
    machine.watch(database, machine.passes(9), RENAMED)
    after = visits(database)
    assert [(row["id"], row["is_open"]) for row in after] == [(1, False), (2, False), (3, False)]
    assert [row[name] for row in after for name in TIMES] == [
        row[name] for row in left for name in TIMES
    ]
    assert counted(database) == {"Blue": (3, 20.0)}
    assert database.forget(30, NOON + timedelta(days=5 * 365)) == 3
    database.close()


def test_they_end_when_the_gap_is_over_or_the_service_stops(tmp_path, machine):
    database, open_in = Database(str(tmp_path / "v.db"), BERLIN), []

    def script() -> Iterator[bool]:
        for _ in range(2):
            yield from machine.passes(4)
            open_in.append(sum(row["is_open"] for row in visits(database)))

    leave(database, 10.0)
    machine.watch(database, script(), RENAMED)
    assert open_in == [1, 0]
    with database._engine.begin() as connection:
        connection.execute(sa.update(VISITS).values(is_open=True))
    machine.now = NOON
    machine.watch(database, machine.passes(1), RENAMED)
    assert not visits(database)[0]["is_open"]
    assert counted(database)["Blue"][0] == 2, "the first was opened again by this test"


def test_visits_that_another_service_goes_on_with_stay_open(url, machine):
    """Two services share a database; one begins while the other sees somebody."""
    database = Database(url, BERLIN)

    def script() -> Iterator[bool]:
        yield from machine.passes(3)
        visit, place = made_visit(1, 13.0), Sighting("north", "Blue", "before", NOON, machine.now)
        database.write([(visit, place)], [])
        yield from machine.passes(4)

    leave(database, 10.0)
    machine.watch(database, script(), RENAMED)
    (row,) = visits(database)
    assert row["is_open"] and row["dwell"] == 1300
    database.close()


SOUTH = Camera("south", "Red", 1)


def test_a_service_ends_no_visit_of_one_that_waits_longer(url, machine):
    """Two services share a database; the second begins while the first waits for somebody."""
    database, open_in = Database(url, BERLIN), []

    def script() -> Iterator[bool]:
        yield from machine.passes(5, somebody=True)
        yield from machine.passes(8)
        machine.watch(database, machine.passes(11), SOUTH, gap_s=5.0)
        open_in.append(sum(row["is_open"] for row in visits(database)))
        yield from machine.passes(3)
        machine.watch(database, machine.passes(1), SOUTH, gap_s=5.0)  # and ends at once
        open_in.append(sum(row["is_open"] for row in visits(database)))
        yield from machine.passes(4, somebody=True)

    machine.watch(database, script(), NORTH, gap_s=60.0)
    assert open_in == [1, 1]
    assert counted(database) == {"Blue": (1, pytest.approx(31.5, abs=1.0))}
    database.close()


def test_one_that_has_just_begun_is_known_to_watch_its_cameras(url, machine):
    """It resumed a visit, and has had no time yet to write it."""
    database = Database(url, BERLIN)

    def script() -> Iterator[bool]:
        yield from machine.passes(0.5)
        machine.watch(database, machine.passes(1), SOUTH, gap_s=5.0)
        yield from machine.passes(4, somebody=True)

    leave(database, 10.0, ago=timedelta(seconds=20))
    machine.watch(database, script(), NORTH, gap_s=60.0)
    assert counted(database) == {"Blue": (1, pytest.approx(35.0, abs=1.0))}
    database.close()


@pytest.mark.parametrize("ago", [timedelta(), timedelta(seconds=8)])
def test_visits_of_a_service_that_was_killed_are_ended_once_it_is_silent(url, machine, ago):
    """And started again with another name for its camera, so nobody watches the former one."""
    database, open_in = Database(url, BERLIN), []

    def script() -> Iterator[bool]:
        for seconds in (10, 30):
            yield from machine.passes(seconds)
            open_in.append(sum(row["is_open"] for row in visits(database)))

    state = {"state": WATCHING, "message": "", "answers_per_s": 9.0, "in_sight": 1}
    leave(database, 10.0, ago=ago)
    database.tell([{"camera": "north", "exhibit": "Blue", "told_at": NOON, **state}])
    machine.watch(database, machine.passes(1), RENAMED)
    machine.watch(database, script(), RENAMED)
    assert open_in == [1, 0]
    assert counted(database) == {"Blue": (1, 10.0)}
    database.close()


def test_a_camera_that_was_moved_begins_new_visits(tmp_path, machine):
    """Whoever stands before the other exhibit has not stood there before."""
    database = Database(str(tmp_path / "v.db"), BERLIN)
    leave(database, 30.0)
    moved = replace(NORTH, exhibit="Red")
    machine.watch(database, machine.passes(8, somebody=True), moved)
    assert counted(database) == {"Blue": (1, 30.0), "Red": (1, pytest.approx(7.5))}


def test_visits_too_short_for_the_new_rules_are_still_ended(tmp_path, machine):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    leave(database, 10.0)
    machine.watch(database, machine.passes(9), minimum_dwell_s=60.0)
    assert not visits(database)[0]["is_open"]
    assert counted(database) == {"Blue": (1, 10.0)}


def test_one_that_goes_on_but_stays_too_short_for_the_new_rules_is_ended(tmp_path, machine):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    leave(database, 10.0)
    machine.watch(database, machine.passes(4, somebody=True), minimum_dwell_s=60.0)
    assert counted(database) == {"Blue": (1, 14.0)} and len(visits(database)) == 1


def test_old_visits_are_forgotten_also_if_nothing_ended_them(url):
    database = Database(url, BERLIN)
    begun_at = NOON - timedelta(days=40)
    for run, seen_at in (("dead", begun_at), ("still seen", NOON)):
        place = Sighting("north", "Blue", run, begun_at, seen_at)
        database.write([(made_visit(1, 10.0), place)], [])
    assert database.forget(30, NOON) == 1
    assert [row["run"] for row in visits(database)] == ["still seen"], "it is not over"
    database.close()


def test_status_tells_of_the_cameras_that_are_configured(tmp_path, monkeypatch, capsys):
    from builder_tools.watch import health

    config = tmp_path / "show.toml"
    tables = "".join(
        f"[[camera]]\nname='{name}'\nexhibit='Blue'\nsource={number}\n"
        for number, name in enumerate(("north-2", "door"))
    )
    config.write_text("database='v.db'\n" + tables)
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)
    monkeypatch.setattr(health, "datetime", machine.clock)

    def told() -> tuple[int, list[str]]:
        code = main(["watch", str(config), "--status"])
        return code, capsys.readouterr().out.splitlines()

    machine.watch(database, machine.passes(3), NORTH)
    machine.sleep(hours=1)
    machine.watch(database, machine.passes(3), RENAMED)
    code, lines = told()
    assert code == 1 and [line.split(",")[0] for line in lines] == [
        "north-2: watching",
        "door: no service has told of it yet",
    ]
    machine.watch(database, machine.passes(3), RENAMED, Camera("door", "Blue", 1))
    assert told()[0] == 0
    machine.now += timedelta(seconds=60)
    assert told()[1][0] == "north-2: silent for 60 s", "how many were in sight is long over"
    machine.now -= timedelta(hours=1)
    code, lines = told()
    assert code == 1 and lines[0] == "north-2: last told of 3540 s ahead of this clock"


def test_a_service_says_that_another_watches_the_same_camera(url, machine, caplog):
    """Started by hand beside the one of the machine, say: all visits are counted twice."""
    database = Database(url, BERLIN)

    def script(others: int) -> Iterator[bool]:
        yield from machine.passes(5)
        for _ in range(others):
            (state,) = database.states()
            database.tell([{**state, "told_at": machine.now - timedelta(milliseconds=1)}])
            yield from machine.passes(4)
        yield from machine.passes(3)

    alone = machine.watch(database, script(0), NORTH)
    assert alone.health()["database"] == "ok" and not caplog.records
    beside = machine.watch(database, script(3), NORTH)
    assert "watches 'north', too" in beside.health()["database"]
    assert sum("counted twice" in record.message for record in caplog.records) == 1
    machine.now += timedelta(seconds=STALE_S)
    machine._awake_s += STALE_S
    assert beside.health()["database"] == "ok", "the other has ended"
    database.close()


def test_the_states_of_former_cameras_go_unless_a_service_still_tells_of_them(url, machine):
    database = Database(url, BERLIN)
    machine.watch(database, machine.passes(3), NORTH)
    machine.now += timedelta(hours=1)
    machine.watch(database, machine.passes(3), Camera("south", "Red", 1))
    assert [one["camera"] for one in database.states()] == ["south"]
    machine.watch(database, machine.passes(3), NORTH)
    assert [one["camera"] for one in database.states()] == ["north", "south"]
    machine.now -= timedelta(hours=1)
    machine.watch(database, machine.passes(3), NORTH)
    assert [one["camera"] for one in database.states()] == ["north"]
    database.close()
