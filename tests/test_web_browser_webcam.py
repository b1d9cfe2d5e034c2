"""The webcam of the page in a real browser: label, speed, a learned rest; behind a password."""
# ruff: noqa: F811 - fixtures by their names.

import re

import pytest

pytest.importorskip("fastapi", reason="the [web] extra is absent")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is absent")

from browser_page import (  # noqa: E402
    CHROMIUM,
    WAIT_MS,
    address,  # noqa: F401
    browser,  # noqa: F401
    faults,
    files,  # noqa: F401
    keep_image,
    open_page,  # noqa: F401
    wait_until,
)
from web_server import running  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent")
NUMBER = re.compile(r"\d")


def start_webcam(page):
    """Goes on once a face is shown."""
    page.get_by_role("tab", name="Webcam").click()
    page.click("#start")
    page.wait_for_selector("#overlay[data-faces=happy]", state="attached")


def test_the_webcam_shows_a_label_and_its_speed(open_page):
    page = open_page()
    start_webcam(page)
    page.locator("#bars tr").first.wait_for()
    playwright.expect(page.locator("#fps")).to_have_text(NUMBER, timeout=WAIT_MS)
    keep_image(page, "webcam")
    assert float(page.locator("#place").get_attribute("cx")) > 50  # happy: to the right
    assert float(page.locator("#fps").inner_text()) > 0
    assert float(page.locator("#latency").inner_text()) > 0
    page.click("summary")
    page.select_option("#bt-detector", "haar")
    page.select_option("#bt-decision", "balanced")
    page.locator("#overlay[data-faces=happy]").wait_for(state="attached")
    assert faults(page) == []
    page.locator("#start").click()
    assert "off" in page.locator("#said").inner_text()


def test_label_bars_and_dial_of_the_webcam_are_of_one_image(open_page):
    """Also where answers are slow, and differ from one to the next."""
    page = open_page()
    start_webcam(page)
    page.locator("#bars tr").first.wait_for()
    shown = page.evaluate(
        """() => {
          socket.onmessage = null;  // from here on, this test answers
          const seen = [];
          for (let index = 0; index < 6; index++) {
            const happy = index % 2, probabilities = { happy: 0.1 + 0.7 * happy, sad: 0.2 };
            const emotion = happy ? "happy" : "sad", probability = probabilities[emotion];
            const face = { box: [9, 9, 99, 99], emotion, probability, probabilities,
                           valence: happy ? 0.8 : -0.6, arousal: 0 };
            const id = next++;
            sent.set(id, performance.now() - 900);
            receive({ id, width: 640, height: 480, faces: [face], server_ms: 900 });
            const rows = [...document.querySelectorAll("#bars tr")].map(
              (row) => `${row.cells[0].textContent} ${row.cells[2].textContent}`);
            seen.push([overlay.dataset.shown, rows, Number(byId("place").getAttribute("cx"))]);
          }
          return seen;
        }"""
    )
    labels = [label for label, _, _ in shown]
    assert labels == ["sad 20%", "happy 80%"] * 3
    assert all(label in rows for label, rows, _ in shown)
    assert [place for _, _, place in shown] == [-60, 80] * 3


def test_the_webcam_learns_a_rest_by_a_button(open_page):
    page = open_page()
    start_webcam(page)
    assert page.locator("#overlay").get_attribute("data-relative") == ""
    page.get_by_role("button", name="Learn my resting face").click()
    assert "Look neutral for three seconds" in page.locator("#said").inner_text()
    playwright.expect(page.locator("#said")).to_contain_text(
        "compared with its rest", timeout=WAIT_MS
    )
    assert page.locator("#overlay").get_attribute("data-relative")
    keep_image(page, "webcam_rest")
    assert faults(page) == []
    page.locator("#start").click()
    assert page.locator("#rest").is_hidden()


def test_the_webcam_says_when_nobody_is_in_view(open_page):
    page = open_page()
    start_webcam(page)
    said = page.evaluate(
        """() => {
          socket.onmessage = null;  // from here on, this test answers
          const probabilities = { happy: 1 };
          const face = { box: [9, 9, 99, 99], emotion: "happy", probability: 1, probabilities,
                         valence: 0.8, arousal: 0 };
          const told = (faces) => {
            const id = next++;
            sent.set(id, performance.now());
            receive({ id, width: 640, height: 480, faces, server_ms: 1 });
            return byId("said").hidden ? "" : byId("said").textContent;
          };
          const seen = [told([face]), told([])];  // a blink says nothing
          seenAt -= 1500;
          return [...seen, told([]), told([]), told([face]), told([])];
        }"""
    )
    nobody = "No face is in view: come closer, face the camera, or turn on a light."
    assert said == ["", "", nobody, nobody, "", ""]


def test_who_leaves_while_a_rest_is_learned_is_told_so(open_page):
    page = open_page()
    start_webcam(page)
    said = page.evaluate(
        """() => {
          socket.onmessage = null;  // from here on, this test answers
          lookNeutral();
          const told = () => {
            const id = next++;
            sent.set(id, performance.now());
            receive({ id, width: 640, height: 480, faces: [], server_ms: 1 });
            return byId("said").textContent;
          };
          seenAt -= 1500;
          const seen = [told()];  // of the three seconds
          restAt -= 4000;
          return [...seen, told()];
        }"""
    )
    assert "Look neutral" in said[0] and "No face is in view" in said[1]


