"""Cameras watched all day: visits from faces, and the database they go into."""

from __future__ import annotations

import csv
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from postgres_server import BINARIES, running_postgres

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

from builder_tools.cli import main
from builder_tools.results import Box, Face, FaceEmotion
from builder_tools.watch.config import EXAMPLE, read_site
from builder_tools.watch.database import Database, DatabaseError, Sighting
from builder_tools.watch.report import GROUPINGS, figures, rank
from builder_tools.watch.visits import Place, Visit, VisitKeeper, resumed_visit

NOON = datetime(2026, 11, 2, 11, 0)  # a Monday; 12:00 in Berlin
BERLIN = ZoneInfo("Europe/Berlin")


def face(track: int | None, x: float = 100.0, *, happy: float = 0.75, side: float = 40.0):
    box = Box(x, 100.0, x + side, 100.0 + side)
    shown = {"happy": happy, "neutral": 1 - happy}
    return FaceEmotion(Face(box, 0.9, track=track), shown, 0.5, -0.25, 0.5)


def keep(keeper: VisitKeeper, faces, start_s: float, end_s: float) -> list[Visit]:
    """See the same faces twice a second."""
    ended = []
    for number in range(int((end_s - start_s) * 2) + 1):
        ended += keeper.update(faces, start_s + number / 2)
    return ended


def test_a_visit_is_what_one_person_shows():
    keeper = VisitKeeper(gap_s=5.0)
    assert keep(keeper, [face(1)], 10.0, 20.0) == []
    assert keeper.update([], 25.0) == []
    (visit,) = keeper.update([], 25.5)
    assert visit.dwell_s == 10.0 and visit.sights == 21
    measures = visit.measures()
    assert (measures["dwell"], measures["valence"], measures["arousal"]) == (1000, 5000, -2500)
    assert (measures["share_happy"], measures["share_neutral"]) == (7500, 2500)
    assert measures["share_anger"] == measures["share_other"] == 0
    assert keeper.open == []


def test_words_that_are_not_ours_are_other():
    keeper = VisitKeeper(gap_s=1.0)
    keeper.update([FaceEmotion(Face(Box(0, 0, 9, 9), 1.0, track=1), {"awe": 0.6, "Angry": 0.4})], 0)
    (visit,) = keeper.finish()
    assert (visit.measures()["share_other"], visit.measures()["share_anger"]) == (6000, 4000)
    assert visit.measures()["valence"] is not None, "anger has a place"


@pytest.mark.parametrize(
    ("back_at_s", "x", "side", "visits"),
    [
        (14.0, 110.0, 40.0, 1),  # back in time, near
        (16.0, 110.0, 40.0, 2),  # too late
        (14.0, 300.0, 40.0, 2),  # elsewhere
        (14.0, 110.0, 90.0, 2),  # another size: another person
    ],
)
def test_a_new_identity_near_the_last_place_goes_on_with_the_visit(back_at_s, x, side, visits):
    keeper = VisitKeeper(gap_s=5.0)
    ended = keep(keeper, [face(1)], 0.0, 10.0)
    ended += keep(keeper, [face(2, x, side=side)], back_at_s, back_at_s + 4.0)
    ended += keeper.finish()
    assert len(ended) == visits
    assert sum(visit.sights for visit in ended) == 30


def test_two_people_in_sight_are_two_visits_however_near():
    keeper = VisitKeeper(gap_s=5.0)
    keep(keeper, [face(1), face(2, 120.0)], 0.0, 10.0)
    assert keep(keeper, [face(2, 120.0), face(3, 101.0), face(None)], 10.5, 20.0) == []
    assert sorted(visit.dwell_s for visit in keeper.finish()) == [20.0, 20.0]


@pytest.fixture(scope="module")
def server():
    """The address of a PostgreSQL of its own."""
    if BINARIES is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    pytest.importorskip("psycopg")
    with running_postgres() as address:
        yield address


@pytest.fixture
def postgres(server):
    """An empty PostgreSQL database."""
    import sqlalchemy as sa

    yield server
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        for name in ("visits", "totals", "day_totals", "cameras", "rules", "alembic_version"):
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return str(tmp_path / "visits.db")
    return request.getfixturevalue("postgres")


