"""What cleaning finds and how fast: detectors on the same images, eyes of tilted faces, speed.

Faces: a seeded sample of FER+ test, 48x48 face crops, written as class folders of PNG files. No
faces: squares cut at random from photographs without people. Photographs: all of the media folder.
Parts whose data is missing are left out.
Run from the repository root: `python benchmarks/cleaning.py --out reports/cleaning.md`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from face_scenes import read_photos
from machine import describe_machine

from builder_tools.cleaning import CleaningConfig, clean_folder, compare_detectors
from builder_tools.cleaning.looking import (
    ENLARGED_PX,
    SMALL_IMAGE_PX,
    SURROUND,
    find_faces,
    roll_deg,
    with_nearer_eyes,
)
from builder_tools.datasets.ferplus import data_folder, load_ferplus
from builder_tools.datasets.labels import majority_eight_labels
from builder_tools.detectors import DETECTORS, make_detector
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.media import read_image, write_image

SLOW = ("ssd", "haar", "dlib")
WITH_EYES = ("mediapipe", "yunet", "mtcnn")
TURNS_DEG = (-30, -15, 15, 30)
SIDES_PX = (100, 200, 300, 450, 600)
LONGER_SIDE_PX = 640
REPEATS = 3
PHOTO_COPIES = 8
LEAST = (0.6, 0.7)
BORDERS = {
    "none": lambda image: image,
    "its edge repeated": lambda image: _bordered(image, cv2.BORDER_REPLICATE),
    "its reflection": lambda image: _bordered(image, cv2.BORDER_REFLECT),
    "black": lambda image: _bordered(image, cv2.BORDER_CONSTANT, (0, 0, 0)),
    "grey": lambda image: _bordered(image, cv2.BORDER_CONSTANT, (128, 128, 128)),
    "white": lambda image: _bordered(image, cv2.BORDER_CONSTANT, (255, 255, 255)),
    "its mean colour (chosen)": lambda image: _bordered(
        image, cv2.BORDER_CONSTANT, cv2.mean(image)[:3]
    ),
}
PRESETS = {
    "default": CleaningConfig(),
    "default, aligned, 48 px": CleaningConfig(align_eyes=True, size_px=48),
    "already cropped": CleaningConfig.already_cropped(),
}


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=_default_photos())
    parser.add_argument("--faces", type=int, default=400, help="of FER+ test")
    parser.add_argument("--slow", type=int, default=100, help="images for ssd, haar and dlib")
    parser.add_argument("--slowest", type=int, default=30, help="images for mtcnn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="", help="added to the line of the machine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start = time.perf_counter()
    lines = ["# Cleaning", "", f"{describe_machine(['mediapipe'])}{options.note}", ""]
    for part in _parts(options):
        lines += [part, ""]
        print(part, flush=True)
    lines.append(f"All of it took {time.perf_counter() - start:.0f} s.")
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parts(options: argparse.Namespace) -> Iterator[str]:
    photos = read_photos(options.photos) if options.photos.is_dir() else {}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "faces"
        if (data_folder() / "ferplus.zip").is_file():
            write_faces(raw, options.faces, options.seed)
            yield found_table(raw, photos, options)
            yield border_table(raw, photos, options.seed)
            yield status_table(raw, Path(folder))
            yield speed_table("FER+ faces", raw, Path(folder))
        if photos:
            yield eyes_table(photos, options.slowest)
            write_photos(Path(folder) / "photos", options.photos / "single")
            yield speed_table("photographs", Path(folder) / "photos", Path(folder))


def write_faces(root: Path, count: int, seed: int) -> None:
    """Write labelled faces of FER+ test as class folders."""
    faces = load_ferplus().split("test")
    labels = majority_eight_labels(faces.votes)
    kept = np.flatnonzero(labels >= 0)
    for row in np.random.default_rng(seed).permutation(kept)[:count]:
        name = faces.table["name"].iloc[row]
        write_image(root / FERPLUS_EIGHT.names[labels[row]] / name, faces.images[row])


def write_photos(root: Path, photos: Path) -> None:
    """Copy the portraits under several names, so that a run takes longer than its start-up."""
    root.mkdir()
    for copy in range(PHOTO_COPIES):
        for photo in sorted(photos.iterdir()):
            shutil.copy(photo, root / f"{photo.stem} {copy}{photo.suffix}")


def found_table(raw: Path, photos: dict[str, np.ndarray], options: argparse.Namespace) -> str:
    """Compare the detectors on images with and without faces, with and without the border."""
    faces = sorted(raw.rglob("*.png"), key=lambda path: path.name)
    empty = list(squares_without_faces(photos, options.seed))
    limits = {**dict.fromkeys(SLOW, options.slow), "mtcnn": options.slowest}
    around = compare_detectors(faces, limits=limits).set_index("detector")
    plain = compare_detectors(faces, limits=limits, surround=False).set_index("detector")
    lines = [
        f"**Detectors on {len(faces)} faces of FER+ test** (48x48 crops), and on {len(empty)} "
        f"squares of {', '.join(map(str, SIDES_PX))} px without any face; at most {options.slow} "
        f"of each for {', '.join(SLOW)}, {options.slowest} for mtcnn. Amid a border is how "
        "`clean` looks, as they are asks the detector once. Agreement: the same largest face as "
        "mediapipe, or none.",
        "",
        "| detector | faces found amid a border | as they are | several | agreement "
        "| ms median | ms p95 | false faces amid a border | as they are |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    false = _false_shares(empty, limits) if empty else {}
    for name in DETECTORS:
        row, bare = around.loc[name], plain.loc[name]
        cells = [
            f"{row['found']:.1%}",
            f"{bare['found']:.1%}",
            f"{row['many']:.1%}",
            f"{row['agreement']:.1%}",
            f"{row['ms_median']:.1f}",
            f"{row['ms_p95']:.1f}",
            *(f"{share:.1%}" for share in false.get(name, (np.nan, np.nan))),
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def border_table(raw: Path, photos: dict[str, np.ndarray], seed: int) -> str:
    """Compare borders put around a face crop before the default detector searches it."""
    faces = [read_image(path) for path in sorted(raw.rglob("*.png"))]
    empty = list(squares_without_faces(photos, seed))
    lines = [
        f"**What to put around a small image** (mediapipe, {len(faces)} faces, {len(empty)} "
        "squares without one): share found by the least score asked for.",
        "",
        "| border | faces, 0.6 | faces, 0.7 | no faces, 0.6 | no faces, 0.7 |",
        "|---|---|---|---|---|",
    ]
    with make_detector("mediapipe") as detector:
        for name, surround in BORDERS.items():
            found = [_best_scores(detector, surround, part) for part in (faces, empty)]
            cells = [f"{(s >= least).mean():.1%}" for s in found if len(s) for least in LEAST]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _best_scores(detector, surround, images: list[np.ndarray]) -> np.ndarray:
    faces = (detector.detect(surround(_enlarged(image))) for image in images)
    return np.array([max((face.score for face in found), default=0.0) for found in faces])


def _enlarged(image: np.ndarray) -> np.ndarray:
    if max(image.shape[:2]) > SMALL_IMAGE_PX:
        return image
    factor = ENLARGED_PX / max(image.shape[:2])
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _bordered(image: np.ndarray, kind: int, colour: tuple[float, ...] = ()) -> np.ndarray:
    width = round(max(image.shape[:2]) * SURROUND)
    return cv2.copyMakeBorder(image, *[width] * 4, kind, value=colour)


def squares_without_faces(photos: dict[str, np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Yield squares cut from photographs without people, four per photograph and size."""
    rng = np.random.default_rng(seed)
    for name in sorted(photos):
        if not name.startswith("noface/"):
            continue
        height, width = photos[name].shape[:2]
        for side in (min(side, height, width) for side in SIDES_PX for _ in range(4)):
            y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            yield photos[name][y : y + side, x : x + side]


