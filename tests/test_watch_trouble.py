"""What goes wrong around a service that watches: silent cameras, failing databases, odd clocks."""

from __future__ import annotations

import functools
import logging
import socket
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

import cv2
import numpy as np
import pytest
from made_machine import Machine
from made_videos import BrightFaceDetector, BrightnessModel

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

import sqlalchemy as sa
from test_watch import BERLIN, NOON, face, fill, made_visit, sighting

from builder_tools.inference.threads import DetectorPool
from builder_tools.media import VideoWriter
from builder_tools.watch import database as database_module
from builder_tools.watch import feeds, service
from builder_tools.watch.config import Camera, Site
from builder_tools.watch.database import Database, DatabaseError, Sighting
from builder_tools.watch.feeds import LOST, WATCHING
from builder_tools.watch.health import serve_health
from builder_tools.watch.report import figures
from builder_tools.watch.service import Watch
from builder_tools.watch.tables import VISITS
from builder_tools.watch.visits import SILENT_S, VisitKeeper


@pytest.fixture
def face_film(tmp_path):
    """Somebody for two seconds, in the middle of the image."""
    with VideoWriter(tmp_path / "face.mp4", 20, (64, 64)) as writer:
        for _ in range(40):
            writer.write(np.full((64, 64, 3), 140, np.uint8))
    return Camera("film", "Blue", str(tmp_path / "face.mp4"))


def watch(database: Database, *cameras: Camera) -> Watch:
    site = Site(cameras, minimum_dwell_s=0.2, gap_s=5.0)
    return Watch(site, database, BrightnessModel(), DetectorPool(BrightFaceDetector(), "", {}))


def visits(database: Database) -> list[dict]:
    found = database.read(sa.select(VISITS).order_by(VISITS.c.id))
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def test_a_camera_that_never_answers_is_told_and_the_other_goes_on(
    tmp_path, face_film, monkeypatch
):
    patient = functools.partial(feeds.CameraReader, timeout_s=0.3)
    monkeypatch.setattr(feeds, "CameraReader", patient)
    database = Database(str(tmp_path / "v.db"), BERLIN)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/stream"
        running = watch(database, Camera("silent", "Red", address), face_film)
        states = []

        def goes_on():
            states.append({one["camera"]: one for one in running.health()["cameras"]})
            return len(states) < 2000 and states[-1]["film"]["state"] != "ended"

        running.run(goes_on)
    both = [(one["silent"]["state"], one["film"]["state"]) for one in states]
    assert (LOST, WATCHING) in both
    assert any(one["silent"]["message"] for one in states)
    assert [(one["camera"], one["is_open"]) for one in visits(database)] == [("film", False)]


@pytest.mark.parametrize("gap_s", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("keeps_track", [True, False])
def test_who_is_in_every_image_is_never_out_of_sight(gap_s, keeps_track):
    """However few images a busy machine analyses, and whether it writes visits meanwhile."""
    keeper, ended = VisitKeeper(gap_s), []
    for number in range(11):
        ended += keeper.update([face(1 if keeps_track else number)], 2.0 * number)
        ended += keeper.wait(2.0 * number + 1.5)
    assert ended == []
    (visit,) = keeper.update([], 21.5)
    assert visit.dwell_s == 20.0 and keeper.update([face(1)], 24.0) == []
    (visit,) = keeper.open
    assert visit.started_s == 24.0
    assert keeper.wait(24.0 + SILENT_S) == [] and keeper.wait(24.5 + SILENT_S) == [visit]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (cv2.error("(-215:Assertion failed) in function 'cvtColor'"), "cvtColor"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_camera_that_fails_as_nobody_foresaw_is_lost_and_tried_again(monkeypatch, error, said):
    """OpenCV's errors are no OSError; the thread of the camera ended with them, unnoticed."""
    tries = []

    class Reader:
        def __init__(self, source, retries):
            tries.append(source)
            raise error

    monkeypatch.setattr(feeds, "CameraReader", Reader)
    monkeypatch.setattr(feeds, "FIRST_DELAY_S", 0.01)
    feed = feeds.Feed(Camera("grey", "Blue", 0), threading.Condition())
    deadline = time.monotonic() + 30
    while len(tries) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    feed.close()
    assert len(tries) >= 3 and feed.state == LOST and said in feed.message


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("", 200), ("evil.example", 400)],
)
def test_the_state_of_cameras_is_told_to_no_page_elsewhere(host, status):
    """A page whose name is pointed at this machine could read the answer."""
    server = serve_health(0, lambda: {"database": "ok", "cameras": []})
    try:
        asked = HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
        asked.request("GET", "/health", headers={"Host": host})
        assert asked.getresponse().status == status
        asked.close()
    finally:
        server.shutdown()
        server.server_close()


