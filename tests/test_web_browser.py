"""The page in a real browser. Skipped where Chromium or Playwright is absent."""
# ruff: noqa: F811, RUF001 - fixtures by their names; Russian letters like Latin ones are meant.

import json
import re
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY

from builder_tools.detectors.mediapipe import MediaPipeDetector
from builder_tools.media import VideoWriter, read_image, write_image
from builder_tools.submission import validate_submission

pytest.importorskip("fastapi", reason="the [web] extra is absent")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is absent")

from browser_page import (  # noqa: E402
    CHROMIUM,
    LEAST_CONTRAST,
    LOW_CONTRAST,
    WAIT_MS,
    address,  # noqa: F401
    browser,  # noqa: F401
    choose,
    faults,
    fetch,
    files,  # noqa: F401
    keep_image,
    open_page,  # noqa: F401
    wait_until,
)
from web_server import running  # noqa: E402

from builder_tools.timeline.reading import read_timeline  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is absent")
PHONE = {"width": 390, "height": 844}


def test_a_photo_gives_its_emotion_and_a_damaged_one_a_sentence(open_page, files):
    page = open_page()
    choose(page, "photo", files / "photo.jpg")
    page.wait_for_selector('.bt-face[data-emotion="happy"]')
    assert "Faces found in photo.jpg: 1" in page.inner_text("#bt-photo-result")
    assert page.locator(".bt-photo img").evaluate("image => image.naturalWidth") == 512
    keep_image(page, "photo")
    assert faults(page) == []
    choose(page, "photo", files / "damaged.jpg")
    page.wait_for_selector("#bt-photo-result [role=alert]")
    choose(page, "photo", files / "photo.jpg")
    page.wait_for_selector('.bt-face[data-emotion="happy"]')


def test_a_face_and_its_card_belong_together_and_the_marked_photo_is_saved(
    open_page, files, tmp_path, astronaut
):
    page = open_page()
    write_image(tmp_path / "two.jpg", np.hstack([astronaut, astronaut]))
    choose(page, "photo", tmp_path / "two.jpg")
    page.wait_for_selector(".bt-face")
    page.hover('.bt-box[data-face="2"]')
    hot = page.locator(":is(.bt-box, .bt-face).bt-hot")
    assert hot.count() == 2 and "Face 2" in page.inner_text(".bt-face.bt-hot")
    page.mouse.move(1, 1)
    page.focus('.bt-face[data-face="1"]')
    assert hot.count() == 2 and page.locator('.bt-box.bt-hot[data-face="1"]').count() == 1
    found = json.loads(fetch(page, "two.json", tmp_path).read_text(encoding="utf-8"))
    assert len(found["faces"]) == 2
    with MediaPipeDetector() as detector:
        marked = read_image(fetch(page, "two_marked.jpg", tmp_path))
        assert marked.shape == (512, 1024, 3) and len(detector.detect(marked)) == 2
        page.check("#bt-photo-blur input")
        choose(page, "photo", files / "photo.jpg")
        page.wait_for_selector('a[download="photo_marked.jpg"]')
        (known,) = (face.box for face in detector.detect(astronaut))
        hidden = detector.detect(read_image(fetch(page, "photo_marked.jpg", tmp_path)))
        assert not any(face.box.iou(known) > 0.3 for face in hidden)


def test_an_address_on_the_open_page_shows_its_tab(open_page):
    page = open_page()
    page.evaluate("location.hash = 'models'")
    models = page.get_by_role("tab", name="Models")
    playwright.expect(models).to_have_attribute("aria-selected", "true")
    page.go_back()  # to the address without a tab, which shows the first
    playwright.expect(page.get_by_role("tab", name="Photo")).to_have_attribute(
        "aria-selected", "true"
    )
    page.go_forward()
    playwright.expect(models).to_have_attribute("aria-selected", "true")


