"""Folders of images to be cleaned with a detector of known answers."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from fakes import FakeDetector

from builder_tools.cleaning import CleaningConfig, clean_folder
from builder_tools.media import write_image

PLAIN = CleaningConfig(surround=False, min_face_px=0)
"""For `FakeDetector`, which reads the number of faces in the first pixel."""


def made_image(num_faces: int, seed: int, *, size: int = 64) -> np.ndarray:
    """An image for `FakeDetector`, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(40, 215, (8, 8, 3), np.uint8)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_NEAREST)
    image[0, 0] = num_faces
    return image


def class_folders(root: Path, *, images: int = 4) -> Path:
    for label, emotion in enumerate(("happy", "sad")):
        for index in range(images):
            image = made_image(1, 100 * label + index)
            write_image(root / emotion / f"{index}.png", image)
    return root


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def folder_hash(folder: Path) -> str:
    state = [(n, hashlib.sha256(c).hexdigest()) for n, c in files(folder).items()]
    times = [path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))]
    return hashlib.sha256(repr((state, times)).encode()).hexdigest()


def row_of(report, name: str) -> pd.Series:
    rows = report.manifest[report.manifest["image_path"] == name]
    assert len(rows) == 1
    return rows.iloc[0]


def clean(source: Path, out: Path, config: CleaningConfig = PLAIN, **more):
    options = {"detector": FakeDetector(), "workers": 1, "max_dropped": 1, **more}
    return clean_folder(source, out, config=config, **options)


def mixed_folders(root: Path) -> Path:
    """Writes class folders with every kind of image."""
    class_folders(root)
    write_image(root / "happy" / "none.png", made_image(0, 50))
    write_image(root / "happy" / "two.png", made_image(2, 51))
    (root / "happy" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (root / "sad" / "empty.jpg").write_bytes(b"")
    shutil.copy(root / "sad" / "0.png", root / "sad" / "9 copy.png")
    return root
