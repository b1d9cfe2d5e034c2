"""Make the images of the README: a photo with its results, a film's timeline, and the page.

    python benchmarks/readme_images.py [--out docs/images] [--only photo timeline page]

They are made from the examples of the page (`example_media.py`): scikit-image's astronaut and drawn
people. The page needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from example_media import EXAMPLES, FILM, GROUP, PHOTO
from page_screenshots import served_pages
from PIL import Image

from builder_tools import cli
from builder_tools.drawing import DrawBox
from builder_tools.inference import Inference
from builder_tools.media import write_image

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ROW_HEIGHT = 560
PAGE = {"width": 1000, "height": 1330}


def make_photo(out: Path) -> Path:
    """Write the astronaut and the drawn group side by side, each with bars and dial."""
    drawer = DrawBox(show_bars=True, show_dial=True)
    with Inference(show_state_mode="none", draw_box_obj=drawer) as inference:
        drawn = [_of_height(inference.run(EXAMPLES / name)) for name in (PHOTO, GROUP)]
    return write_image(out / "photo.jpg", np.hstack(drawn))


def _of_height(result) -> np.ndarray:
    height, width = result.image.shape[:2]
    size = (round(width * ROW_HEIGHT / height), ROW_HEIGHT)
    return cv2.resize(result.image, size, interpolation=cv2.INTER_AREA)


def make_timeline(out: Path) -> Path:
    """Write the timeline of the example film, as drawn by `video --plot`."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "film.csv"
        plot = out / "timeline.png"
        cli.main(["video", str(EXAMPLES / FILM), "--timeline", str(table), "--plot", str(plot)])
    return plot


def make_page(out: Path) -> Path:
    """Write a screenshot of the page with its results for the drawn group."""
    with served_pages() as open_page:
        page = open_page("en", viewport=PAGE)
        page.set_input_files("#bt-photo input[type=file]", EXAMPLES / GROUP)
        page.wait_for_selector(".bt-face")
        page.screenshot(path=out / "page.png")
    with Image.open(out / "page.png") as whole:
        whole.convert("RGB").quantize(256).save(out / "page.png", optimize=True)
    return out / "page.png"


MAKERS = {"photo": make_photo, "timeline": make_timeline, "page": make_page}


def main() -> None:
    """Make the requested images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--only", nargs="+", choices=list(MAKERS), default=list(MAKERS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        path = MAKERS[name](options.out)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
