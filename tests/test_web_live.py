"""The live page of a site: its words and figures, and a real browser beside a running service."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="the [watch] extra is absent")
pytest.importorskip("fastapi", reason="the [web] extra is absent")

from made_videos import BrightFaceDetector, BrightnessModel
from test_watch import made_visit
from web_server import running

from builder_tools.inference.threads import DetectorPool
from builder_tools.media import VideoWriter
from builder_tools.watch.config import Camera, Site
from builder_tools.watch.database import Database, Rules, Sighting
from builder_tools.watch.report import figures
from builder_tools.watch.service import Watch
from builder_tools.web.live import Asked, Live, open_site
from builder_tools.web.texts import Words

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
PHONE = {"width": 390, "height": 844}
TODAY = date(2026, 11, 26)


def filled(path) -> str:
    """Nine visits to Blue today, the sixth of them happier; three to Red; six to Blue of old."""
    site = Site((), database=str(path))
    database = Database(site.database, site.zone_info)
    now = datetime.now(UTC).replace(tzinfo=None)
    database.record(Rules(5, "UTC"), ["north", "door"], now)
    for number in range(9):
        place = Sighting("north", "Blue <1>", "a", now, now + timedelta(seconds=9))
        database.write([], [(made_visit(number, 9.0, 0.1 * number), place)])
    for number in range(3):
        place = Sighting("door", "Red", "a", now, now)
        database.write([], [(made_visit(number, 9.0, 0.9), place)])
    for number in range(6):
        old = now - timedelta(days=20)
        place = Sighting("north", "Blue <1>", "b", old, old)
        database.write([], [(made_visit(number, 9.0, 0.0), place)])
    told = {"state": "watching", "message": "", "answers_per_s": 7.5, "told_at": now}
    late = {**told, "told_at": now - timedelta(seconds=60)}
    database.tell([{"camera": "north", "exhibit": "Blue <1>", "in_sight": 2, **told}])
    database.tell([{"camera": "door", "exhibit": "Red", "in_sight": 4, **late}])
    database.close()
    return site.database


def test_the_part_tells_groups_and_hides_small_ones(tmp_path):
    live = Live(Site((), database=filled(tmp_path / "v.db")))
    text = live.part(Asked(), Words("en"))
    assert '<dd id="bt-now">2</dd>' in text, "the service of the door is silent"
    assert 'data-camera="door" data-state="silent"' in text
    assert "2 in sight" in text and "4 in sight" not in text
    assert '<dd id="bt-today">≥ 9</dd>' in text, "12 would tell that Red has 3"
    assert "Blue &lt;1&gt;" in text and 'data-exhibit="Red"' not in text
    assert re.search(r'<li data-exhibit="Blue[^\n]*</b> 40%', text)
    month = live.part(Asked("month"), Words("ru"))
    assert '<dd id="bt-visits">≥ 15</dd>' in month and "24%" in month and "Рейтинг" in month
    never = live.part(Asked("days", None, date(2020, 1, 1)), Words("en"))
    assert '<dd id="bt-visits">&lt; 5</dd>' in never and "No exhibit has 5 visits" in never
    live.close()


def test_no_interval_of_a_share_leaves_0_to_100_percent(tmp_path):
    site = Site((), database=str(tmp_path / "v.db"))
    database, now = Database(site.database, site.zone_info), datetime.now(UTC).replace(tzinfo=None)
    database.record(Rules(5, "UTC"), ["north"], now)
    for number in range(5):
        place = Sighting("north", "Blue", "a", now, now)
        database.write([], [(made_visit(number, 9.0, float(number == 0)), place)])
    database.close()
    live = Live(site)
    text = live.part(Asked(), Words("en"))
    live.close()
    assert text.count("<small>0% … 76%</small>") == 2, "in the ranking and the table"
    assert not re.search(r"-\d+%", text)


def test_a_camera_last_told_of_in_the_future_is_silent(tmp_path):
    """The clock was ahead when the service ended, and has been set since."""
    site = Site((), database=filled(tmp_path / "v.db"))
    database, live = Database(site.database, site.zone_info), Live(site)
    (north,) = (one for one in database.states() if one["camera"] == "north")
    database.tell([{**north, "told_at": north["told_at"] + timedelta(hours=1)}])
    text = live.part(Asked(), Words("en"))
    assert 'data-camera="north" data-state="silent"' in text and '<dd id="bt-now">0</dd>' in text
    live.close()
    database.close()


def service(database: Database, camera: Camera, **rules) -> None:
    """A service that begins and ends at once."""
    detectors = DetectorPool(BrightFaceDetector(), "", {})
    watch = Watch(Site((camera,), **rules), database, BrightnessModel(), detectors)
    watch.run(lambda: False)


def test_an_address_shows_no_group_below_what_the_services_recorded(tmp_path):
    url = f"sqlite:///{filled(tmp_path / 'v.db')}"
    north, south = (Camera(name, "Blue <1>", str(tmp_path / "none.mp4")) for name in ("north", "s"))
    database, live = Database(url, open_site(url).zone_info), Live(open_site(url))

    def shown() -> str:
        return live.part(Asked(), Words("en"))

    assert 'data-exhibit="Blue' in shown() and "at least 5 visits" in shown()
    service(database, north, minimum_group=20, zone="Pacific/Kiritimati")
    assert "data-exhibit" not in shown() and '<dd id="bt-today">&lt; 20</dd>' in shown()
    assert "at least 20 visits" in shown()
    service(database, south, minimum_group=2, zone="Pacific/Kiritimati")
    assert "data-exhibit" not in shown(), "another service on the same database asks for less"
    service(database, north, minimum_group=9, zone="UTC")
    assert 'data-exhibit="Blue' in shown() and "at least 9 visits" in shown()
    live.close()
    database.close()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_an_address_has_the_days_and_hours_of_its_services(tmp_path, zone):
    """25 hours lie between these two zones, so their days differ at any time."""
    url = str(tmp_path / "v.db")
    database = Database(url, ZoneInfo(zone))
    database.record(Rules(2, zone), ["north"], datetime.now(UTC).replace(tzinfo=None))
    now = datetime.now(UTC).replace(tzinfo=None)
    for number in range(3):
        database.write([], [(made_visit(number, 9.0), Sighting("north", "Blue", "a", now, now))])
    live = Live(open_site(f"sqlite:///{url}"))
    text = live.part(Asked(), Words("en"))
    assert '<dd id="bt-today">3</dd>' in text and f"Hours of {zone}." in text
    live.close()
    database.close()


def test_visits_of_which_no_rules_are_known_are_not_shown(tmp_path):
    """As they are in a database of an earlier version until its service begins again."""
    url = f"sqlite:///{filled(tmp_path / 'v.db')}"
    with sqlite3.connect(tmp_path / "v.db") as writer:
        writer.execute("DROP TABLE rules")
        writer.execute("UPDATE alembic_version SET version_num = '0002'")
    live = Live(open_site(url))
    for language, said in (("en", "No service has recorded"), ("ru", "Ни одна служба")):
        text = live.part(Asked("all"), Words(language))
        assert said in text and "Blue" not in text and "bt-visits" not in text
    live.close()
    configured = Site((Camera("north", "Blue", 0),), database=url, minimum_group=3)
    live = Live(configured)
    assert 'data-exhibit="Red"' in live.part(Asked(), Words("en")), "the configuration tells"
    live.close()


def test_what_an_address_asks_for():
    assert Asked.of("week", "", "", "dwell") == Asked("week", None, None, "dwell")
    assert Asked.of("never", "2026-13-01", "x", "'; drop") == Asked()
    assert Asked.of("days", "2026-11-26", "2026-11-01", "").days(TODAY) == (
        date(2026, 11, 1),
        TODAY,
    )
    assert Asked("week").days(TODAY) == (date(2026, 11, 20), None)
    assert Asked("all").days(TODAY) == (None, None)


def test_a_site_known_by_its_address_alone_and_groups_of_the_whole_site(tmp_path):
    url = f"sqlite:///{filled(tmp_path / 'v.db')}"
    database = Database(url, open_site(url).zone_info)
    (whole,) = figures(database, by="site", minimum_group=18)
    assert (whole.group, whole.visits) == ({}, 18)
    assert figures(database, by="site", minimum_group=19) == []
    with pytest.raises(FileNotFoundError, match="No configuration"):
        open_site("absent.toml")


def test_an_address_of_no_visits_is_refused_and_nothing_made_there(tmp_path):
    with pytest.raises(OSError, match="No database of visits at"):
        Live(open_site(f"sqlite:///{tmp_path / 'typo.db'}"))
    with sqlite3.connect(tmp_path / "places.db") as somebody_s:
        somebody_s.execute("CREATE TABLE places (name)")
    before = (tmp_path / "places.db").read_bytes()
    with pytest.raises(OSError, match="holds no visits"):
        Live(open_site(f"sqlite:///{tmp_path / 'places.db'}"))
    assert (tmp_path / "places.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["places.db"]


def test_a_database_that_is_gone_is_a_sentence(tmp_path, monkeypatch):
    from builder_tools.watch.database import DatabaseError

    path = filled(tmp_path / "v.db")
    with running(watch=f"sqlite:///{path}") as (address, _):
        with urllib.request.urlopen(f"{address}/en/live/part?period=all") as answer:
            assert answer.status == 200
        with urllib.request.urlopen(f"{address}/en/") as answer:
            assert "/en/live" in answer.read().decode()

        def down(*_):
            raise DatabaseError("down")

        monkeypatch.setattr(Database, "states", down)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{address}/ru/live/part")
        assert caught.value.code == 503 and "Базу данных" in caught.value.read().decode()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent")
def test_in_a_browser_beside_a_running_service(tmp_path, astronaut):
    """Two films of a face: visits come to the page without its being loaded again."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is absent")
    from browser_page import faults, keep_image

    portrait = np.ascontiguousarray(astronaut[:240, 80:320])
    cameras = ""
    for name in ("blue", "red"):
        with VideoWriter(tmp_path / f"{name}.mp4", 10, (240, 240)) as writer:
            for frame in range(110):  # in sight for 8 s: the page asks every 5 s
                writer.write(portrait if frame < 80 else np.full_like(portrait, 90))
        cameras += f"[[camera]]\nname='{name}'\nexhibit='The {name} room'\nsource='{name}.mp4'\n"
    config = tmp_path / "show.toml"
    config.write_text(
        "title='Show'\nconsent='Signs tell.'\nminimum_group=2\ngap_s=0.5\nminimum_dwell_s=0.5\n"
        "database='visits.db'\n" + cameras
    )
    site = open_site(str(config))
    database = Database(site.database, site.zone_info)
    now = datetime.now(UTC).replace(tzinfo=None)
    for number in range(3):
        place = Sighting("blue", "The blue room", "before", now, now)
        database.write([], [(made_visit(number, 9.0, 0.5), place)])
    database.close()
    command = [sys.executable, "-m", "builder_tools", "watch", str(config)]
    with running(watch=str(config)) as (address, _), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport=PHONE).new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/en/live")
        page.wait_for_selector("#bt-today:text-is('3')")
        assert "No service has told" in page.inner_text("#bt-live")
        service = subprocess.Popen(command)
        try:
            page.wait_for_selector('[data-camera="red"][data-state="watching"]', timeout=60_000)
            page.wait_for_selector("#bt-now:text-is('2')", timeout=30_000)
            page.wait_for_selector("#bt-today:text-is('≥ 4')", timeout=60_000)
        finally:
            service.terminate()
            service.wait(30)
        assert page.locator("[data-exhibit]").count() == 1, "one visit to Red is no group"
        assert "The red room" not in page.inner_text("#bt-emotions")
        page.select_option("[name=measure]", "dwell")
        page.wait_for_selector("text=Ranking: time spent")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert faults(page) == []
        keep_image(page, "live")
        page.select_option("[name=period]", "days")
        page.fill("[name=until]", "2026-01-01")
        page.wait_for_selector("text=No exhibit has 2 visits")
        assert "until=2026-01-01" in page.url and page.locator("img").count() == 0
        page.click("#bt-language")
        page.wait_for_selector("text=Камеры")
        keep_image(page, "live_ru")
        assert errors == []
        browser.close()
