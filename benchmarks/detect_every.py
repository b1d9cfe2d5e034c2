"""What is lost and gained when not every frame of a video is searched for faces.

Each video is read with `detect_every` 1 and with higher values. The faces of the first are taken
as the truth (they are not: boxes jitter, and small faces come and go): shares of faces missed and
added (no overlap above 0.3), how well the others overlap, how many have the same emotion, and
frames per second. Prints Markdown.

    python benchmarks/detect_every.py film.mp4 ... [--every 2 3 5] [--frames 200]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

from builder_tools import Inference
from builder_tools.results import FaceEmotion

SAME_PLACE = 0.3


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--every", nargs="+", type=int, default=[2, 3, 5])
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    print(f"{describe_machine()}\n")
    print("| video | every | frames | faces | missed | added | overlap | same emotion | fps |")
    print("|---|---|---|---|---|---|---|---|---|")
    for video in options.videos:
        truth, fps = _read(video, 1, options.frames)
        faces = sum(map(len, truth))
        print(f"| {video.stem} | 1 | {len(truth)} | {faces} | | | | | {fps:.0f} |")
        for every in options.every:
            found, fps = _read(video, every, options.frames)
            cells = " | ".join(_compared(truth, found))
            print(
                f"| {video.stem} | {every} | {len(found)} | {sum(map(len, found))} | {cells} "
                f"| {fps:.0f} |",
                flush=True,
            )


def _read(video: Path, every: int, frames: int) -> tuple[list[tuple[FaceEmotion, ...]], float]:
    with Inference(inference_mode="video", show_state_mode="none", detect_every=every) as inference:
        start = time.perf_counter()
        found = [result.faces for result in inference.run(video, max_frames=frames)]
        return found, len(found) / (time.perf_counter() - start)


def _compared(truth, found) -> list[str]:
    overlaps, same, missed, added = [], 0, 0, 0
    for wanted, seen in zip(truth, found, strict=True):
        left = list(seen)
        for one in wanted:
            best = max(left, key=lambda other: one.face.box.iou(other.face.box), default=None)
            if best is None or one.face.box.iou(best.face.box) <= SAME_PLACE:
                missed += 1
                continue
            left.remove(best)
            overlaps.append(one.face.box.iou(best.face.box))
            same += one.emotion == best.emotion
        added += len(left)
    faces = max(len(overlaps) + missed, 1)
    shares = missed / faces, added / faces, np.mean(overlaps), same / max(len(overlaps), 1)
    return [f"{share:.3f}" for share in shares]


if __name__ == "__main__":
    main()
