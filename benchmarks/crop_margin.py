"""How far to widen and shift a detector's box so that it frames a face as FER2013 does.

Takes images of FER+'s *valid* split, which are face crops, enlarges them, surrounds them with
their blurred edges, and lets each detector find the face. The square of the image itself is then
the wanted crop: `crop_scale` is the median of its side over the side of the detector's square box,
`crop_shift_y` the median of (wanted centre - centre of the box) over the height of the box.
No labels are used. Run from the repository root: `python benchmarks/crop_margin.py`.
"""

from __future__ import annotations

import argparse
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np

from builder_tools.detectors import DETECTORS, FaceDetector, make_detector

SIDE_PX = 48
ENLARGE = 4
PAD = 1.0
"""Width of the border on each side, relative to the side of the face image."""
FOLDER = "FER2013Valid/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_default_data())
    parser.add_argument("--detectors", nargs="+", choices=list(DETECTORS), default=list(DETECTORS))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faces = read_faces(options.data, options.images, options.seed)
    print(f"{len(faces)} images of FER+ valid, {ENLARGE}x, border {PAD:g} of the side\n")
    print("| detector | found | crop_scale (quartiles) | crop_shift_y (quartiles) | shift_x |")
    print("|---|---|---|---|---|")
    for name in options.detectors:
        with make_detector(name) as detector:
            print(_row(name, np.array(margins(detector, faces)), len(faces)), flush=True)


def read_faces(data: Path, count: int, seed: int) -> list[np.ndarray]:
    """Read `count` random images of the valid split, `(48, 48)` uint8 grey."""
    with zipfile.ZipFile(data) as archive:
        names = [name for name in archive.namelist() if FOLDER in name and name.endswith(".png")]
        chosen = np.random.default_rng(seed).permutation(sorted(names))[:count]
        contents = [np.frombuffer(archive.read(name), np.uint8) for name in chosen]
    return [cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) for content in contents]


def margins(detector: FaceDetector, faces: list[np.ndarray]) -> list[tuple[float, float, float]]:
    """Return scale and vertical and horizontal shift for each image whose face is found."""
    measured = []
    for face in faces:
        found = detector.detect(scene(face))
        if found:
            measured.append(_margin(max(found, key=lambda one: one.score).box))
    return measured


def scene(face: np.ndarray) -> np.ndarray:
    """Return an enlarged face image amid its own blurred edges: RGB, three times its side."""
    side = SIDE_PX * ENLARGE
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    border = round(side * PAD)
    wide = cv2.copyMakeBorder(large, *[border] * 4, cv2.BORDER_REPLICATE)
    wide = cv2.GaussianBlur(wide, (0, 0), side / 12)
    wide[border : border + side, border : border + side] = large
    return cv2.cvtColor(wide, cv2.COLOR_GRAY2RGB)


def _margin(box) -> tuple[float, float, float]:
    side = SIDE_PX * ENLARGE
    middle = round(side * PAD) + side / 2
    x, y = box.centre
    longer = max(box.width, box.height)
    return side / longer, (middle - y) / box.height, (middle - x) / box.width


def _row(name: str, measured: np.ndarray, count: int) -> str:
    if not len(measured):
        return f"| {name} | 0 of {count} | | | |"
    low, middle, high = np.percentile(measured, [25, 50, 75], axis=0)
    cells = [f"{middle[i]:.2f} ({low[i]:.2f} to {high[i]:.2f})" for i in (0, 1)]
    return f"| {name} | {len(measured)} of {count} | {' | '.join(cells)} | {middle[2]:+.2f} |"


def _default_data() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("BUILDER_TOOLS_DATA", beside)) / "ferplus.zip"


if __name__ == "__main__":
    main()
