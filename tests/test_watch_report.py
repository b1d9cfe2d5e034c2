"""Figures of groups of visits: their limits, and what a group that is too small hides."""
# ruff: noqa: F811 - fixtures by their names.

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

import sqlalchemy as sa
from test_watch import BERLIN, made_visit, postgres, server, sighting  # noqa: F401

from builder_tools.watch.database import Database, DatabaseError
from builder_tools.watch.engines import BUSY_S, engine_of
from builder_tools.watch.report import figures


def test_no_interval_ends_where_no_visit_can_be(tmp_path):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    for number, happy in enumerate((0.0, 1.0)):
        visit = made_visit(number, 1.0 + 60.0 * number, happy)
        visit.affect[:2] *= 2.0 if number else -2.0  # valence 1 and -1
        database.write([], [(visit, sighting())])
    (found,) = figures(database, minimum_group=2)
    assert found.means["share_happy"] == (0.5, 0.0, 1.0)
    assert found.means["share_neutral"] == (0.5, 0.0, 1.0)
    assert found.means["valence"] == (0.0, -1.0, 1.0)
    assert found.means["dwell"].low == 0.0
    assert found.means["dwell"].high > 61.0, "no visit is too long"
    database.close()


def test_a_place_that_is_known_of_too_few_visits_is_not_told(tmp_path):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    for number in range(5):
        visit = made_visit(number, 10.0 + number)
        if number:
            visit.affect[:3] = 0.0  # the model gives no place
        database.write([], [(visit, sighting())])
    (found,) = figures(database, minimum_group=5)
    assert found.visits == 5 and found.means["share_happy"].value == 0.5
    assert found.means["valence"] == found.means["arousal"] == (None, None, None)
    database.close()


def test_services_that_end_visits_to_the_same_exhibits_at_once_count_all(postgres):
    """Whichever comes second waits: no duplicate total, no deadlock."""
    databases = [Database(postgres, BERLIN) for _ in range(3)]

    def end(service: int, hour: int) -> None:
        exhibits = [f"Room {(service + number) % 3}" for number in range(3)]
        ended = [
            (
                made_visit(100 * hour + number, 10.0),
                replace(sighting(exhibit, run=f"r{service}", hours=hour), camera=f"c{service}"),
            )
            for number, exhibit in enumerate(exhibits)
        ]
        databases[service].write([], ended)

    with ThreadPoolExecutor(3) as pool:
        for hour in range(40):
            list(pool.map(end, range(3), [hour] * 3))
    found = figures(databases[0], minimum_group=2)
    assert [one.visits for one in found] == [120, 120, 120]
    assert {one.visits for one in figures(databases[0], by="hour", minimum_group=2)} == {3, 6}
    for database in databases:
        database.close()


def test_a_database_that_somebody_locks_does_not_hold_up_the_cameras(postgres, monkeypatch):
    """A backup or `VACUUM FULL` may take hours; visits stay in memory meanwhile."""
    monkeypatch.setattr("builder_tools.watch.engines.BUSY_S", 0.5)
    database, ended = Database(postgres, BERLIN), [(made_visit(1, 10.0), sighting())]
    locker = sa.create_engine(postgres)
    with locker.begin() as connection:
        connection.execute(sa.text("LOCK TABLE visits IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(DatabaseError, match="lock timeout"):
            database.write([], ended)
    database.write([], ended)
    (found,) = figures(database, minimum_group=1)
    assert found.visits == 1
    locker.dispose()
    database.close()


def test_a_database_that_never_answers_is_not_waited_for(monkeypatch):
    pytest.importorskip("psycopg")
    monkeypatch.setattr("builder_tools.watch.engines.BUSY_S", 2.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(DatabaseError, match="timeout"):
            Database(address, BERLIN)


def test_a_connection_that_is_frozen_is_not_waited_for(postgres, monkeypatch):
    """Its server may be stopped (a paused machine): the system still takes what is sent to it."""
    monkeypatch.setattr("builder_tools.watch.engines.BUSY_S", 0.5)
    database = Database(postgres, BERLIN)
    asked = sa.select(sa.func.pg_backend_pid().label("process"))
    (process,) = database.read(asked)["process"]
    os.kill(process, signal.SIGSTOP)
    thaw = threading.Timer(10.0, os.kill, [process, signal.SIGCONT])
    thaw.start()
    begin_s = time.monotonic()
    try:
        assert database.read(asked)["process"] != (process,)
        assert time.monotonic() - begin_s < 5.0
    finally:
        thaw.cancel()
        os.kill(process, signal.SIGCONT)
    database.close()


@pytest.mark.parametrize("kind", ["postgresql+psycopg", "postgresql"])
def test_a_database_whose_machine_is_gone_is_not_waited_for(kind):
    """If all that was sent has arrived, only keepalives tell: after two hours, by default."""
    pytest.importorskip("psycopg")
    if sa.make_url(f"{kind}://").get_driver_name() != "psycopg":
        pytest.skip("SQLAlchemy 2.0 takes it for psycopg2")
    engine, asked = engine_of(f"{kind}://me@127.0.0.1:1/x?keepalives_interval=1"), {}
    sa.event.listen(engine, "do_connect", lambda *given: asked.update(given[-1]))
    with pytest.raises(sa.exc.OperationalError):
        engine.connect()
    assert 0 < asked["keepalives_idle"] < asked["tcp_user_timeout"] / 1000 == BUSY_S
    assert asked["keepalives_interval"] == "1", "whoever asks for another gets it"


def test_the_interval_of_few_visits_is_students(tmp_path):
    """Five visits of 10...14 s: 12 +- 2.776 sd / sqrt(5), where the sd is sqrt(2.5)."""
    database = Database(str(tmp_path / "v.db"), BERLIN)
    for number in range(5):
        database.write([], [(made_visit(number, 10.0 + number), sighting())])
    (found,) = figures(database, minimum_group=5)
    assert found.means["dwell"] == pytest.approx((12.0, 10.037, 13.963), abs=0.005)
    database.close()
