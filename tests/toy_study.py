"""A toy of the study: small faces in every FER+ layout, and a network that trains in seconds.

The nine emotions differ by a pattern that survives mirroring, so that a tiny network learns them.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from builder_tools.datasets.ferplus import SPLIT_FOLDERS, SPLIT_OF_USAGE
from builder_tools.emotions import FERPLUS_VOTE_COLUMNS

USAGE_OF_SPLIT = {split: usage for usage, split in SPLIT_OF_USAGE.items()}
CLASS_COLUMNS = FERPLUS_VOTE_COLUMNS[:-1]


def votes(**counts: int) -> list[int]:
    """Gives ten vote counts by column name, 0 where unnamed."""
    return [counts.get(column, 0) for column in FERPLUS_VOTE_COLUMNS]


@dataclass(frozen=True)
class ToyFace:
    """One row of a toy data set."""

    name: str
    split: str
    image: np.ndarray
    votes: list[int]


def pattern(kind: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Gives a noisy `(size, size)` uint8 image, symmetric left to right, one a kind."""
    middle = np.abs(np.linspace(-1, 1, size))
    row, column = middle[:, None] * np.ones(size), middle * np.ones((size, 1))
    waves = [row, column, row + column, row - column, 2 * row, 2 * column, row * column]
    waves += [3 * row, 3 * column]
    image = 128 + 70 * np.cos(np.pi * waves[kind % len(waves)] * (1 + kind // len(waves)))
    return np.clip(image + rng.normal(0, 12, (size, size)), 0, 255).astype(np.uint8)


def toy_faces(per_class: dict[str, int] | None = None, size: int = 48) -> list[ToyFace]:
    """Gives faces of all nine classes in every split, in the order of FER+."""
    rng = np.random.default_rng(0)
    faces: list[ToyFace] = []
    for split, count in (per_class or {"train": 6, "valid": 3, "test": 3}).items():
        for column in np.repeat(CLASS_COLUMNS, count):
            kind = CLASS_COLUMNS.index(column)
            name = f"fer{len(faces):07d}.png"
            counted = votes(**{str(column): 8, "neutral" if kind else "fear": 2})
            faces.append(ToyFace(name, split, pattern(kind, size, rng), counted))
    return faces


def write_official(root: Path, faces: list[ToyFace]) -> Path:
    """Writes the official layout as a folder."""
    for split, folder in SPLIT_FOLDERS.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        chosen = [face for face in faces if face.split == split]
        for face in chosen:
            cv2.imwrite(str(root / folder / face.name), face.image)
        with (root / folder / "label.csv").open("w", newline="") as file:
            rows = ([face.name, "(0, 0, 48, 48)", *face.votes] for face in chosen)
            csv.writer(file).writerows(rows)
    return root


def write_zip(file: Path, official: Path, inside: str = "") -> Path:
    """Packs an official folder, at the top of the zip or in a folder of it."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(official.rglob("*.*")):
            archive.write(path, inside + str(path.relative_to(official)))
    return file


def write_kaggle(
    root: Path,
    faces: list[ToyFace],
    *,
    pixels_file: str = "fer2013.csv",
    columns: tuple[str, str, str] = ("emotion", "pixels", "Usage"),
) -> Path:
    """Writes the Kaggle form: pixels in one csv, votes in the other, joined by row."""
    root.mkdir(parents=True, exist_ok=True)
    emotion, pixels, usage = columns
    with (root / pixels_file).open("w", newline="") as file:
        writer = csv.DictWriter(file, [emotion, pixels, usage])
        writer.writeheader()
        for face in faces:
            text = " ".join(map(str, face.image.ravel()))
            writer.writerow({emotion: 0, pixels: text, usage: USAGE_OF_SPLIT[face.split]})
    with (root / "fer2013new.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *FERPLUS_VOTE_COLUMNS])
        writer.writerows([USAGE_OF_SPLIT[f.split], f.name, *f.votes] for f in faces)
    return root


def tiny_backbone(input_size: int | None, weights=None):
    """Builds a backbone of the house's contract with everything that has state."""
    import keras
    from keras import layers

    from builder_tools.networks.architectures import standardised_grey

    inputs = keras.Input((input_size, input_size, 3), name="face")
    x = standardised_grey(inputs)
    x = layers.Conv2D(12, 3, strides=2, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.Conv2D(16, 3, strides=2, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    return keras.Model(inputs, x, name="backbone")


def tiny_spec(input_size: int):
    """Gives a registry entry of the tiny network, deployed at `input_size` px."""
    from builder_tools.networks import NetworkSpec

    return NetworkSpec(
        backbone=tiny_backbone,
        input_size=input_size,
        min_size=8,
        unfreeze=None,
        pretrained=None,
        any_size=True,
        description="a toy",
    )


def three_kinds(per_class: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gives faces `(n, 48, 48)` of three kinds, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    return np.stack([pattern(kind, 48, rng) for kind in labels]), labels
