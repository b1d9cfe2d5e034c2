"""Take screenshots of every tab of the page: desktop and phone, both languages, light and dark.

    python benchmarks/page_screenshots.py [--out out/screenshots] [--only TAB...]

They are for looking at; nothing is judged here. Needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from example_media import FILM, GROUP
from web import ROOT, free_port, serving, write_camera

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
LOOKS = {
    "desktop_en": ("en", {"viewport": DESKTOP}),
    "desktop_ru_dark": ("ru", {"viewport": DESKTOP, "color_scheme": "dark"}),
    "phone_en_dark": ("en", {"viewport": PHONE, "is_mobile": True, "color_scheme": "dark"}),
    "phone_ru": ("ru", {"viewport": PHONE, "is_mobile": True, "has_touch": True}),
}
WAIT_MS = 120_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def served_pages() -> Iterator[Callable]:
    """Run the page and a browser; yield a function that opens the page in a language."""
    from playwright.sync_api import sync_playwright

    port = free_port()
    command = ["-m", "builder_tools", "web", "--port", str(port)]
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(command, port, "/health") as (address, _),
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={write_camera(Path(folder) / 'camera.mjpeg')}",
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
    page.click(f'.bt-example[data-files="{GROUP}"]')
    page.wait_for_selector("#bt-photo-result .bt-face")


def _show_camera(page) -> None:
    page.click("#start")
    page.wait_for_selector("#overlay[data-faces=happy]", state="attached")


def _show_video(page) -> None:
    page.click(f'.bt-example[data-files="{FILM}"]')
    page.wait_for_selector(".bt-chart")
    page.hover(".bt-chart >> nth=0")


def _show_batch(page) -> None:
    page.click(".bt-example[data-kind=batch]")
    page.wait_for_selector("#bt-batch-result .bt-table")


TABS = {
    "photo": _show_photo,
    "camera": _show_camera,
    "video": _show_video,
    "batch": _show_batch,
    "models": lambda page: None,
}


def main() -> None:
    """Take the screenshots, of each tab before and after its use."""
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
                    page.wait_for_timeout(300)
                    path = options.out / f"{look}_{tab}_{moment}.png"
                    page.screenshot(path=path, full_page=True)
                    print(path)
            page.context.close()


if __name__ == "__main__":
    main()