def made_visit(number: int, dwell_s: float, happy: float = 0.5) -> Visit:
    keeper = VisitKeeper(gap_s=1e6)
    keeper.update([face(1, happy=happy)], 0.0)
    keeper.update([face(1, happy=happy)], dwell_s)
    (visit,) = keeper.finish()
    visit.number = number
    return visit


def sighting(exhibit: str = "Blue", *, run: str = "a", hours: int = 0, seen_s: float = 0.0):
    begun = NOON + timedelta(hours=hours)
    return Sighting("north", exhibit, run, begun, begun + timedelta(seconds=seen_s))


def fill(database: Database) -> None:
    """Eight visits to one exhibit in two hours, two to another."""
    for number in range(8):
        one = (made_visit(number, 10.0 + number, 0.1 * number), sighting(hours=number % 2))
        database.write([], [one])
    database.write([], [(made_visit(n, 60.0), sighting("Red")) for n in (100, 101)])


def test_reports_come_from_exact_sums_and_hide_small_groups(url):
    database = Database(url, BERLIN)
    fill(database)
    (blue,) = figures(database, minimum_group=3)
    assert (blue.group, blue.visits) == ({"exhibit": "Blue"}, 8)
    dwell, happy = blue.means["dwell"], blue.means["share_happy"]
    assert dwell.value == 13.5 and happy.value == 0.35
    # 10...17: the standard deviation is sqrt(6), of the mean sqrt(6/8); Student's t
    assert dwell.high - dwell.value == pytest.approx(2.3646 * 0.75**0.5, rel=1e-3)
    by_hour = figures(database, by="hour", minimum_group=2)
    assert [(one.group["exhibit"], one.group["hour"], one.visits) for one in by_hour] == [
        ("Blue", 12, 4),
        ("Blue", 13, 4),
        ("Red", 12, 2),
    ]
    days = figures(database, by="day", minimum_group=2, since=date(2026, 11, 2))
    assert {one.group["day"] for one in days} == {"2026-11-02"}
    assert figures(database, minimum_group=2, since=date(2026, 11, 3)) == []
    assert [one.group["exhibit"] for one in rank(figures(database, minimum_group=2), "dwell")] == [
        "Red",
        "Blue",
    ]
    database.close()


