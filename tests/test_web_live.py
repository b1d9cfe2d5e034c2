"""The live page of a site: its words and figures, and a real browser beside a running service."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="the [watch] extra is absent")
pytest.importorskip("fastapi", reason="the [web] extra is absent")

from test_watch import made_visit
from web_server import running

from builder_tools.media import VideoWriter
from builder_tools.watch.config import Site
from builder_tools.watch.database import Database, Sighting
from builder_tools.watch.report import figures
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
    assert '<dd id="bt-today">12</dd>' in text
    assert "Blue &lt;1&gt;" in text and 'data-exhibit="Red"' not in text
    assert re.search(r'<li data-exhibit="Blue[^\n]*</b> 40%', text)
    month = live.part(Asked("month"), Words("ru"))
    assert '<dd id="bt-visits">18</dd>' in month and "24%" in month and "Рейтинг" in month
    never = live.part(Asked("days", None, date(2020, 1, 1)), Words("en"))
    assert '<dd id="bt-visits">&lt; 5</dd>' in never and "No exhibit has 5 visits" in never
    live.close()


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
            page.wait_for_selector("#bt-today:text-is('5')", timeout=60_000)
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