def test_the_last_image_of_a_film_is_looked_at(tmp_path):
    """It comes while the one before is looked at, and nothing comes after it."""
    with VideoWriter(tmp_path / "two.mp4", 20, (64, 64)) as writer:
        for grey in (100, 200):
            writer.write(np.full((64, 64, 3), grey, np.uint8))

    class WaitsForTheEnd(BrightFaceDetector):
        def detect(self, image_rgb):
            while running.health()["cameras"][0]["state"] != "ended":
                time.sleep(0.01)
            looked.append(image_rgb.mean())
            return super().detect(image_rgb)

    looked, database = [], Database(str(tmp_path / "v.db"), BERLIN)
    detectors = DetectorPool(WaitsForTheEnd(), "", {})
    cameras = (Camera("film", "Blue", str(tmp_path / "two.mp4")),)
    running = Watch(Site(cameras, gap_s=5.0), database, BrightnessModel(), detectors)
    running.run()
    assert looked[-1] > 150, "the second, be the first looked at or not"


def test_a_database_that_is_down_for_a_while_loses_and_doubles_nothing(
    tmp_path, face_film, monkeypatch, caplog
):
    monkeypatch.setattr(service, "CHECKPOINT_S", 0.1)
    database, write, calls = Database(str(tmp_path / "v.db"), BERLIN), Database.write, []

    def failing(self, *what):
        calls.append(1)
        if 2 <= len(calls) <= 6:
            raise DatabaseError("The database is down.")
        write(self, *what)
        if len(calls) == 7:  # it was written, and the answer was lost
            raise DatabaseError("The database is gone.")

    monkeypatch.setattr(Database, "write", failing)
    with caplog.at_level(logging.WARNING):
        watch(database, face_film).run()
    assert len(calls) > 8
    (visit,) = visits(database)
    assert visit["dwell"] / 100 == pytest.approx(1.9, abs=1.0), "seen late on a busy machine"
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 1
    said = [record.message for record in caplog.records]
    assert sum("is down" in one for one in said) == 1, "once, not at every try"
    assert any("can be used again" in one for one in said)


def test_a_database_that_is_still_waited_for_is_not_said_to_be_well(
    tmp_path, face_film, monkeypatch
):
    """A server may accept everything and answer nothing; no limit of a driver's ends that."""
    clock_s, told = [0.0], []
    monkeypatch.setattr(service, "_clock_s", lambda: clock_s[0])
    running = watch(Database(str(tmp_path / "v.db"), BERLIN), face_film)

    def slow(self, *what):
        for passed_s in (10.0, 20.0):
            clock_s[0] += passed_s
            told.append(running.health()["database"])

    monkeypatch.setattr(Database, "write", slow)
    running.run(lambda: False)
    assert told == ["ok", "The database has not answered for 30 s."]
    assert running.health()["database"] == "ok"


def test_cameras_go_on_while_a_database_does_not_answer(tmp_path, monkeypatch):
    """A frozen server accepts everything and answers nothing, for hours."""
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)
    monkeypatch.setattr(service, "ANSWER_S", 0.05)
    answers, write, waited_in_vain = threading.Event(), Database.write, []

    def silent(self, *what):
        waited_in_vain.append(not answers.wait(10))
        write(self, *what)

    monkeypatch.setattr(Database, "write", silent)

    def script():
        yield from machine.passes(4, somebody=True)
        yield from machine.passes(9, somebody=False)
        yield from machine.passes(5, somebody=True)
        answers.set()
        yield from machine.passes(9, somebody=False)

    running = machine.watch(database, script())
    assert not any(waited_in_vain), "the cameras waited, too"
    assert sorted(row["dwell"] for row in visits(database)) == [350, 450]
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 2 and running.health()["database"] == "ok"


def test_a_service_whose_database_never_answers_can_be_ended(tmp_path, monkeypatch):
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)
    monkeypatch.setattr(service, "ANSWER_S", 0.05)
    monkeypatch.setattr(service, "LAST_ANSWER_S", 0.2)
    answers = threading.Event()
    monkeypatch.setattr(Database, "write", lambda self, *what: answers.wait(20))
    with pytest.raises(DatabaseError, match=r"One visit was not written.*has not answered for"):
        machine.watch(database, machine.passes(4, somebody=True))
    answers.set()


