"""Is a face recognised better when its eyes are level, and how wide should its crop be?

For every detector that gives eyes: faces of FER+ valid in larger scenes (made as in
`crop_margin.py`), `wild_dev` (crops of people in the wild) and `posed_dev` (portraits). Each face
is cut as in `Inference`, and with the same square turned so that the eyes are level, at the
detector's own margin and at others. Accuracy is among the set's own classes, on faces found with
eyes, with the 95 % interval of the gain, paired by face, in brackets. No test image is used.
Run from the repository root: `python benchmarks/crop_alignment.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from crop_accuracy import judged_sets
from machine import describe_machine

from builder_tools.classifier import EmotionClassifier
from builder_tools.cleaning.looking import align_face, cut_face, roll_deg
from builder_tools.datasets.ferplus import data_folder
from builder_tools.detectors import DETECTORS, make_detector
from builder_tools.emotions import own_word
from builder_tools.evaluation import paired_gains

MARGINS = (0.9, 1.0, 1.1)
"""Multiples of the detector's own margin."""


def main() -> None:
    """Measure, and print a row for each detector, set and margin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectors", nargs="+", choices=list(DETECTORS), default=list(DETECTORS))
    parser.add_argument("--model")
    parser.add_argument("--images", type=int, default=400, help="of FER+ valid")
    parser.add_argument("--data", type=Path, default=data_folder(), help="of the other two sets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    classifier = EmotionClassifier(options.model)
    sets = judged_sets(options.images, options.seed, options.data)
    print(f"{describe_machine()}\n\nModel: {classifier.card.name}\n")
    print("| detector | set | with eyes | median roll | margin | as found | eyes level | gain |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.detectors:
        with make_detector(name) as detector:
            for title, (images, words) in sets.items():
                for row in rows(detector, classifier, images, words):
                    print(f"| {name} | {title} | {row} |", flush=True)


def rows(detector, classifier: EmotionClassifier, images, words):
    """Yield the cells of a set by margin: faces with eyes, roll, margin, accuracies, gain."""
    faces = [found[0] if (found := detector.detect(image)) else None for image in images]
    usable = [i for i, face in enumerate(faces) if face is not None and roll_deg(face) is not None]
    if not usable:
        yield f"0 of {len(images)} | | | | |"
        return
    roll = np.median([abs(roll_deg(faces[i])) for i in usable])
    names = sorted(set(words))
    columns = [list(classifier.emotions).index(own_word(name)) for name in names]
    truth = np.array([names.index(words[i]) for i in usable])
    for factor in MARGINS:
        frame = {"margin": factor * detector.crop_scale, "shift_y": detector.crop_shift_y}
        found = [
            classifier.predict([cut(images[i], faces[i], **frame) for i in usable])[:, columns]
            for cut in (cut_face, align_face)
        ]
        straight, level = (answers.argmax(axis=1) for answers in found)
        gain = paired_gains(truth, level, straight, len(names))["accuracy"]
        yield (
            f"{len(usable)} of {len(images)} | {roll:.1f}° | {frame['margin']:.2f} | "
            f"{(straight == truth).mean():.3f} | {(level == truth).mean():.3f} | "
            f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        )


if __name__ == "__main__":
    main()
