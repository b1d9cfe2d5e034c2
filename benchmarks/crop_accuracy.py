"""Which crop around a detector's box makes the shipped model most accurate?

Puts labelled faces of FER+ *valid* into larger scenes as `crop_margin.py` does, lets a detector
find them, crops by each scale and shift, and prints accuracy on the majority of eight emotions.
What lies outside a FER+ image is unknown, so wide crops see blurred surroundings: read the
table for where it is flat, not for the last half point.
Run from the repository root: `python benchmarks/crop_accuracy.py`.
"""

from __future__ import annotations

import argparse

import numpy as np
from crop_margin import scene
from machine import describe_machine

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS, make_detector
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.evaluation import majority_eight_labels, restrict
from builder_tools.results import Box, crop

SCALES = (0.9, 1.0, 1.1, 1.17, 1.25, 1.35, 1.5)
SHIFTS = (-0.2, -0.1, 0.0, 0.1)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", choices=list(DETECTORS), default=DEFAULT_DETECTOR)
    parser.add_argument("--model")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    classifier = EmotionClassifier(options.model)
    scenes, labels = labelled_scenes(options.images, options.seed)
    with make_detector(options.detector) as detector:
        boxes = [found[0].box if (found := detector.detect(one)) else None for one in scenes]
        own = f"{detector.crop_scale} and {detector.crop_shift_y}"
    found = [i for i, box in enumerate(boxes) if box is not None]
    print(f"{describe_machine()}\n")
    print(
        f"{options.detector}: {len(found)} of {len(scenes)} faces found; "
        f"its scale and shift: {own}; model: {classifier.card.name}\n"
    )
    print("| scale | " + " | ".join(f"shift {shift:+.1f}" for shift in SHIFTS) + " |")
    print("|---|" + "---|" * len(SHIFTS))
    for scale in SCALES:
        row = [
            accuracy(
                classifier,
                [crop(scenes[i], _cut(boxes[i], scale, s)) for i in found],
                labels[found],
            )
            for s in SHIFTS
        ]
        print(f"| {scale} | " + " | ".join(f"{value:.3f}" for value in row) + " |", flush=True)


def labelled_scenes(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return scenes with one face each, and their labels into `FERPLUS_EIGHT`."""
    faces = load_ferplus().split("valid")
    labels = majority_eight_labels(faces.votes)
    kept = np.flatnonzero(labels >= 0)
    chosen = np.random.default_rng(seed).permutation(kept)[:count]
    return [scene(face) for face in faces.images[chosen]], labels[chosen]


def accuracy(classifier: EmotionClassifier, faces: list[np.ndarray], labels: np.ndarray) -> float:
    """Return the share of faces whose most probable of eight emotions is the true one."""
    found = restrict(classifier.predict(faces), classifier.emotions, FERPLUS_EIGHT)
    return float((found.argmax(axis=1) == labels).mean())


def _cut(box: Box, scale: float, shift_y: float) -> Box:
    return box.shift(0, shift_y * box.height).square().scale(scale)


if __name__ == "__main__":
    main()
