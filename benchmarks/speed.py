"""Measures the use wing, warm: one photo, a 720p video, a folder of images.

The images are made of scikit-image's astronaut photo: the photo as it is (512x512, one face),
a 1280x720 H.264 video in which the photo moves (one face of about 180 px), and 640x480 JPEG files.
Prints a Markdown table: median, target, machine. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="of the video and the batch")
    parser.add_argument("--images", type=int, default=300, help="in the batch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            ("default model, one face, one thread", *_model_ms()),
            ("photo 512x512, detect + classify", *_photo_ms()),
            *_video_rows(Path(folder) / "faces.mp4", options.repeats),
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


def _video_rows(path: Path, repeats: int) -> list[tuple[str, str, str, str]]:
    _write_video(path)
    decode = [_rate(lambda: sum(1 for _ in VideoReader(path))) for _ in range(repeats)]
    whole = {every: _video_rates(path, every, repeats) for every in (1, 3)}
    return [
        ("1280x720 H.264, decode only", f"{statistics.median(decode):.0f} fps", "", ""),
        (
            "1280x720 H.264, decode + detect + classify + track",
            f"{statistics.median(whole[1]):.0f} fps",
            "80 fps",
            "200 fps",
        ),
        (
            "the same, searched every third frame (`--detect-every 3`)",
            f"{statistics.median(whole[3]):.0f} fps",
            "",
            "",
        ),
        ("video-rec 1280x720: the same, drawn and written as H.264", _recorded(path), "", ""),
    ]


def _recorded(path: Path) -> str:
    """Return the speed of a recording, and how many times real time that is."""
    with Inference(inference_mode="video_rec", show_state_mode="none", smooth_s=0.3) as inference:
        rate = _rate(lambda: inference.run(path, out=path.with_name("drawn.mp4")).drain())
    return f"{rate:.0f} fps, {rate / VIDEO_FPS:.1f} x real time"


def _video_rates(path: Path, every: int, repeats: int) -> list[float]:
    rates = []
    for _ in range(repeats):
        with Inference(
            inference_mode="video", show_state_mode="none", detect_every=every
        ) as inference:
            rates.append(_rate(lambda: inference.run(path).drain()))
    return rates


def _rate(count: Callable[[], int]) -> float:
    start = time.perf_counter()
    return count() / (time.perf_counter() - start)


def _write_video(path: Path) -> None:
    """Move the photo, enlarged so that its face is 180 px, in a slow circle."""
    photo = cv2.resize(data.astronaut(), None, fx=1.9, fy=1.9)
    ground = cv2.copyMakeBorder(photo, 200, 200, 400, 400, cv2.BORDER_REFLECT)
    width, height = VIDEO_SIZE
    with VideoWriter(path, VIDEO_FPS, VIDEO_SIZE) as writer:
        for index in range(VIDEO_FRAMES):
            angle = 2 * np.pi * index / VIDEO_FRAMES
            x, y = int(200 + 150 * np.cos(angle)), int(150 + 100 * np.sin(angle))
            writer.write(np.ascontiguousarray(ground[y : y + height, x : x + width]))


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
