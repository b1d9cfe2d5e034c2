"""Visits are written by a thread of their own: what becomes of its errors and connections."""

from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from made_machine import Machine
from test_watch import BERLIN, NOON, made_visit, sighting
from test_watch_trouble import visits

from builder_tools.watch import service
from builder_tools.watch.database import Database
from builder_tools.watch.report import figures


@pytest.mark.parametrize("error", [KeyError("dwell"), TimeoutError("of a driver's own")])
def test_an_error_while_writing_ends_the_service_but_loses_no_visit(tmp_path, monkeypatch, error):
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)
    write, calls = Database.write, []

    def failing(self, *what):
        calls.append(what)
        if len(calls) == 2:
            raise error
        write(self, *what)

    monkeypatch.setattr(Database, "write", failing)
    with pytest.raises(type(error)):
        machine.watch(database, machine.passes(60, somebody=True))
    assert len(calls) == 3, "it went on, or did not try at the end"
    (visit,) = visits(database)
    assert not visit["is_open"]
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 1


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:v?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_the_same_for_all_threads(monkeypatch, url):
    machine, database = Machine(monkeypatch, NOON), Database(url, BERLIN)
    running = machine.watch(database, machine.passes(6, somebody=True))
    assert running.health()["database"] == "ok"
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 1
    database.close()


def test_a_second_signal_ends_the_waiting_but_tells_what_is_lost(tmp_path, monkeypatch, caplog):
    """Who presses Ctrl-C while a frozen server is waited for presses it again."""
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)
    monkeypatch.setattr(service, "ANSWER_S", 0.05)
    answers, is_answered = threading.Event(), service.Watch._is_answered
    monkeypatch.setattr(Database, "write", lambda self, *what: answers.wait(20))

    def interrupted(self, wait_s):
        if wait_s == service.LAST_ANSWER_S:
            raise KeyboardInterrupt
        return is_answered(self, wait_s)

    monkeypatch.setattr(service.Watch, "_is_answered", interrupted)
    with pytest.raises(KeyboardInterrupt):
        machine.watch(database, machine.passes(4, somebody=True))
    answers.set()
    (said,) = caplog.messages
    assert said.startswith("One visit was not written. The database has not answered for ")


def test_an_error_of_our_own_tells_what_is_lost(tmp_path, monkeypatch, caplog):
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)

    def wrong(self, *what):
        raise KeyError("dwell")

    monkeypatch.setattr(Database, "write", wrong)
    with pytest.raises(KeyError, match="dwell"):
        machine.watch(database, machine.passes(4, somebody=True))
    assert caplog.messages == ["One visit was not written."]


def test_what_is_forgotten_is_no_longer_in_the_file(tmp_path, monkeypatch):
    """SQLite may leave deleted rows where they were, unless it was built otherwise, as Debian's."""
    connect, path = sqlite3.dbapi2.connect, tmp_path / "v.db"

    def connect_as_sqlite_is_by_default(*given, **named):
        connection = connect(*given, **named)
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", connect_as_sqlite_is_by_default)
    database = Database(str(path), BERLIN)
    database.write([], [(made_visit(1, 9.0), sighting("The secret room"))])
    database.close()
    assert b"secret room" in path.read_bytes()
    assert database.forget(10, NOON + timedelta(days=20)) == 1
    database.close()
    assert b"secret room" not in path.read_bytes()
