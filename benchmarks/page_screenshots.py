"""Take images of every tab of the page: desktop and phone, both languages, light and dark.

    python benchmarks/page_screenshots.py [--out out/screenshots] [--only TAB...]

To be looked at; nothing is judged here. Needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from example_media import EXAMPLES, FILM, GROUP, PHOTO
from web import ROOT, free_port, serving

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LOOKS = {
    "desktop_en": ("en", {"viewport": DESKTOP}),
    "desktop_ru_dark": ("ru", {"viewport": DESKTOP, "color_scheme": "dark"}),
    "phone_en_dark": ("en", {"viewport": PHONE, "is_mobile": True, "color_scheme": "dark"}),
    "phone_ru": ("ru", {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
}
WAIT_MS = 120_000


@contextmanager
def served_pages() -> Iterator[Callable]:
    """Run the page and a browser; lend a function that opens it in a language."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    port = free_port()
    command = ["-m", "builder_tools", "web", "--port", str(port)]
    with serving(command, port, "/health") as (address, _), sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )

        def open_page(language: str, **options):
            page = browser.new_context(**options).new_page()
            page.set_default_timeout(WAIT_MS)
            page.goto(f"{address}/{language}/")
            page.wait_for_selector("#bt-photo input[type=file]", state="attached")
            return page

        yield open_page


def _show_photo(page) -> None:
    page.set_input_files("#bt-photo input[type=file]", EXAMPLES / GROUP)
    page.wait_for_selector("#bt-photo-result .bt-face")


def _show_camera(page) -> None:
    camera = page.frame_locator("#bt-camera-frame")
    camera.locator("#start").click()
    camera.locator("#stage").wait_for()


def _show_video(page) -> None:
    page.set_input_files("#bt-video input[type=file]", EXAMPLES / FILM)
    page.wait_for_selector("#bt-video >> text=film")
    page.click("#bt-video-start")
    page.wait_for_selector(".bt-chart")


def _show_batch(page) -> None:
    page.set_input_files("#bt-batch input[type=file]", [EXAMPLES / GROUP, EXAMPLES / PHOTO])
    page.wait_for_selector("#bt-batch >> text=group")
    page.click("#bt-batch-start")
    page.wait_for_selector("#bt-batch-result .bt-table")


TABS = {
    "photo": _show_photo,
    "camera": _show_camera,
    "video": _show_video,
    "batch": _show_batch,
    "models": lambda page: None,
}


def main() -> None:
    """Take them all, each tab before and after it was used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "screenshots")
    parser.add_argument("--only", nargs="+", choices=list(TABS), default=list(TABS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with served_pages() as open_page:
        for look, (language, settings) in LOOKS.items():
            page = open_page(language, **settings)
            for number, (tab, show) in enumerate(TABS.items()):
                if tab not in options.only:
                    continue
                page.get_by_role("tab").nth(number).click()
                for moment, act in (("before", lambda page: None), ("after", show)):
                    act(page)
                    page.wait_for_timeout(800)  # Gradio fades its answers in
                    path = options.out / f"{look}_{tab}_{moment}.png"
                    page.screenshot(path=path, full_page=True)
                    print(path)
            page.context.close()


if __name__ == "__main__":
    main()
