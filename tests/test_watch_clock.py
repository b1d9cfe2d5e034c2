"""The clock of a machine that watches: wrong at first, put right, set back, and asleep."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from made_machine import Machine
from test_watch import BERLIN, NOON, made_visit
from test_watch_trouble import visits

from builder_tools.watch.database import Database, DatabaseError, Sighting
from builder_tools.watch.report import figures


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch, NOON)


@pytest.fixture
def database(tmp_path):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    yield database
    database.close()


def seconds_of(row: dict) -> float:
    return (row["seen_at"] - row["started_at"]).total_seconds()


def hours(database: Database) -> dict[tuple[str, int], int]:
    """The visits counted in each hour of each day."""
    from builder_tools.watch.tables import TOTALS

    found = database.read(TOTALS.select())
    return dict(zip(zip(found["day"], found["hour"], strict=True), found["visits"], strict=True))


def test_a_clock_that_was_wrong_at_first_is_right_once_it_is_set(machine, database):
    """A machine without a battery begins with an old date; a time server puts it right."""
    machine.now = NOON - timedelta(days=300, hours=3)
    told = []

    def script() -> Iterator[bool]:
        yield from machine.passes(4, somebody=True)
        machine.now = NOON  # in the middle of a visit
        yield from machine.passes(6, somebody=True)
        yield from machine.passes(6)
        told.extend(machine.now - one["told_at"] for one in database.states())
        yield from machine.passes(6, somebody=True)

    running = machine.watch(database, script())
    assert max(told) <= timedelta(seconds=3)
    first, second = visits(database)
    assert first["started_at"] == NOON - timedelta(seconds=3.5)
    assert first["seen_at"] == NOON + timedelta(seconds=6)
    assert second["started_at"] == NOON + timedelta(seconds=12.5)
    assert hours(database) == {("2026-11-02", 11): 1, ("2026-11-02", 12): 1}
    assert running.health()["cameras"][0]["told_at"] == machine.now


@pytest.mark.parametrize("back", [timedelta(hours=3), timedelta(days=400)])
def test_a_clock_set_back_in_a_visit_leaves_it_whole(machine, database, back):
    def script() -> Iterator[bool]:
        yield from machine.passes(6, somebody=True)
        machine.now -= back
        yield from machine.passes(6, somebody=True)

    machine.watch(database, script())
    (row,) = visits(database)
    assert row["dwell"] == 1150 and seconds_of(row) == 11.5
    assert row["seen_at"] == NOON - back + timedelta(seconds=12)
    begun = row["started_at"].replace(tzinfo=UTC).astimezone(BERLIN)
    assert (row["day"], row["hour"]) == (begun.date().isoformat(), begun.hour)


def test_visits_that_ended_before_the_clock_was_set_back_are_left(machine, database):
    """What was counted stays; later visits may be earlier by the clock."""

    def script() -> Iterator[bool]:
        yield from machine.passes(4, somebody=True)
        yield from machine.passes(8)
        machine.now -= timedelta(hours=3)
        yield from machine.passes(4, somebody=True)

    machine.watch(database, script())
    first, second = visits(database)
    assert first["started_at"] == NOON + timedelta(seconds=0.5)
    assert second["started_at"] == NOON + timedelta(hours=-3, seconds=12.5)
    assert [seconds_of(row) for row in (first, second)] == [3.5, 3.5]
    assert hours(database) == {("2026-11-02", 12): 1, ("2026-11-02", 9): 1}


def test_visits_that_wait_for_the_database_get_the_clock_that_was_set(
    machine, database, monkeypatch
):
    machine.now = NOON - timedelta(days=300)
    write, is_down = Database.write, True

    def failing(self, *what):
        if is_down:
            raise DatabaseError("The database is down.")
        write(self, *what)

    def script() -> Iterator[bool]:
        nonlocal is_down
        yield from machine.passes(4, somebody=True)
        yield from machine.passes(8)
        machine.now, is_down = NOON, False
        yield from machine.passes(4)

    monkeypatch.setattr(Database, "write", failing)
    machine.watch(database, script())
    (row,) = visits(database)
    assert row["seen_at"] == NOON - timedelta(seconds=8) and seconds_of(row) == 3.5


def test_a_machine_that_slept_ends_its_visits_where_it_fell_asleep(machine, database):
    """One stood there in the evening, another stands there in the morning."""
    machine.now = datetime(2026, 11, 2, 17, 0)

    def script() -> Iterator[bool]:
        yield from machine.passes(6, somebody=True)
        machine.sleep(hours=15)
        yield from machine.passes(4, somebody=True)

    machine.watch(database, script())
    evening, morning = visits(database)
    assert evening["seen_at"] == datetime(2026, 11, 2, 17, 0, 6) and seconds_of(evening) == 5.5
    assert morning["started_at"] == datetime(2026, 11, 3, 8, 0, 6, 500_000)
    assert hours(database) == {("2026-11-02", 18): 1, ("2026-11-03", 9): 1}


def test_old_visits_are_forgotten_by_the_clock_as_it_is(machine, database):
    """The hour between two looks passes while the machine sleeps."""
    place = Sighting("north", "Blue", "before", NOON, NOON)
    database.write([], [(made_visit(1, 10.0), place)])

    def script() -> Iterator[bool]:
        yield from machine.passes(2)
        machine.sleep(days=40)
        yield from machine.passes(2)

    machine.watch(database, script(), keep_days=30)
    assert visits(database) == [] and figures(database, minimum_group=1) == []


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=400)])
@pytest.mark.parametrize("comes_back", [True, False])
def test_visits_left_by_a_clock_that_was_ahead(machine, database, ahead, comes_back):
    """Whoever comes back goes on with a visit, by the new clock; others' stay as they were."""
    begun_at = NOON + ahead
    visit, seen_at = made_visit(1, 10.0), begun_at + timedelta(seconds=10)
    visit.place = type(visit.place)(32.0, 32.0, 32.0)
    database.write([(visit, Sighting("north", "Blue", "before", begun_at, seen_at))], [])
    machine.watch(database, machine.passes(9, somebody=comes_back))
    (row,) = visits(database)
    assert not row["is_open"] and row["dwell"] == (1900 if comes_back else 1000)
    assert seconds_of(row) == row["dwell"] / 100
    assert row["started_at"] == (NOON - timedelta(seconds=10) if comes_back else begun_at)
    (blue,) = figures(database, minimum_group=1)
    assert blue.visits == 1


def test_a_visit_nobody_goes_on_with_keeps_its_times_when_the_clock_is_set(machine, database):
    """It is of yesterday, and the machine begins with a clock that is two days behind."""
    machine.now = NOON - timedelta(days=2)
    seen_at = NOON - timedelta(days=1)
    begun_at = seen_at - timedelta(seconds=10)
    database.write(
        [(made_visit(1, 10.0), Sighting("north", "Blue", "before", begun_at, seen_at))], []
    )

    def script() -> Iterator[bool]:
        yield from machine.passes(3)
        machine.now = NOON
        yield from machine.passes(6)

    machine.watch(database, script())
    (row,) = visits(database)
    assert (row["started_at"], row["seen_at"], row["is_open"]) == (begun_at, seen_at, False)
    assert hours(database) == {("2026-11-01", 11): 1}
