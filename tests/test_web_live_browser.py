"""The live page's script where answers are slow, fail or never come; the test sets its clock."""
# ruff: noqa: F811 - fixtures by their names.

import pytest

pytest.importorskip("sqlalchemy", reason="the [watch] extra is absent")
pytest.importorskip("fastapi", reason="the [web] extra is absent")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is absent")

from browser_page import CHROMIUM, browser, files  # noqa: E402, F401
from test_web_live import filled  # noqa: E402
from web_server import running  # noqa: E402

from builder_tools.web.live import REFRESH_S  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent")
PART = "**/en/live/part?*"
TODAY = "#bt-today:text-is('≥ 9')"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = filled(tmp_path_factory.mktemp("site") / "v.db")
    with running(watch=f"sqlite:///{path}") as (address, _):
        yield f"{address}/en/live"


@pytest.fixture
def page(browser):
    errors = []
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.clock.install()
    yield page
    context.close()
    assert errors == []


def wait_s(page, seconds):
    page.clock.run_for(1000 * seconds)


def test_a_slow_answer_is_waited_for_and_shown(page, address):
    held = []
    page.route(PART, lambda route: held.append(route))
    with page.expect_request(PART):
        page.goto(address)
    wait_s(page, 4 * REFRESH_S)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    held[0].continue_()
    page.wait_for_selector(TODAY)
    assert len(held) == 1
    with page.expect_request(PART):
        wait_s(page, REFRESH_S)


def test_a_choice_takes_the_place_of_what_was_being_asked(page, address):
    held = []
    page.route(PART, lambda route: held.append(route))
    with page.expect_request(PART):
        page.goto(address)
    with page.expect_request("**/part?*measure=dwell"), page.expect_event("requestfailed"):
        page.select_option("[name=measure]", "dwell")
    while len(held) < 2:  # a request is told of before it is held
        page.wait_for_timeout(10)
    held[1].continue_()
    page.wait_for_selector("text=Ranking: time spent")
    assert page.inner_text("#bt-said") == ""


def test_answers_that_fail_are_told_of_until_one_comes(page, address):
    page.goto(address)
    page.wait_for_selector(TODAY)
    failed = "#bt-said >> text=The server does not answer"

    def back():
        page.unroute(PART)
        wait_s(page, REFRESH_S)
        page.wait_for_selector("#bt-live:not(.bt-stale)")
        assert page.inner_text("#bt-said") == ""

    page.route(PART, lambda route: route.abort())
    wait_s(page, REFRESH_S)
    page.wait_for_selector(failed)
    back()
    page.route(PART, lambda route: None)  # as a connection that was cut without a word
    wait_s(page, 60 + REFRESH_S)
    page.wait_for_selector(failed)
    back()
    page.evaluate("() => { Response.prototype.text = () => Promise.reject(new TypeError('cut')); }")
    wait_s(page, REFRESH_S)
    page.wait_for_selector(failed)
    assert page.locator(TODAY).is_visible()


def test_an_address_may_have_words_of_its_own(page, address):
    page.goto(f"{address}?length=5&item=1&measure=dwell")
    page.wait_for_selector("text=Ranking: time spent")


def test_a_table_that_the_keyboard_scrolls_stays_held_when_the_part_is_renewed(page, address):
    page.goto(address)
    page.wait_for_selector(TODAY)
    page.get_by_role("region", name="Emotions by exhibit").focus()
    page.evaluate("document.querySelector('#bt-emotions').id = 'old'")
    wait_s(page, REFRESH_S)
    page.wait_for_selector("#bt-emotions")
    assert page.evaluate("!!document.activeElement.querySelector('#bt-emotions')")


def test_long_names_fit_a_small_phone(page, address):
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(address)
    page.wait_for_selector(TODAY)
    page.evaluate(
        "document.querySelectorAll('h1, [data-exhibit] b, [data-camera] *, th[scope=row]')"
        ".forEach((one) => { one.textContent = 'W'.repeat(60); })"
    )
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.evaluate("document.querySelector('th[scope=row]').offsetWidth") <= 160


def test_the_other_language_shows_what_was_chosen(page, address):
    page.goto(address)
    page.select_option("[name=measure]", "dwell")
    page.click("#bt-language")
    page.wait_for_selector("text=Рейтинг: проведённое время")
