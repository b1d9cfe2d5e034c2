"""Class folders of images that are all different, and how many of each class a table counts."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from builder_tools.datasets.table import ImageTable
from builder_tools.media import write_image


def made_image(number: int) -> np.ndarray:
    """An image unlike all others: coarse noise."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (40, 32), interpolation=cv2.INTER_CUBIC)


def write_folders(root: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """Writes so many different images into each folder, named 1, 2, ..., 10, ..."""
    number = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for own in range(1, count + 1):
            number += 1
            write_image(root / folder / f"{own}{suffix}", made_image(number))
    return root


def counts_of(table: ImageTable) -> dict[str, dict[str, int]]:
    counts = pd.crosstab(table.table["split"], table.table["emotion"])
    return {split: row[row > 0].to_dict() for split, row in counts.iterrows()}
