"""What reports from the database do not tell: figures of fewer visits than a group needs."""
# ruff: noqa: F811 - fixtures by their names.

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("alembic")

import sqlalchemy as sa
from test_watch import BERLIN, made_visit, postgres, server, sighting, url  # noqa: F401

from builder_tools.cli import main
from builder_tools.timeline.exhibits_config import read_config
from builder_tools.watch.config import Site, read_site
from builder_tools.watch.database import Database, DatabaseError
from builder_tools.watch.engines import engine_of, file_of
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


def test_a_ranking_by_other_emotions_that_nobody_showed(tmp_path, capsys):
    database = Database(str(tmp_path / "v.db"), BERLIN)
    for number in range(3):
        database.write([], [(made_visit(number, 10.0), sighting())])
    database.close()
    camera = '[[camera]]\nname="a"\nexhibit="Blue"\nsource=0\n'
    config = tmp_path / "show.toml"
    config.write_text(f'database="v.db"\nminimum_group=2\nrank_by="share_other"\n{camera}')
    assert main(["exhibits", str(config), "--out", str(tmp_path / "report")]) == 0
    assert "1. Blue: 3 visits, other 0.000 (95 % 0.000 ... 0.000)" in capsys.readouterr().out
    assert "<th>other</th>" in (tmp_path / "report" / "exhibits.html").read_text()


def test_a_film_named_by_its_address_is_a_film(tmp_path):
    """Taken for a camera, it was played again and again, each time at the machine's full speed."""
    film = tmp_path / "a film.mp4"
    film.write_bytes(b"")
    source = film.as_uri()
    (tmp_path / "show.toml").write_text(
        f'[[camera]]\nname="a"\nexhibit="b"\nsource="{source}"\n'
        '[[camera]]\nname="c"\nexhibit="b"\nsource="FILE:///dev/video7"\n'
    )
    assert [one.source for one in read_site(tmp_path / "show.toml").cameras] == [
        str(film),
        "/dev/video7",
    ]
    (tmp_path / "show.toml").write_text(f'[[exhibit]]\nname="b"\nsource="{source}"\n')
    (exhibit,) = read_config(tmp_path / "show.toml").exhibits
    assert exhibit.source == str(film) and not exhibit.is_camera
    film.unlink()
    with pytest.raises(FileNotFoundError, match="nothing at"):
        read_config(tmp_path / "show.toml")


def test_a_folder_with_any_name_has_its_own_database(tmp_path):
    """In an address, what follows a `?` would not be of the file's name."""
    for name in ("What? A", "What? B", "5%41 #1", "a@b:c"):
        (tmp_path / name).mkdir()
        Database(str(tmp_path / name / "v.db"), BERLIN).close()
        assert (tmp_path / name / "v.db").is_file()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("v.db", "{}/v.db"),
        ("sqlite:///v.db", "{}/v.db"),
        ("sqlite+pysqlite:///deep/v.db?timeout=3", "sqlite+pysqlite:///{}/deep/v.db?timeout=3"),
        ("sqlite:////srv/v.db", "/srv/v.db"),
        ("sqlite:///file:v.db?mode=ro&uri=true", "sqlite:///file:v.db?mode=ro&uri=true"),
        ("postgresql+psycopg://me@host/v", "postgresql+psycopg://me@host/v"),
    ],
)
def test_a_database_file_is_beside_its_configuration_however_it_is_written(tmp_path, given, found):
    """From another folder, as a service of the machine starts, it was another file."""
    camera = "[[camera]]\nname = 'north'\nexhibit = 'Blue'\nsource = 0\n"
    (tmp_path / "show.toml").write_text(f"database = '{given}'\n{camera}")
    assert read_site(tmp_path / "show.toml").database == found.format(tmp_path)


@pytest.mark.parametrize("query", ["", "?timeout=3"])
def test_a_database_file_is_the_one_that_its_address_names(tmp_path, query):
    """Whatever its folder is called; and in an address, %20 is a space for newer SQLAlchemy."""
    (tmp_path / "What? 5%").mkdir()
    address = f"sqlite:///my%20show.db{query}"
    text = f"database = '{address}'\n[[camera]]\nname = 'north'\nexhibit = 'Blue'\nsource = 0\n"
    (tmp_path / "What? 5%" / "show.toml").write_text(text)
    named = file_of(engine_of(address))
    found = file_of(engine_of(read_site(tmp_path / "What? 5%" / "show.toml").database))
    assert found == tmp_path / "What? 5%" / named


@pytest.mark.parametrize("versions", [["0001"], ["4ae1027a6acf"], ["a1", "b2"]])
def test_the_database_of_another_program_is_not_taken_for_ours(url, versions):
    """Alembic keeps the versions of all programs in a table of the same name."""
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num varchar(32))"))
        for version in versions:
            connection.execute(sa.text(f"INSERT INTO alembic_version VALUES ('{version}')"))
    engine.dispose()
    for open_database in (Database, Database.with_visits):
        with pytest.raises(DatabaseError, match=r"another program's.*one of its own"):
            open_database(url, BERLIN)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("mysql+pymysql://me@host/x", "'mysql' is neither 'sqlite' nor 'postgresql'"),
        ("postgres://me@host/x", "'postgres' is neither 'sqlite' nor 'postgresql'"),
        ("postgresql+psycopg_async://me@host/x", "its driver is asynchronous"),
        ("postgresql+asyncpg://me@host/x", "its driver is asynchronous"),
        ("sqlite+aiosqlite:///x.db", "its driver is asynchronous"),
    ],
)
def test_an_address_of_another_kind_is_a_sentence(address, reason):
    """No driver of it has to be installed to be told so."""
    with pytest.raises(ValueError, match=rf"Expected a database.*{reason}"):
        Database(address, BERLIN)