def test_the_page_is_used_by_keyboard(open_page):
    page = open_page()
    page.get_by_role("tab", name="Photo").focus()
    for name in ("Webcam", "Video"):
        page.keyboard.press("ArrowRight")
        tab = page.get_by_role("tab", name=name)
        assert tab.get_attribute("aria-selected") == "true"
        assert tab.evaluate("e => e === document.activeElement")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('summary')")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "bt-video-file"
    start = page.locator("#bt-video-start")
    start.focus()
    outline = start.evaluate("e => getComputedStyle(e).outlineStyle")
    page.keyboard.press("Enter")
    page.wait_for_selector("#bt-video-result [role=alert]")
    assert "Choose a video first" in page.inner_text("#bt-video-result")
    assert outline != "none"


def test_the_description_of_the_api_is_readable(open_page):
    page = open_page()
    page.goto(page.url.split("/en/")[0] + "/docs")
    assert page.evaluate(LOW_CONTRAST, LEAST_CONTRAST) == []


def test_a_video_gives_timeline_and_downloads_on_a_dark_page(open_page, files, tmp_path):
    page = open_page(color_scheme="dark")
    page.get_by_role("tab", name="Video").click()
    choose(page, "video", files / "video.mp4")
    page.wait_for_selector("#bt-video >> text=video")
    page.click("#bt-video-start")
    page.wait_for_selector("#bt-video-result progress")
    page.wait_for_selector(".bt-chart")
    assert page.locator(".bt-chart").count() == 2
    player = page.locator(".bt-result video")
    player.evaluate("v => v.readyState || new Promise(r => v.addEventListener('loadeddata', r))")
    assert player.evaluate("v => v.videoWidth") == 320
    keep_image(page, "video_dark")
    assert faults(page) == []
    table = read_timeline(fetch(page, "timeline.csv", tmp_path))
    assert table["frame"].nunique() == 40
    assert set(table["emotion"].dropna()) == {"happy"}
    source = player.evaluate("v => v.src")
    page.click(".bt-delete")
    page.wait_for_selector("text=Deleted.")
    assert page.request.get(source).status == 410


def test_every_tab_explains_itself_and_is_tried_at_a_click(open_page):
    page = open_page("ru", color_scheme="dark")
    for tab, seen in (
        ("photo", ".bt-face >> nth=3"),
        ("camera", "#start"),
        ("video", ""),  # as the next test does
        ("batch", ".bt-thumb >> nth=1"),
        ("models", "#bt-models"),
    ):
        page.click(f"#tab-{tab}")
        assert faults(page) == []
        example = page.locator(f"#panel-{tab} .bt-example")
        if not seen:
            assert example.is_visible()
            continue
        if example.count():
            example.first.click()
        page.wait_for_selector(seen)
        assert faults(page) == []
    assert page.url.endswith("/ru/#models")
    page.click("#bt-language")
    page.wait_for_url("**/en/#models")
    assert page.locator("#bt-models").is_visible()


def test_the_timeline_of_a_video_tells_of_a_moment_and_of_each_person(open_page):
    page = open_page()
    page.click("#tab-video")
    page.click(".bt-example[data-kind=video]")
    page.wait_for_selector("#bt-video-result .bt-chart")
    readout = page.locator(".bt-readout")
    chart = page.locator(".bt-curves:visible .bt-chart").first
    wait_until(page, "() => document.querySelector('.bt-result video').readyState > 0")
    chart.hover(position={"x": chart.bounding_box()["width"] * (56 + 744 * 10 / 16) / 814, "y": 40})
    assert re.match(r"(9\.9|10\.\d) s: surprise \d{2,3}%", readout.inner_text())
    curves, ends = page.locator(".bt-curves:visible"), set()
    for person in ("1", "2"):  # which is which hangs on a pixel of their boxes
        page.select_option(".bt-who", person)
        curves.focus()
        page.keyboard.press("End")
        ends.add(curves.get_attribute("aria-valuetext")[:11])
    assert ends == {"16.0 s: sad", "16.0 s: hap"}
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert float(curves.get_attribute("aria-valuenow")) == pytest.approx(0.2)
    player = page.locator(".bt-result video")
    chart = page.locator(".bt-curves:visible .bt-chart").first
    chart.click(position={"x": chart.bounding_box()["width"] / 2, "y": 40})
    wait_until(page, "() => document.querySelector('.bt-result video').currentTime > 7")
    player.evaluate("v => v.pause()")
    assert faults(page) == []