def _false_shares(empty: list[np.ndarray], limits: dict[str, int]) -> dict[str, tuple]:
    chosen = [empty[i] for i in np.random.default_rng(0).permutation(len(empty))]
    around = compare_detectors(chosen, limits=limits).set_index("detector")["found"]
    plain = compare_detectors(chosen, limits=limits, surround=False).set_index("detector")["found"]
    return {name: (around[name], plain[name]) for name in DETECTORS}


def status_table(raw: Path, folder: Path) -> str:
    """Return what happens to FER+ faces under each preset, and how sharp they are."""
    reports = {
        name: clean_folder(raw, folder / f"status {number}", config=config, max_dropped=1)
        for number, (name, config) in enumerate(PRESETS.items())
    }
    table = pd.DataFrame({name: {**r.counts, "kept": r.num_kept} for name, r in reports.items()})
    sharp = reports["default"].manifest["sharpness"].dropna()
    limits = ", ".join(f"{q} %: {np.percentile(sharp, q):.0f}" for q in (1, 5, 25, 50, 75, 95))
    head = "| settings | " + " | ".join(table.index) + " |\n" + "|---|" + "---|" * len(table)
    rows = [f"| {name} | " + " | ".join(map(str, table[name])) + " |" for name in table]
    return (
        "**What becomes of the same faces** (mediapipe):\n\n"
        + "\n".join([head, *rows])
        + f"\n\nSharpness of the faces found, percentiles: {limits}."
    )


