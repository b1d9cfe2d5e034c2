"""Measure warm inference: one photo, 720p videos, a folder of images.

The images are made from scikit-image's astronaut photo: the photo as it is (512x512, one face),
640x480 JPEG files, and 1280x720 H.264 videos of 10 s: the photo moving (a face of 180 px, 14 % of
the width), three copies of its head moving in front of a table (64, 83, 102 px, 5 to 8 %), and the
table alone, with noise, for a fixed and a swaying camera. Prints a Markdown table: medians,
processor time per frame, targets, machine. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from machine import describe_machine
from skimage import data

from builder_tools import EmotionClassifier, Inference
from builder_tools.media import VideoReader, VideoWriter, write_image

VIDEO_FRAMES = 300
VIDEO_SIZE = (1280, 720)
VIDEO_FPS = 30.0
PHOTO_RUNS = 200
FACE_PX = 95
"""Width of the face in the photo, px."""


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="of the video and the batch")
    parser.add_argument("--images", type=int, default=300, help="in the batch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            ("default model, one face, one thread", *_model_ms()),
            ("photo 512x512, detect + classify", *_photo_ms()),
            *_video_rows(Path(folder), options.repeats),
            ("img-batch, 640x480 JPEG", *_batch_rate(Path(folder), options)),
        ]
    print(f"{describe_machine()}\n")
    print("| what | median | must | strive |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def _model_ms() -> tuple[str, str, str]:
    classifier = EmotionClassifier()
    face = np.ascontiguousarray(data.astronaut()[82:177, 177:272])
    return f"{_median_ms(lambda: classifier.predict([face])):.2f} ms", "3 ms", "1.5 ms"


def _photo_ms() -> tuple[str, str, str]:
    photo = data.astronaut()
    with Inference(inference_mode="img_batch", show_state_mode="none") as inference:
        spent = _median_ms(lambda: inference.analyse(photo))
    return f"{spent:.2f} ms", "8 ms", "4 ms"


def _median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(PHOTO_RUNS + 20):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[20:])


def _video_rows(folder: Path, repeats: int) -> list[tuple[str, str, str, str]]:
    for name, frames in FILMS.items():
        with VideoWriter(folder / name, VIDEO_FPS, VIDEO_SIZE) as writer:
            for index in range(VIDEO_FRAMES):
                writer.write(np.ascontiguousarray(frames(2 * np.pi * index / VIDEO_FRAMES)))
    near = folder / "near.mp4"
    return [
        ("1280x720 H.264, decode only", _decoded(near, repeats), "", ""),
        ("1280x720 video, one face of 14 %", _analysed(near, repeats), "250 fps", "400 fps"),
        (
            "the same, searched every third frame (`--detect-every 3`)",
            _analysed(near, repeats, detect_every=3),
            "",
            "",
        ),
        (
            "1280x720 video, three faces of 5-8 %",
            _analysed(folder / "small.mp4", repeats),
            "150 fps",
            "250 fps",
        ),
        (
            "1280x720 video of an empty room, fixed camera",
            _analysed(folder / "still.mp4", repeats),
            "200 fps",
            "400 fps",
        ),
        ("the same, swaying camera", _analysed(folder / "empty.mp4", repeats), "", ""),
        (
            "video-rec 1280x720, one face of 14 %",
            _analysed(near, repeats, out=folder / "drawn.mp4", smooth_s=0.3),
            "100 fps",
            "150 fps",
        ),
    ]


def _decoded(path: Path, repeats: int) -> str:
    return _rates(lambda: sum(1 for _ in VideoReader(path)), repeats)


def _analysed(path: Path, repeats: int, out: Path | None = None, **options) -> str:
    mode = "video" if out is None else "video_rec"
    with Inference(inference_mode=mode, show_state_mode="none", **options) as inference:
        return _rates(lambda: inference.run(path, out=out).drain(), repeats)


def _rates(count: Callable[[], int], repeats: int) -> str:
    """Return the medians of frames per second and of processor time per frame."""
    rates, spent_ms = [], []
    for _ in range(repeats):
        began_s, spent_s = time.perf_counter(), time.process_time()
        number = count()
        rates.append(number / (time.perf_counter() - began_s))
        spent_ms.append(1000 * (time.process_time() - spent_s) / number)
    return f"{statistics.median(rates):.0f} fps, {statistics.median(spent_ms):.1f} ms of processor"


def _rate(count: Callable[[], int]) -> float:
    start = time.perf_counter()
    return count() / (time.perf_counter() - start)


def _near(angle: float) -> np.ndarray:
    """Return the photo, enlarged so that its face is 180 px wide, moving in an ellipse."""
    photo = cv2.resize(data.astronaut(), None, fx=1.9, fy=1.9)
    x, y = int(300 + 150 * np.cos(angle)), int(150 + 100 * np.sin(angle))
    ground = cv2.copyMakeBorder(photo, 100, 100, 400, 400, cv2.BORDER_REPLICATE)
    return ground[y : y + VIDEO_SIZE[1], x : x + VIDEO_SIZE[0]]


def _small(angle: float) -> np.ndarray:
    """Return three moving heads in front of the table."""
    image = _table()[40:760, 60:1340].copy()
    for number, face_px in enumerate((64, 83, 102)):
        factor = face_px / FACE_PX
        head = cv2.resize(data.astronaut()[:260, 90:340], None, fx=factor, fy=factor)
        x = int(120 + 380 * number + 60 * np.cos(2 * angle + number))
        y = int(230 + 80 * np.sin(3 * angle + 2 * number))
        image[y : y + head.shape[0], x : x + head.shape[1]] = head
    return image


def _still(angle: float) -> np.ndarray:
    return _noisy(_table()[40:760, 60:1340], angle)


def _swaying(angle: float) -> np.ndarray:
    x, y = int(60 + 50 * np.cos(angle)), int(40 + 30 * np.sin(angle))
    return _noisy(_table()[y : y + VIDEO_SIZE[1], x : x + VIDEO_SIZE[0]], angle)


@functools.cache
def _table() -> np.ndarray:
    """Return scikit-image's coffee, a photograph without a face."""
    return cv2.resize(data.coffee(), (1400, 800), interpolation=cv2.INTER_CUBIC)


def _noisy(image: np.ndarray, angle: float) -> np.ndarray:
    noise = np.random.default_rng(round(1e6 * angle)).integers(-4, 5, (*image.shape[:2], 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


FILMS: dict[str, Callable[[float], np.ndarray]] = {
    "near.mp4": _near,
    "small.mp4": _small,
    "still.mp4": _still,
    "empty.mp4": _swaying,
}
"""Video -> function that draws a frame at an angle, 0...2 pi from the first frame to the last."""


def _batch_rate(folder: Path, options: argparse.Namespace) -> tuple[str, str, str]:
    photo = cv2.resize(data.astronaut(), (480, 480))
    for index in range(options.images):
        image = np.roll(cv2.copyMakeBorder(photo, 0, 0, 80, 80, cv2.BORDER_REFLECT), index, 1)
        write_image(folder / "images" / f"{index}.jpg", image)
    rates = []
    for _ in range(options.repeats):
        with Inference(inference_mode="img_batch", show_state_mode="none") as inference:
            rates.append(_rate(lambda: len(inference.run(folder / "images"))))
    return f"{statistics.median(rates):.0f} images/s", "100 images/s", ""


if __name__ == "__main__":
    main()
