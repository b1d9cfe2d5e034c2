"""Cost of drawing on a frame of noise with moving faces, by what is drawn. Prints Markdown.

    python benchmarks/drawing.py [--frames 300]

CPU time of one thread, so that a busy machine matters little. The first column is the time to copy
the frame, which every drawing starts with.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
from machine import describe_machine

from builder_tools.drawing import DrawBox
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.results import Box, Face, FaceEmotion

SCENES = {
    "1280x720, 1 face": (1280, 720, 1),
    "1280x720, 4 faces": (1280, 720, 4),
    "1920x1080, 4 faces": (1920, 1080, 4),
    "1920x1080, 20 faces": (1920, 1080, 20),
}
DRAWERS = {
    "labels": {},
    "labels in Russian": {"language": "ru"},
    "faces blurred": {"blur_faces": True},
    "dial": {"show_dial": True},
    "bars": {"show_bars": True},
    "bars and dial": {"show_bars": True, "show_dial": True},
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{describe_machine()}\n\nMedian CPU ms a frame (90th percentile), tracked faces.\n")
    print(f"| scene | copy | {' | '.join(DRAWERS)} |")
    print("|---" * (len(DRAWERS) + 2) + "|")
    for name, (width, height, count) in SCENES.items():
        rng = np.random.default_rng(0)
        image = rng.integers(0, 255, (height, width, 3), np.uint8)
        drawers = [DrawBox(**settings) for settings in DRAWERS.values()]
        times = [[] for _ in range(len(drawers) + 1)]
        for frame in range(options.frames):
            faces = _faces(width, height, count, frame)
            for index, draw in enumerate([np.copy, *(one.draw for one in drawers)]):
                start = time.thread_time()
                draw(image, faces) if index else draw(image)
                times[index].append(1e3 * (time.thread_time() - start))
        cells = [f"{np.median(each):.2f} ({np.quantile(each, 0.9):.2f})" for each in times]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _faces(width: int, height: int, count: int, frame: int) -> list[FaceEmotion]:
    """Return faces on a grid, each moving in a small circle, with new probabilities each frame."""
    columns = int(np.ceil(np.sqrt(count * width / height)))
    cell, faces = width / columns, []
    for index in range(count):
        turn = frame / 15 + index
        x, y = (index % columns + 0.3) * cell, (index // columns + 0.3) * cell
        x, y, side = (
            x + 20 * np.cos(turn),
            y + 20 * np.sin(turn),
            cell * (0.3 + 0.05 * np.sin(turn)),
        )
        values = np.random.default_rng([index, frame]).dirichlet(np.full(9, 0.3))
        probabilities = dict(zip(NINE_EMOTIONS, values.tolist(), strict=True))
        face = Face(Box(x, y, x + side, y + side), 0.9, track=index + 1)
        faces.append(FaceEmotion(face, probabilities, float(np.cos(turn)) / 2, 0.3))
    return faces


if __name__ == "__main__":
    main()