def test_refusals_come_in_the_pages_language_also_before_anything_is_sent(open_page, tmp_path):
    page = open_page("ru")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "large.jpg").write_bytes(bytes(31_000_000))
    for name, said in (("empty.jpg", "Файл пуст"), ("large.jpg", "не более 30 МБ")):
        choose(page, "photo", tmp_path / name)
        page.wait_for_selector(f"#bt-photo-result [role=alert] >> text={said}")
    page.route("**/ru/photo?*", lambda route: route.abort())
    choose(page, "photo", REPOSITORY / "builder_tools/web/examples/group.jpg")
    page.wait_for_selector("#bt-photo-result [role=alert] >> text=Связь с программой потеряна")


def test_a_batch_gives_a_valid_csv(open_page, files, tmp_path):
    page = open_page()
    page.get_by_role("tab", name="Batch").click()
    choose(page, "batch", files / "photo.jpg", files / "damaged.jpg")
    page.wait_for_selector("#bt-batch >> text=damaged")
    page.click("#bt-batch-start")
    page.wait_for_selector("#bt-batch-result .bt-table")
    keep_image(page, "batch")
    assert faults(page) == []
    path = fetch(page, "submission.csv", tmp_path)
    validate_submission(path, ["damaged.jpg", "photo.jpg"], ("happy", "neutral"))
    assert "photo.jpg,happy" in path.read_text()


def test_a_long_video_is_stopped_by_its_button(open_page, files, tmp_path, astronaut):
    with VideoWriter(tmp_path / "long.mp4", 30, (640, 640)) as writer:
        image = cv2.resize(astronaut, (640, 640))
        for _ in range(500):
            writer.write(image)
    page = open_page()
    page.get_by_role("tab", name="Video").click()
    choose(page, "video", tmp_path / "long.mp4")
    page.wait_for_selector("#bt-video >> text=long")
    assert page.locator("#bt-video-stop").is_hidden()
    page.click("#bt-video-start")
    page.wait_for_selector("#bt-video-result progress")
    page.click("#bt-video-stop")
    page.wait_for_selector("text=Stopped; nothing was kept.")
    assert page.locator("#bt-video-stop").is_hidden()
    page.wait_for_timeout(1500)
    assert "Stopped" in page.inner_text("#bt-video-result")
    choose(page, "video", files / "video.mp4")
    page.wait_for_selector("#bt-video >> text=video")
    page.click("#bt-video-start")
    page.wait_for_selector(".bt-chart")


def test_models_are_chosen_and_described(open_page, files, needs_detector):
    needs_detector("yunet")
    page = open_page()
    page.get_by_role("tab", name="Models").click()
    assert page.locator(".bt-card >> text=Intended use").count() == page.locator(".bt-card").count()
    keep_image(page, "models")
    assert faults(page) == []
    page.get_by_role("tab", name="Photo").click()
    page.click("summary")
    page.select_option("#bt-detector", "yunet")
    assert "yunet" in page.inner_text("#bt-chosen")
    choose(page, "photo", files / "photo.jpg")
    page.wait_for_selector('.bt-face[data-emotion="happy"]')


EVIL = "<img src=x onerror=pwned()>"
"""What would run, were it taken for HTML: in names of files, tables, JSON and cards."""


