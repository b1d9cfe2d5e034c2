"""Which crop around a detector's box makes the shipped models most accurate?

Three sets: labelled faces of FER+ *valid* in larger scenes made as in `crop_margin.py`, and the
development sets `wild_dev` (crops of people in the wild) and `posed_dev` (portraits). A detector
finds the faces, each is cropped at every scale and shift, and accuracy is measured among the set's
own classes, on the faces found. What lies outside a FER+ image is unknown, so wide crops see
blurred surroundings. Look for where the table is flat, not for the last half point.
Run from the repository root: `python benchmarks/crop_accuracy.py --models fast tiny`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from crop_margin import scene
from machine import describe_machine

from builder_tools.cards import DEFAULT_MODEL
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import data_folder, load_ferplus
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS, make_detector
from builder_tools.emotions import FERPLUS_EIGHT, own_word
from builder_tools.evaluation import majority_eight_labels
from builder_tools.release.labelled_sets import labelled_set
from builder_tools.results import Box, crop

SCALES = (1.0, 1.06, 1.12, 1.18, 1.25, 1.32)
SHIFTS = (-0.1, -0.05, 0.0, 0.05)
"""Fractions of the box's height; negative is up."""
FERPLUS_SCENES = "FER+ valid"
DEVELOPMENT_SETS = ("wild_dev", "posed_dev")

LabelledImages = tuple[list[np.ndarray], list[str]]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", choices=list(DETECTORS), default=DEFAULT_DETECTOR)
    parser.add_argument("--models", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--scales", nargs="+", type=float, default=SCALES)
    parser.add_argument("--shifts", nargs="+", type=float, default=SHIFTS)
    parser.add_argument("--images", type=int, default=3200, help="of FER+ valid, at most")
    parser.add_argument("--data", type=Path, default=data_folder(), help="of the other two sets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{describe_machine()}\n")
    found = {}
    with make_detector(options.detector) as detector:
        print(
            f"{options.detector}; its scale and shift: {detector.crop_scale} and "
            f"{detector.crop_shift_y}"
        )
        for name, labelled in judged_sets(options.images, options.seed, options.data).items():
            found[name] = _found(detector, labelled)
            print(f"{name}: {len(found[name][1])} of {len(labelled[1])} faces found")
    cells = [(model, name) for model in options.models for name in found]
    print("\n| scale | shift | " + " | ".join(f"`{model}`, {name}" for model, name in cells) + " |")
    print("|---|---|" + "---|" * len(cells))
    classifiers = {model: EmotionClassifier(model) for model in options.models}
    for scale in options.scales:
        for shift_y in options.shifts:
            row = [accuracy(classifiers[model], found[name], scale, shift_y)
                   for model, name in cells]  # fmt: skip
            figures = " | ".join(f"{value:.3f}" for value in row)
            print(f"| {scale} | {shift_y:+.2f} | {figures} |", flush=True)


def judged_sets(count: int, seed: int, data: Path) -> dict[str, LabelledImages]:
    """Return the three sets by name: images, and the emotion word for each.

    Args:
        count: Largest number of faces of FER+ valid.
        seed: Seed for choosing them.
        data: Folder of the development sets.
    """
    faces = load_ferplus().split("valid")
    labels = majority_eight_labels(faces.votes)
    kept = np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))[:count]
    words = [FERPLUS_EIGHT.names[label] for label in labels[kept]]
    sets = {FERPLUS_SCENES: ([scene(face) for face in faces.images[kept]], words)}
    for name in DEVELOPMENT_SETS:
        images = labelled_set(data / f"{name}.zip", split="all").images
        pixels = [images.image(row) for row in range(len(images))]
        sets[name] = (pixels, images.table["emotion"].tolist())
    return sets


def accuracy(
    classifier: EmotionClassifier,
    found: tuple[list[np.ndarray], list[Box], list[str]],
    scale: float,
    shift_y: float,
) -> float:
    """Return the share of faces whose most probable emotion, among the set's, is the true one."""
    images, boxes, words = found
    faces = [
        crop(image, box.shift(0, shift_y * box.height).square().scale(scale))
        for image, box in zip(images, boxes, strict=True)
    ]
    names = sorted(set(words))
    columns = [list(classifier.emotions).index(own_word(name)) for name in names]
    answers = classifier.predict(faces)[:, columns].argmax(axis=1)
    truth = np.array([names.index(word) for word in words])
    return float((answers == truth).mean())


def _found(detector, labelled: LabelledImages) -> tuple[list[np.ndarray], list[Box], list[str]]:
    """Return the images in which a face is found, the box of each, and the words."""
    seen = [
        (image, faces[0].box, word)
        for image, word in zip(*labelled, strict=True)
        if (faces := detector.detect(image))
    ]
    return tuple(map(list, zip(*seen, strict=True)))


if __name__ == "__main__":
    main()