def test_an_answer_that_a_newer_one_overtook_is_not_shown(open_page):
    """Its delay is not known any more: once, the page showed NaN."""
    page = open_page()
    start_webcam(page)
    shown = page.evaluate(
        """() => {
          const late = { id: 0, width: 640, height: 480, faces: [], server_ms: 1 };
          for (let again = 0; again < 5; again++) { toldAt = 0; receive(late); }
          return [overlay.dataset.faces, times.every((one) => one.latency > 0)];
        }"""
    )
    assert shown == ["happy", True]


# A camera that the user allows only when the test says so: allow.shift()().
ASKS_FIRST = """() => {
  const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
  window.allow = [];
  window.opened = [];
  devices.getUserMedia = async (wanted) => {
    await new Promise((go) => allow.push(go));
    opened.push(await open(wanted));
    return opened.at(-1);
  };
}"""
ALL_OFF = "(n) => opened.length === n && opened.every((one) => !one.active)"


def ask_for_webcam(page):
    page.get_by_role("tab", name="Webcam").click()
    page.evaluate(ASKS_FIRST)
    page.click("#start")
    wait_until(page, "() => allow.length === 1")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_webcam_asked_for_twice_is_off_after_one_stop(open_page, order):
    page = open_page()
    ask_for_webcam(page)
    page.click("#start")
    wait_until(page, "() => allow.length === 2")
    for place, number in enumerate(order):
        page.evaluate("number => allow[number]()", number)
        wait_until(page, "(n) => opened.length === n", place + 1)
    page.wait_for_selector("#overlay[data-faces=happy]", state="attached")
    assert page.evaluate("opened.filter((one) => one.active).length") == 1
    page.click("#start")
    wait_until(page, ALL_OFF, 2)
    assert "off" in page.inner_text("#said")


def test_a_webcam_allowed_after_the_page_was_left_is_turned_off(open_page):
    page = open_page()
    ask_for_webcam(page)
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    page.evaluate("allow[0]()")
    wait_until(page, ALL_OFF, 1)
    assert page.evaluate("video.srcObject === null && socket === null")


def test_a_webcam_stopped_before_its_first_image_is_turned_off(open_page):
    page = open_page()
    ask_for_webcam(page)
    page.evaluate(
        """() => {
          const play = video.play.bind(video);
          video.play = () => { const going = play(); byId("start").click(); return going; };
        }"""
    )
    page.evaluate("allow[0]()")
    wait_until(page, ALL_OFF, 1)
    page.evaluate("new Promise(requestAnimationFrame)")
    assert page.evaluate("socket === null") and "off" in page.inner_text("#said")


def test_a_webcam_that_is_unplugged_is_told_of(open_page):
    page = open_page()
    start_webcam(page)
    page.evaluate("stream.getTracks()[0].dispatchEvent(new Event('ended'))")
    assert "no more images" in page.inner_text("#said[role=alert]")
    assert page.locator("#stage").is_hidden()
    assert page.inner_text("#start") == "Start camera"
    assert page.evaluate("stream === null && socket === null")


def show(page, *, hidden):
    """As if another tab of the browser were shown, or this one again."""
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


IS_OFF = "stream === null && socket === null && video.srcObject === null"


def test_a_webcam_is_off_while_another_tab_is_shown(open_page):
    page = open_page()
    start_webcam(page)
    page.evaluate("window.own = { socket, tracks: stream.getTracks() }")
    show(page, hidden=True)
    assert page.evaluate(IS_OFF)
    assert page.evaluate("own.tracks.every((one) => one.readyState === 'ended')")
    wait_until(page, "() => own.socket.readyState === WebSocket.CLOSED")
    assert "paused" in page.inner_text("#said[role=status]")
    page.evaluate("overlay.removeAttribute('data-faces')")
    show(page, hidden=False)
    page.wait_for_selector("#overlay[data-faces=happy]", state="attached")
    assert page.inner_text("#start") == "Stop camera" and page.locator("#stage").is_visible()
    page.click("#start")
    for hidden in (True, False):
        show(page, hidden=hidden)
        assert page.evaluate(IS_OFF) and "off" in page.inner_text("#said"), "its user stopped it"


def test_a_webcam_allowed_while_another_tab_is_shown_waits_for_the_page(open_page):
    page = open_page()
    ask_for_webcam(page)
    show(page, hidden=True)
    page.evaluate("allow[0]()")
    wait_until(page, ALL_OFF, 1)
    assert page.evaluate(IS_OFF) and "paused" in page.inner_text("#said")
    show(page, hidden=False)
    wait_until(page, "() => allow.length === 2")
    page.evaluate("allow[1]()")
    page.wait_for_selector("#overlay[data-faces=happy]", state="attached")
    assert page.evaluate("opened[1].active")


def test_a_page_that_was_left_while_paused_turns_no_webcam_on(open_page):
    page = open_page()
    start_webcam(page)
    show(page, hidden=True)
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    show(page, hidden=False)
    assert page.evaluate(IS_OFF) and "off" in page.inner_text("#said")


def test_a_password_holds_for_page_and_camera(browser):
    with running(password="open sesame") as (address, _):
        stranger = browser.new_context()
        assert stranger.request.get(f"{address}/en/").status == 401
        stranger.close()
        context = browser.new_context(
            http_credentials={"username": "anybody", "password": "open sesame"}
        )
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{address}/en/")
        start_webcam(page)
        context.close()