@pytest.fixture
def evil_model(tmp_path):
    """A model whose card is not to be trusted; names of classes are those of its file."""
    folder = Path(shutil.copytree(REPOSITORY / "saved_models" / "tiny", tmp_path / "tiny"))
    card = json.loads((folder / "card.json").read_text())
    for key in ("intended_use", "limits", "licence"):
        card[key] = f"{EVIL} [link](javascript:pwned()) <svg onload=pwned()> **{key}**"
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_no_name_and_no_text_runs_as_a_script(browser, evil_model, files, tmp_path):
    """Names of files in answers, a zip's names, a csv and JSON opened as pages, a model's card."""
    photo = shutil.copy(files / "photo.jpg", tmp_path / f"{EVIL}.jpg")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in (f"{EVIL}.jpg", f"{EVIL}.JPG", '"><script>pwned()</script>.png'):
            archive.write(photo, name)
    with running(model=str(evil_model)) as (address, _):
        ran = []
        context = browser.new_context()
        context.expose_function("pwned", lambda: ran.append(True))
        context.on("dialog", lambda dialog: ran.append(dialog.message))
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{address}/en/")
        choose(page, "photo", photo)
        page.wait_for_selector("#bt-photo-result .bt-face")
        page.get_by_role("tab", name="Batch").click()
        choose(page, "batch", tmp_path / "evil.zip")
        page.wait_for_selector("#bt-batch >> text=evil")
        page.click("#bt-batch-start")
        page.wait_for_selector("#bt-batch-result .bt-table")
        assert "onerror=pwned()" in page.inner_text("#bt-batch-result")
        page.get_by_role("tab", name="Models").click()
        page.wait_for_selector(".bt-card >> text=intended_use")
        assert page.locator(".bt-card a").count() == 0
        keep_image(page, "evil")
        csv_path = page.locator('a[download="submission.csv"]').get_attribute("href")
        for path in (csv_path, "/api/models", "/docs", f"/en/{EVIL}", f"/{EVIL}"):
            with suppress(playwright.Error):  # a csv is a download
                page.goto(f"{address}{path}")
        page.wait_for_timeout(500)
        assert ran == []
        page.goto(f"{address}/en/")
        page.evaluate("evil => document.body.insertAdjacentHTML('beforeend', evil)", EVIL)
        page.wait_for_timeout(500)
        assert ran == [], "the policy keeps even that from running"
        context.close()


def test_in_russian_on_a_phone(open_page, files):
    page = open_page("ru", viewport=PHONE, has_touch=True, is_mobile=True, locale="en-US")
    assert "перетащите" in page.inner_text("#bt-photo")
    choose(page, "photo", files / "photo.jpg")
    page.wait_for_selector('.bt-face[data-emotion="happy"]')
    assert "радость" in page.inner_text("#bt-photo-result")
    keep_image(page, "phone_ru")
    heights = page.eval_on_selector_all(
        "#bt-photo-result .bt-dial text", "all => all.map(e => [e.getBBox().y, e.getBBox().height])"
    )  # the words lie above and below the circle, not across its middle
    assert [top > 112 or top + height < -112 for top, height in heights] == [True, True]
    for name in ("Фото", "Камера", "Видео", "Пакет", "Модели"):
        playwright.expect(page.get_by_role("tab", name=name)).to_be_in_viewport()
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    assert faults(page) == []


def test_tables_of_results_are_whole_on_a_phone(open_page):
    """A probability of 100 % ended at the edge of the screen, as "10"."""
    page = open_page("ru", viewport=PHONE, has_touch=True, is_mobile=True)
    for kind, count in (("batch", 1), ("video", 2)):
        page.click(f"#tab-{kind}")
        page.click(f".bt-example[data-kind={kind}]")
        page.wait_for_selector(f"#bt-{kind}-result .bt-table")
        keep_image(page, f"phone_ru_{kind}")
        wide = page.eval_on_selector_all(
            f"#bt-{kind}-result .bt-scroll", "all => all.map(e => e.scrollWidth - e.clientWidth)"
        )
        assert wide == [0] * count
    assert faults(page) == []
