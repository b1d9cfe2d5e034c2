"""Measures what following faces in a stream loses against a search of every frame, and saves.

    python benchmarks/following.py --media FOLDER [--frames 90]

Of each video in FOLDER/videos: the boxes that a whole search of each frame finds, how many of them
the stream's search (`inference.search.Search`) has, too (IoU > 0.3), how many more it has, and the
processor time of both a frame.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

from machine import describe_machine

from builder_tools.detectors import make_detector
from builder_tools.inference.search import Search
from builder_tools.media import VideoReader
from builder_tools.results import Face

SAME_IOU = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--media", type=Path, required=True, help="folder with videos/")
    parser.add_argument("--frames", type=int, default=90, help="of each video (default: 90)")
    options = parser.parse_args()
    print(describe_machine())
    print("\n| video | frames | boxes | of them followed | others | ms followed | ms searched |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    with make_detector("mediapipe") as detector:
        for path in sorted((options.media / "videos").glob("*.m*")):
            with VideoReader(path) as reader:
                frames = list(islice(reader, options.frames))
            search = Search()
            began_s = time.process_time()
            followed = [search.find(detector, frame) for frame in frames]
            between_s = time.process_time()
            searched = [detector.detect(frame.image) for frame in frames]
            ended_s = time.process_time()
            times_s = (between_s - began_s, ended_s - between_s)
            rows.append([len(frames), *counts(followed, searched), *times_s])
            print(row(path.name, rows[-1]), flush=True)
    print(row("all", [sum(column) for column in zip(*rows, strict=True)]))


def counts(followed: list[list[Face]], searched: list[list[Face]]) -> tuple[int, int, int]:
    """Return the boxes of a whole search, how many of them were followed, and how many others."""
    pairs = list(zip(followed, searched, strict=True))
    found = sum(is_among(face, ours) for ours, theirs in pairs for face in theirs)
    others = sum(not is_among(face, theirs) for ours, theirs in pairs for face in ours)
    return sum(map(len, searched)), found, others


def is_among(face: Face, faces: list[Face]) -> bool:
    return any(face.box.iou(other.box) > SAME_IOU for other in faces)


def row(name: str, numbers: list[float]) -> str:
    frames, boxes, found, others, followed_s, searched_s = numbers
    share = f"{found / boxes:.1%}" if boxes else "-"
    each = (f"{1000 * spent_s / frames:.1f}" for spent_s in (followed_s, searched_s))
    return f"| {' | '.join([name, str(frames), str(boxes), share, str(others), *each])} |"


if __name__ == "__main__":
    main()