def eyes_table(photos: dict[str, np.ndarray], slowest: int) -> str:
    """Turn portraits, and compare the turn with the change in the line of the eyes."""
    portraits = [_shrunk(photos[n]) for n in sorted(photos) if n.startswith("single/")]
    lines = [
        f"**Eyes of leaning faces**: {len(portraits)} portraits turned by "
        f"{', '.join(map(str, TURNS_DEG))} degrees; the change of the line of the eyes against "
        "the upright portrait should be that turn. `--align-eyes` looks from near by.",
        "",
        "| detector | measured | error in the whole image, median | from near by, median |",
        "|---|---|---|---|",
    ]
    for name in WITH_EYES:
        with make_detector(name) as detector:
            chosen = portraits[: slowest // 10] if name == "mtcnn" else portraits
            errors = np.array(list(_roll_errors(detector, chosen)))
        middle = np.median(errors, axis=0)
        cells = f"{len(errors)} | {middle[0]:.1f} deg | {middle[1]:.1f} deg"
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _roll_errors(detector, portraits: list[np.ndarray]) -> Iterator[tuple[float, float]]:
    for portrait in portraits:
        upright = _rolls(detector, portrait)
        for turn in TURNS_DEG:
            leaning = _rolls(detector, _turned(portrait, turn))
            if None not in (*upright, *leaning):
                yield tuple(
                    abs(after - before - turn)
                    for before, after in zip(upright, leaning, strict=True)
                )


def _rolls(detector, image: np.ndarray) -> tuple[float | None, float | None]:
    faces = find_faces(detector, image)
    if len(faces) != 1:
        return None, None
    return roll_deg(faces[0]), roll_deg(with_nearer_eyes(detector, image, faces[0]))


def speed_table(what: str, raw: Path, folder: Path) -> str:
    """Time whole runs of `clean_folder`, with duplicates and file access, by number of workers."""
    config = CleaningConfig(size_px=48)
    rates: dict[int, list[float]] = {1: [], 2: []}
    costs_ms: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(REPEATS):
        for workers in rates:
            out = folder / f"{what} {repeat} {workers}"
            start, cpu_start = time.perf_counter(), time.process_time()
            count = len(
                clean_folder(raw, out, config=config, workers=workers, max_dropped=1).manifest
            )
            rates[workers].append(count / (time.perf_counter() - start))
            costs_ms[workers].append((time.process_time() - cpu_start) / count * 1e3)
    one, two = (statistics.median(found) for found in rates.values())
    cpu_one, cpu_two = (statistics.median(found) for found in costs_ms.values())
    return (
        f"**Speed on {count} {what}** (mediapipe, `--size 48`, from start to manifest, medians of "
        f"{REPEATS}): {one:.0f} images/s with one worker, {two:.0f} with two "
        f"({two / one:.2f}x); {cpu_one:.1f} and {cpu_two:.1f} ms of processor time an image."
    )


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _shrunk(image: np.ndarray) -> np.ndarray:
    factor = min(LONGER_SIDE_PX / max(image.shape[:2]), 1)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _default_photos() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "media"
    return Path(os.environ.get("BUILDER_TOOLS_MEDIA", beside)) / "photos"


if __name__ == "__main__":
    main()
