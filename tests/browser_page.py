"""Headless Chromium on the running page, with a camera fed from a made video of a real face; and
what is seen there that cannot be read.

With BUILDER_TOOLS_SCREENSHOTS set to a folder, images of the page are left there to be looked at.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from conftest import FACE_IN_ASTRONAUT

from builder_tools.media import VideoWriter, write_image

pytest.importorskip("fastapi", reason="the [web] extra is absent")
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is absent")

from web_server import running  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

WAIT_MS = 120_000
LEAST_CONTRAST = 4.5

# Gives the text of every visible element whose ink is too close to its ground (WCAG 2.1, 1.4.3).
LOW_CONTRAST = """(least) => {
  const parse = (c) => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => {
    const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (e.closest("svg, script, style, video, .sr-only, [disabled]")) continue;
    const ink = parse(getComputedStyle(e).color), under = ground(e);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) low.push([e.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return low;
}"""

# Gives what a screen reader or a keyboard would stumble over, a few of axe-core's rules.
UNREADABLE = """() => {
  const found = [];
  const all = (what) => [...document.querySelectorAll(what)].filter((e) => e.checkVisibility());
  const told = (why, e) => found.push([why, e.outerHTML.slice(0, 80)]);
  const name = (e) => (e.getAttribute("aria-label") || e.innerText || [...(e.labels || [])]
    .map((label) => label.innerText).join(" ") || "").trim();
  for (const e of all("button, a, input, select, summary, [role=tab], [role=slider], [role=img]"))
    if (!name(e)) told("no name", e);
  for (const e of all("img:not([alt]), video:not([aria-label]):not(#video)")) told("no text", e);
  for (const e of all("[tabindex]")) if (e.tabIndex > 0) told("out of order", e);
  for (const e of all("th:not([scope])")) told("no scope", e);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(["twice", id]);
  let level = 0;
  for (const e of all("h1, h2, h3, h4")) {
    if (Number(e.tagName[1]) > level + 1) told("heading", e);
    level = Number(e.tagName[1]);
  }
  for (const tab of all("[role=tab]"))
    if (!document.getElementById(tab.getAttribute("aria-controls"))) told("no panel", tab);
  if (all("main").length !== 1 || all("h1").length !== 1) found.push(["main, h1"]);
  return found;
}"""


@pytest.fixture(scope="module")
def address():
    with running() as (address, _):
        yield address


@pytest.fixture(scope="module")
def files(tmp_path_factory, astronaut):
    """A photo, a damaged one, a short video of a face that comes and goes, a camera's images."""
    folder = tmp_path_factory.mktemp("files")
    write_image(folder / "photo.jpg", astronaut)
    (folder / "damaged.jpg").write_bytes(b"no image")
    head = cv2.resize(astronaut[FACE_IN_ASTRONAUT], (210, 200))
    grey = np.full((240, 320, 3), 110, np.uint8)
    with VideoWriter(folder / "video.mp4", 10, (320, 240)) as writer:
        for index in range(40):
            image = grey.copy()
            if not 15 <= index < 22:
                image[20:220, index : index + 210] = head
            writer.write(image)
    _write_camera(folder / "camera.mjpeg", astronaut)
    return folder


def _write_camera(path: Path, astronaut) -> None:
    with path.open("wb") as file:
        for index in range(30):
            image = np.full((480, 640, 3), 90, np.uint8)
            left = 80 + abs(index - 15)
            image[:, left : left + 480] = cv2.resize(astronaut, (480, 480))
            file.write(cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())


@pytest.fixture(scope="module")
def browser(files):
    fake = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={files / 'camera.mjpeg'}",
    ]
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *fake])


@pytest.fixture
def open_page(browser, address):
    """Opens the page; afterwards checks that nothing was asked of another server and no script
    failed."""
    contexts, hosts, errors = [], set(), []

    def opened(language="en", **options):
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/{language}/")
        page.wait_for_selector("#bt-photo input[type=file]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert hosts <= {urlsplit(address).netloc, ""}, hosts
    assert errors == [], errors


def keep_image(page, name):
    folder = os.environ.get("BUILDER_TOOLS_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def choose(page, kind, *paths):
    page.set_input_files(f"#bt-{kind} input[type=file]", [str(path) for path in paths])


def fetch(page, name, folder):
    with page.expect_download() as caught:
        page.click(f'a[download="{name}"]')
    path = folder / name
    caught.value.save_as(path)
    return path


def wait_until(page, condition, arg=None):
    """Goes on once a function of the page's script gives true.

    Playwright's `wait_for_function` asks a second time by `eval`, which the page's policy forbids.
    """
    page.evaluate(
        f"""async (arg) => {{
          const condition = {condition}, end = Date.now() + {WAIT_MS};
          while (!condition(arg)) {{
            if (Date.now() > end) throw new Error(`never true: ${{condition}}`);
            await new Promise(requestAnimationFrame);
          }}
        }}""",
        arg,
    )


def faults(page):
    """What cannot be read, for the eye and for a screen reader."""
    return page.evaluate(LOW_CONTRAST, LEAST_CONTRAST) + page.evaluate(UNREADABLE)