def test_exhibits_reports_from_the_database(url, tmp_path, capsys):
    fill(Database(url, BERLIN))
    (tmp_path / "site.toml").write_text(
        f"title = 'Show'\nzone = 'Europe/Berlin'\ndatabase = '{url}'\nminimum_group = 4\n"
        "rank_by = 'happy'\nconsent = 'Signs tell.'\n"
        "[[camera]]\nname = 'north'\nexhibit = 'Blue'\nsource = 0\n"
    )
    out = tmp_path / "out"
    command = ["exhibits", str(tmp_path / "site.toml"), "--out", str(out)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith(" 1. Blue: 8 visits, happy 0.350 (95 % ")
    page = (out / "exhibits.html").read_text()
    assert "Signs tell." in page and "Europe/Berlin" in page and "Red" not in page
    assert main([*command, "--by", "hour"]) == 0
    with (out / "exhibits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["exhibit"], row["hour"], row["rank"], row["visits"]) for row in rows] == [
        ("Blue", "12:00", "2", "4"),
        ("Blue", "13:00", "1", "4"),
    ]
    assert [row["dwell_s"] for row in rows] == ["13.0", "14.0"], "10, 12, 14, 16 and 11, ... 17"
    assert "subtracted" not in capsys.readouterr().err
    assert main([*command, "--by", "weekday", "--since", "2027-01-01"]) == 0
    said = capsys.readouterr().err
    assert "No group of 4 visits" in said and "subtracted from each other" in said
    assert (out / "exhibits.csv").read_text() == "exhibit,rank,visits,note\n"


def test_both_databases_tell_the_same_to_the_last_digit(tmp_path, postgres):
    found = []
    for url in (str(tmp_path / "visits.db"), postgres):
        database = Database(url, BERLIN)
        fill(database)
        found.append([figures(database, by=by, minimum_group=2) for by in GROUPINGS])
        database.close()
    assert found[0] == found[1]


def test_totals_by_day_are_those_by_hour_also_of_an_older_database(url):
    import sqlalchemy as sa

    from builder_tools.watch.tables import DAY_TOTALS, TOTALS

    names = [column.name for column in DAY_TOTALS.c]
    by_day = sa.select(*(TOTALS.c[name] for name in names[:3])).add_columns(
        *(sa.cast(sa.func.sum(TOTALS.c[name]), sa.BigInteger) for name in names[3:])
    )
    by_day = by_day.group_by(*(TOTALS.c[name] for name in names[:3]))
    database = Database(url, BERLIN)
    fill(database)
    engine = sa.create_engine(url if "://" in url else f"sqlite:///{url}")

    def days() -> list[tuple]:
        with engine.connect() as connection:
            found = sorted(map(tuple, connection.execute(sa.select(DAY_TOTALS))))
            assert found == sorted(map(tuple, connection.execute(by_day)))
        return found

    before = days()
    assert [row[:4] for row in before] == [
        ("Blue", "2026-11-02", 0, 8),
        ("Red", "2026-11-02", 0, 2),
    ]
    with engine.begin() as connection:  # as it was before there were totals by day
        for name in ("day_totals", "rules"):
            connection.execute(sa.text(f"DROP TABLE {name}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    database.close()
    Database(url, BERLIN).close()
    assert days() == before
    engine.dispose()


def test_a_visit_is_counted_once_however_often_it_is_written(url):
    database = Database(url, BERLIN)
    visit, place = made_visit(1, 10.0), sighting()
    for _ in range(3):
        database.write([(visit, place)], [])
    assert figures(database, minimum_group=2) == []
    assert len(database.open_rows()) == 1
    for _ in range(3):
        database.write([], [(visit, place), (made_visit(2, 20.0), place)])
        database.write([(visit, place)], [])
    (blue,) = figures(database, minimum_group=2)
    assert blue.visits == 2 and blue.means["dwell"].value == 15.0
    assert database.open_rows() == []
    database.close()


def test_what_a_crash_left_open_goes_on_or_ends(url):
    database = Database(url, BERLIN)
    database.write([(made_visit(1, 10.0, 1.0), sighting(seen_s=10.0))], [])
    (row,) = database.open_rows()
    keeper = VisitKeeper(5.0, [resumed_visit(row, seen_s=-2.0)])
    keeper.update([face(1, 105.0, happy=0.0)], 1.0)
    keeper.update([face(1, 105.0, happy=0.0)], 4.5)
    keeper.update([face(1, 105.0, happy=0.0)], 8.0)
    (visit,) = keeper.finish()
    assert visit.dwell_s == 20.0 and visit.run == "a"
    database.write([], [(visit, sighting(run=visit.run, seen_s=20.0))])
    database.write([(made_visit(9, 30.0), sighting(run="b"))], [])
    left = database.open_rows()
    database.write([], [], left)
    database.write([], [], left)
    (blue,) = figures(database, minimum_group=2)
    assert blue.visits == 2 and blue.means["dwell"].value == 25.0
    database.close()


def test_an_opened_database_is_not_locked_and_other_versions_are_a_sentence(tmp_path):
    path = tmp_path / "v.db"
    fill(Database(str(path), BERLIN))
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        (blue,) = figures(Database(str(path), BERLIN), minimum_group=3)
        assert blue.visits == 8, "while another writes"
        writer.execute("ROLLBACK")
        writer.execute("DROP TABLE day_totals")
        writer.execute("UPDATE alembic_version SET version_num = '0001'")
        with pytest.raises(DatabaseError, match=r"version 0001 .* readonly .* Open it once"):
            Database(f"sqlite:///file:{path}?mode=ro&uri=true", BERLIN)
        writer.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="version 9999, which a later builder-tools"):
        Database(str(path), BERLIN)


def test_two_may_open_a_new_database_at_once(url):
    with ThreadPoolExecutor(8) as pool:
        for database in pool.map(lambda _: Database(url, BERLIN), range(8)):
            assert database.open_rows() == []
            database.close()


def test_old_visits_are_forgotten(url):
    database = Database(url, BERLIN)
    fill(database)
    assert database.forget(30, NOON + timedelta(days=20)) == 0
    assert database.forget(30, NOON + timedelta(days=40)) == 10
    assert figures(database, minimum_group=2) == []
    database.close()


def test_a_database_that_cannot_be_used_is_a_sentence(tmp_path):
    (tmp_path / "text.db").write_text("no database, but a text of some length " * 50)
    with pytest.raises(DatabaseError, match="not a database"):
        Database(str(tmp_path / "text.db"), BERLIN)
    with pytest.raises(DatabaseError, match="unable to open"):
        Database(str(tmp_path / "no" / "folder.db"), BERLIN)
    with pytest.raises(ValueError, match="Expected a database") as told:
        Database("mysteryql://somebody:secret@somewhere", BERLIN)
    assert "secret" not in str(told.value)
    for password in ("secret", "a@b:secret"):  # or the port is none
        with pytest.raises(ValueError, match="its port is no number") as told:
            Database(f"postgresql+psycopg://somebody:{password}@host:port/x", BERLIN)
        assert "secret" not in str(told.value)
    with pytest.raises(DatabaseError, match="cannot be used"):
        Database(f"postgresql+psycopg://secret:word@/x?host={tmp_path}", BERLIN)
    with pytest.raises(DatabaseError, match="cannot be used") as told:
        Database(f"postgresql+psycopg://me@/x?host={tmp_path}&password=secret", BERLIN)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("verb", ["report", "status", "exhibits"])
def test_reading_makes_no_database(tmp_path, verb, capsys):
    config = tmp_path / "show.toml"
    config.write_text('database="places.db"\n' + CAMERA)
    words = ["watch", str(config), f"--{verb}"]
    if verb == "exhibits":
        words = ["exhibits", str(config), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "No database of visits at" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["show.toml"]
    with sqlite3.connect(tmp_path / "places.db") as somebody_s:
        somebody_s.execute("CREATE TABLE places (name)")
    before = (tmp_path / "places.db").read_bytes()
    assert main(words) == 2 and "holds no visits" in capsys.readouterr().err
    assert (tmp_path / "places.db").read_bytes() == before


def test_a_database_that_is_there_is_read(url):
    fill(Database(url, BERLIN))
    database = Database.with_visits(url, BERLIN)
    assert [one.visits for one in figures(database, minimum_group=3)] == [8]
    database.close()


def test_the_password_of_a_database_is_not_printed(postgres, tmp_path, capsys):
    url = postgres.replace("postgres@", "postgres:secret@")
    url += "&password=secret&passfile=/secret"
    camera = CAMERA.replace("=0", '="http://127.0.0.1:9/"')
    (tmp_path / "show.toml").write_text(f"database='{url}'\n" + camera)
    assert main(["watch", str(tmp_path / "show.toml"), "--for", "1"]) == 0
    said = capsys.readouterr().err
    assert "into postgresql+psycopg://postgres:***@/" in said and "secret" not in said


def test_the_example_is_a_configuration(tmp_path):
    (tmp_path / "show.toml").write_text(EXAMPLE)
    site = read_site(tmp_path / "show.toml")
    assert [camera.name for camera in site.cameras] == ["north", "door"]
    assert site.database == str(tmp_path / "visits.db") and site.keep_days == 365


CAMERA = '[[camera]]\nname="a"\nexhibit="b"\nsource=0\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one or more"),
        ("= 3", "as TOML"),
        (CAMERA * 2, "distinct names"),
        ("zone='Mars/Olympus'\n" + CAMERA, "time zone"),
        ("zone='Europe'\n" + CAMERA, "time zone"),
        ("minimum_group=1\n" + CAMERA, "at least 2"),
        ("minimum_group=99999999999999999999\n" + CAMERA, "at most 1000000"),
        ("colour='red'\n" + CAMERA, "only"),
        (CAMERA.replace("name", "nam"), "only"),
        ('[[camera]]\nname="a"\n', "Missing"),
        (CAMERA.replace("=0", "=-1"), "index"),
        ("keep_days=0\n" + CAMERA, "whole number of 1 to 36500"),
        ("keep_days=1000000\n" + CAMERA, "leave it out"),
        ("rank_by='beauty'\n" + CAMERA, "rank_by to be one of"),
    ],
)
def test_a_wrong_configuration_is_a_sentence(tmp_path, text, words):
    (tmp_path / "show.toml").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_site(tmp_path / "show.toml")


def test_distance_counts_in_faces():
    assert Place(0, 0, 40).sides_to(Place(30, 40, 50)) == 1.0
    assert Place(0, 0, 40).sides_to(Place(0, 0, 70)) == float("inf")
