"""Measure what following faces loses, and saves, against a search of every frame.

    python benchmarks/following.py --media FOLDER [--frames 150]

For each video in FOLDER/videos: the boxes found by a full search of each frame, how many of them
the search for videos (`inference.parts`) and the one for cameras (`inference.search.Search`) also
have (IoU above 0.3), how many other boxes they have, and the processor time of each per frame.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from machine import describe_machine

from builder_tools.detectors import FaceDetector, make_detector
from builder_tools.inference.parts import parts_of
from builder_tools.inference.search import Search
from builder_tools.media import Frame, VideoReader
from builder_tools.results import Face

SAME_IOU = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--media", type=Path, required=True, help="folder with videos/")
    parser.add_argument("--frames", type=int, default=150, help="of each video (default: 150)")
    options = parser.parse_args()
    print(describe_machine())
    heads = "video | frames | boxes | as video | others | as camera | others | ms video | ms camera"
    print(f"\n| {heads} | ms searched |\n|{'---|' * 10}")
    rows = []
    with make_detector("mediapipe") as detector:
        for path in sorted((options.media / "videos").glob("*.m*")):
            with VideoReader(path) as reader:
                frames = list(islice(reader, options.frames))
            found, times_s = zip(*(_timed(find, detector, frames) for find in FORMS), strict=True)
            *followed, searched = found
            missed = [number for ours in followed for number in counts(ours, searched)]
            rows.append([len(frames), sum(map(len, searched)), *missed, *times_s])
            print(row(path.name, rows[-1]), flush=True)
    print(row("all", [sum(column) for column in zip(*rows, strict=True)]))


def as_video(detector: FaceDetector, frames: list[Frame]) -> list[list[Face]]:
    return [faces for part in parts_of(frames) for _, faces in part.find(detector)]


def as_camera(detector: FaceDetector, frames: list[Frame]) -> list[list[Face]]:
    search = Search()
    return [search.find(detector, frame) for frame in frames]


def every_frame(detector: FaceDetector, frames: list[Frame]) -> list[list[Face]]:
    return [detector.detect(frame.image) for frame in frames]


FORMS = (as_video, as_camera, every_frame)


def _timed(find: Callable, detector: FaceDetector, frames: list[Frame]) -> tuple[list, float]:
    began_s = time.process_time()
    return find(detector, frames), time.process_time() - began_s


def counts(followed: list[list[Face]], searched: list[list[Face]]) -> tuple[int, int]:
    """Return how many boxes of a full search were followed, and how many only were followed."""
    pairs = list(zip(followed, searched, strict=True))
    found = sum(is_among(face, ours) for ours, theirs in pairs for face in theirs)
    others = sum(not is_among(face, theirs) for ours, theirs in pairs for face in ours)
    return found, others


def is_among(face: Face, faces: list[Face]) -> bool:
    return any(face.box.iou(other.box) > SAME_IOU for other in faces)


def row(name: str, numbers: list[float]) -> str:
    frames, boxes, in_video, more_in_video, in_camera, more_in_camera, *times_s = numbers
    shares = [f"{found / boxes:.1%}" if boxes else "-" for found in (in_video, in_camera)]
    each = [f"{1000 * spent_s / frames:.1f}" for spent_s in times_s]
    cells = [name, frames, boxes, shares[0], more_in_video, shares[1], more_in_camera, *each]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
