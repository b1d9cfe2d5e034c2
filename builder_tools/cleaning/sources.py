"""Which images there are, in any supported layout, and where each one goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder_tools.datasets.class_folders import FOLDER_OF_SPLIT, list_as_written
from builder_tools.datasets.competition import TRAIN_CSV, list_competition
from builder_tools.datasets.table import ImageTable
from builder_tools.media import find_images, list_images


@dataclass(frozen=True)
class RawImage:
    """An image of the source.

    Args:
        name: Its path relative to the source, with `/`.
        path: The file.
        emotion: Its class, "" in a flat folder.
        split: train, valid, test, or "" if there are no splits.
    """

    name: str
    path: Path
    emotion: str
    split: str


def list_raw_images(source: Path) -> list[RawImage]:
    """List the images of class folders, of the Kaggle competition, or of a flat folder.

    Args:
        source: A folder with `train.csv` is the competition; otherwise, subfolders with images
            are classes, with or without `train/ val/ test/` above them; otherwise the folder is
            flat.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are no images, or the layout is malformed.
    """
    flat = list_images(source)
    if (source / TRAIN_CSV).is_file():
        return _of_table(list_competition(source))
    if not flat:
        return _of_table(list_as_written(source))
    deeper = [name for name in find_images(source).names if "/" in name]
    if deeper:
        raise ValueError(
            f"Expected images either in {source} or in its subfolders. Received both: "
            f"{len(flat)} such as {flat[0].name}, and {len(deeper)} such as {deeper[0]}. Try to "
            "move one of them away."
        )
    return [RawImage(path.name, path, "", "") for path in flat]


def output_names(images: Sequence[RawImage], suffix: str) -> list[str]:
    """Return the path of each image in the output: `<split?>/<emotion?>/<name><suffix>`.

    Names that would collide, as of images that differ only in their suffix, get a number.

    Args:
        images: All images of the run.
        suffix: A suffix such as ".png", or "" to keep each image's own.
    """
    names, taken = [], set()
    for image in images:
        folder = Path(FOLDER_OF_SPLIT[image.split], image.emotion)
        stem, ending = image.path.stem, suffix or image.path.suffix.lower()
        name, number = (folder / f"{stem}{ending}").as_posix(), 1
        while name.casefold() in taken:
            number += 1
            name = (folder / f"{stem}_{number}{ending}").as_posix()
        taken.add(name.casefold())
        names.append(name)
    return names


def _of_table(table: ImageTable) -> list[RawImage]:
    columns = table.table[["name", "path", "emotion", "split"]].itertuples(index=False)
    return [RawImage(name, Path(path), emotion, split) for name, path, emotion, split in columns]
