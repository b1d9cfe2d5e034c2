"""One table for every data set: images (files, or an array in memory), labels, splits, votes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.csv_files import any_name_in_tables
from builder_tools.datasets import SPLITS
from builder_tools.datasets.labels import vote_counts
from builder_tools.emotions import FERPLUS_VOTE_COLUMNS, EmotionSet
from builder_tools.fields import known_name
from builder_tools.media import read_image, resize_square

IMAGE_COLUMNS = ("name", "path", "index", "label", "emotion", "split")

PROGRESS = {"delay": 2, "leave": False, "disable": None}
"""How tqdm shows progress when reading many images: late, briefly, and only on a terminal."""

_SHOWN = 5


def persons_in(table: pd.DataFrame) -> np.ndarray | None:
    """Return who is in each image, `(n,)` str, "" where unknown; None if that is never told.

    Numbers, and missing values of pandas, are taken as well.

    Args:
        table: One row per image, with the column `person` if it is known.
    """
    if "person" not in table:
        return None
    given = table["person"].astype(object)
    return given.map(known_name).to_numpy(object)


@dataclass(frozen=True)
class ImageTable:
    """Labelled images, row by row.

    Args:
        table: One row per image, with the columns `name` (unique), `path` (file, "" if in memory),
            `index` (row of `images`, -1 if a file), `label` (int), `emotion` (its name), `split`
            (train|valid|test, "" if not yet split); if people voted, the ten columns of
            `FERPLUS_VOTE_COLUMNS`; if known, `person`.
        emotions: The classes, in the order of `label`.
        images: Images in memory, `(m, H, W)` uint8 grey or `(m, H, W, 3)` uint8 RGB.
    """

    table: pd.DataFrame
    emotions: EmotionSet
    images: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> np.ndarray:
        """The labels, `(n,)` int64."""
        return self.table["label"].to_numpy(np.int64)

    @property
    def votes(self) -> np.ndarray | None:
        """The vote counts, `(n, 10)` int64, or None if nobody voted; see `vote_counts`."""
        return vote_counts(self.table) if set(FERPLUS_VOTE_COLUMNS) <= set(self.table) else None

    @property
    def persons(self) -> np.ndarray | None:
        """Who is in each image, see `persons_in`."""
        return persons_in(self.table)

    def rows(self, mask: np.ndarray) -> ImageTable:
        """Return the images for which the boolean mask `(n,)` is true.

        If all are in memory, their order follows the rows: `images[i]` belongs to row i.
        """
        table, images = self.table[mask].reset_index(drop=True), self.images
        indices = table["index"].to_numpy(np.int64)
        if images is not None and (indices >= 0).all():
            table, images = table.assign(index=np.arange(len(table))), images[indices]
        return ImageTable(table, self.emotions, images)

    def readable(self) -> tuple[ImageTable, dict[str, str]]:
        """Return the images that can be read, and the names of the others with what is wrong.

        Each file is read once to find out.
        """
        from tqdm import tqdm

        def wrong(row: int) -> str | None:
            try:
                self.image(row)
            except (OSError, ValueError) as error:
                return str(error)
            return None

        rows = np.flatnonzero(self.table["index"].to_numpy(np.int64) < 0)
        with ThreadPoolExecutor() as pool:
            said = list(tqdm(pool.map(wrong, rows, chunksize=64), "checked", len(rows), **PROGRESS))
        broken = {row: words for row, words in zip(rows, said, strict=True) if words}
        kept = np.ones(len(self), bool)
        kept[list(broken)] = False
        names = self.table["name"]
        return self.rows(kept), {str(names.iat[row]): words for row, words in broken.items()}

    def split(self, name: str) -> ImageTable:
        """Return the images of one split: train, valid or test."""
        if name not in SPLITS:
            raise ValueError(f"Expected one of {list(SPLITS)}. Received: split={name!r}.")
        return self.rows((self.table["split"] == name).to_numpy())

    def with_emotions(self, emotions: EmotionSet) -> ImageTable:
        """Return the images relabelled by name for another set of classes.

        Raises:
            ValueError: If an emotion is not in that set.
        """
        labels = np.array([emotions.label(name) for name in self.table["emotion"]], np.int64)
        return ImageTable(self.table.assign(label=labels), emotions, self.images)

    def image(self, row: int) -> np.ndarray:
        """Return one image at its own size, `(H, W, 3)` uint8 RGB.

        Raises:
            FileNotFoundError, ValueError: If its file does not exist or is not a readable image.
        """
        stored = self.table["index"].iat[row]
        return read_image(self.table["path"].iat[row] if stored < 0 else self.images[stored])

    def as_stored(self, size_px: int) -> ResizedImages:
        """Return images in memory at their own size, and those in files at `size_px`.

        For networks of that size: stored images are resized only once, from the original.
        """
        return self.resized(size_px if self.images is None else self.images.shape[1])

    def resized(self, size_px: int) -> ResizedImages:
        """Return the images, decoded on demand, as squares of `size_px`."""
        return ResizedImages(self, size_px)


@any_name_in_tables()
def table_of_files(
    names: Sequence[str],
    paths: Sequence[Path],
    emotions_of_rows: Sequence[str],
    emotions: EmotionSet,
    *,
    splits: Sequence[str] | None = None,
) -> ImageTable:
    """Make the table of labelled image files.

    Args:
        names: Unique names.
        paths: The files, one per name.
        emotions_of_rows: The name of each image's emotion.
        emotions: The classes.
        splits: The split of each; None if they are not split yet.

    Raises:
        ValueError: If an emotion is not in `emotions`.
    """
    columns = {
        "name": list(names),
        "path": [str(path) for path in paths],
        "index": np.full(len(names), -1),
        "label": np.array([emotions.label(emotion) for emotion in emotions_of_rows], np.int64),
        "emotion": list(emotions_of_rows),
        "split": [""] * len(names) if splits is None else list(splits),
    }
    return ImageTable(pd.DataFrame(columns), emotions)


def list_of_unreadable(wrong: Sequence[str]) -> str:
    """Return an error message listing images that cannot be read, up to a limit.

    Args:
        wrong: What is wrong with each.
    """
    head = f"Expected images that can be read, or none of these {len(wrong)}:"
    more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
    return "\n".join([head, *wrong[:_SHOWN], *more])


class ResizedImages:
    """Images of a table, decoded on demand.

    `images[rows]` with an array of row numbers returns `(len(rows), size, size, 3)` uint8 RGB;
    images that are not square are stretched to fit. Safe to use from several threads. If one of
    several images cannot be read, the ValueError lists all unreadable ones in the table.

    Args:
        table: The images.
        size_px: Side of the returned images.
    """

    def __init__(self, table: ImageTable, size_px: int) -> None:
        self.size_px = size_px
        self._table = table
        self._paths = table.table["path"].to_numpy(object)
        self._indices = table.table["index"].to_numpy(np.int64)
        self._images = table.images

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), self.size_px, self.size_px, 3

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        numbers = np.arange(len(self))[rows]
        found = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for place, number in enumerate(numbers):
            stored = self._indices[number]
            try:
                image = read_image(self._paths[number] if stored < 0 else self._images[stored])
            except (OSError, ValueError) as error:
                if len(numbers) == 1:
                    raise
                wrong = list(self._table.readable()[1].values()) or [str(error)]
                raise ValueError(list_of_unreadable(wrong)) from error
            found[place] = resize_square(image, self.size_px)
        return found