def test_a_signal_does_not_hide_that_visits_are_lost(tmp_path, monkeypatch, caplog):
    """What a signal raises goes before all other errors."""
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)

    def down(self, *what):
        raise DatabaseError("The database is down.")

    def script():
        yield from machine.passes(4, somebody=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(Database, "write", down)
    with pytest.raises(DatabaseError, match="One visit was not written"):
        machine.watch(database, script())
    assert "One visit was not written. The database is down." in caplog.messages


def test_an_error_of_our_own_beside_the_database_ends_the_service(tmp_path, face_film, monkeypatch):
    """Whoever looks after the machine learns of it, and starts it again."""

    def wrong(self, *what):
        raise KeyError("dwell")

    monkeypatch.setattr(Database, "write", wrong)
    with pytest.raises(KeyError, match="dwell"):
        watch(Database(str(tmp_path / "v.db"), BERLIN), face_film).run()


def test_a_database_file_that_is_moved_is_told_of_and_written_to_once_it_is_back(
    tmp_path, face_film, monkeypatch
):
    """SQLite itself goes on writing to the moved file."""
    monkeypatch.setattr(service, "CHECKPOINT_S", 0.1)
    database, files = Database(str(tmp_path / "v.db"), BERLIN), ("v.db", "v.db-wal", "v.db-shm")
    running, tries = watch(database, face_film), []
    away = tmp_path / "away"
    away.mkdir()

    def write(*what):
        tries.append(1)
        if len(tries) == 3:
            for name in files:
                (tmp_path / name).rename(away / name)
        if len(tries) == 6:
            assert "was removed or moved" in running.health()["database"]
            assert not (tmp_path / "v.db").exists(), "no empty file stands in its place"
            for name in files:
                (away / name).rename(tmp_path / name)
        Database.write(database, *what)

    monkeypatch.setattr(database, "write", write)
    running.run()
    assert len(tries) > 6 and running.health()["database"] == "ok"
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 1
    database.close()


def test_a_database_file_that_is_gone_at_the_end_is_an_error(tmp_path, face_film):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    running = watch(database, face_film)
    for path in tmp_path.glob("v.db*"):
        path.unlink()
    with pytest.raises(DatabaseError, match=r"One visit was not written.*was removed or moved"):
        running.run()


def test_a_database_file_that_was_replaced_is_read(tmp_path):
    database, other = (Database(str(tmp_path / name), BERLIN) for name in ("v.db", "w.db"))
    fill(other)
    other.close()
    assert figures(database, minimum_group=2) == []
    for path in tmp_path.glob("v.db-*"):
        path.unlink()
    (tmp_path / "w.db").replace(tmp_path / "v.db")
    assert len(figures(database, minimum_group=2)) == 2
    database.close()


def test_a_database_that_is_full_is_a_sentence_and_goes_on_with_room(tmp_path, monkeypatch):
    path, prepare = str(tmp_path / "v.db"), database_module.prepare_sqlite
    Database(path, BERLIN).close()
    with sqlite3.connect(path) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()

    def narrow(connection, record):
        prepare(connection, record)
        connection.execute(f"PRAGMA max_page_count={pages}")

    monkeypatch.setattr(database_module, "prepare_sqlite", narrow)
    full = Database(path, BERLIN)
    ended = [(made_visit(n, 10.0), sighting()) for n in range(200)]
    with pytest.raises(DatabaseError, match="full"):
        full.write([], ended)
    assert visits(full) == [] and figures(full, minimum_group=1) == []
    full.close()
    monkeypatch.setattr(database_module, "prepare_sqlite", prepare)
    roomy = Database(path, BERLIN)
    roomy.write([], ended)
    (counted,) = figures(roomy, minimum_group=1)
    assert counted.visits == 200


def test_a_database_that_is_read_only_is_a_sentence_and_can_be_reported_from(tmp_path):
    path = tmp_path / "v.db"
    fill(Database(str(path), BERLIN))
    read_only = f"sqlite:///file:{path}?mode=ro&uri=true"
    database = Database(read_only, BERLIN)
    (blue,) = figures(database, minimum_group=3)
    assert blue.visits == 8
    with pytest.raises(DatabaseError, match="readonly"):
        database.write([], [(made_visit(1, 10.0), sighting())])


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_was_set_back_counts_nobody_twice(tmp_path, face_film, ahead):
    """A run whose clock was ahead was killed; after it somebody stands where its visitor stood."""
    database = Database(str(tmp_path / "v.db"), BERLIN)
    then = datetime.now(UTC).replace(tzinfo=None) + ahead
    before = made_visit(1, 3.0)
    before.place = type(before.place)(32.0, 32.0, 32.0)
    place = Sighting("film", "Blue", "before", then - timedelta(seconds=3), then)
    database.write([(before, place)], [])
    watch(database, face_film).run()
    (visit,) = visits(database)
    assert visit["dwell"] / 100 > 3.5 and not visit["is_open"]  # 5.0 s; later on a busy machine
    (counted,) = figures(database, minimum_group=1)
    assert counted.visits == 1


@pytest.mark.parametrize("state", [WATCHING, LOST])
def test_visits_end_though_a_camera_hangs_and_nobody_is_in_its_sight(tmp_path, monkeypatch, state):
    """A camera of this machine may give no image for hours, and no error either."""
    machine, database = Machine(monkeypatch, NOON), Database(str(tmp_path / "v.db"), BERLIN)
    told = []

    def script():
        yield from machine.passes(4, somebody=True)
        machine.state = state
        yield from machine.passes(9, somebody=None)
        told.extend(database.states())
        assert [row["is_open"] for row in visits(database)] == [False]

    machine.watch(database, script())
    assert [one["in_sight"] for one in told] == [0 if state == LOST else 1]
    assert [row["dwell"] for row in visits(database)] == [350]
