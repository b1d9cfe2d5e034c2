"""Class folders: `root/<emotion>/*.jpg`, with or without `train/`, `val/`, `test/` above.

Read into one table, and written from any table. Pictures are those of
`builder_tools.media.IMAGE_SUFFIXES` directly inside a class folder; what else lies there is left
alone. Folders whose names start with a dot are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.datasets.duplicates import duplicate_groups
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.splits import TAKEN_SIDES, sample_per_class, with_splits
from builder_tools.datasets.table import PROGRESS, PictureTable, table_of_files
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.media import IMAGE_SUFFIXES, list_images, write_image

SPLIT_OF_FOLDER = {
    "train": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}
"""Names of split folders that are read."""

BALANCING_MANIFEST = "manifest.csv"
MADE_ORIGINS = ("interpolated", "augmented", "copied")
"""Values of its column `origin` that name pictures made from others."""

FOLDER_OF_SPLIT = {"train": "train", "valid": "val", "test": "test", "": ""}
"""Names of split folders that are written."""


def load_class_folders(
    root: str | Path,
    *,
    emotions: EmotionSet | Sequence[str] | None = None,
    seed: int = 0,
) -> PictureTable:
    """Reads class folders into a table with every split filled.

    Args:
        root: The folder of class folders, or of split folders that hold them.
        emotions: The classes in label order. None: the nine where every folder's name is among
            them, else the folders' names, sorted.
        seed: Chooses the splits that are not given: they are taken out of train, near-duplicates
            on one side (`with_splits`, `duplicate_groups`).

    Returns:
        Splits in order, then classes by name, then pictures in natural order; `name` is the path
        below `root` with "/".

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such folder.
        ValueError: If there are no class folders, no train, an empty class, a class that is not
            in `emotions` (or, without them, not in train), too few pictures to split a class, or
            pictures that balancing made would have to be split.
    """
    table = list_class_folders(root, emotions=emotions)
    if set(TAKEN_SIDES) <= set(table.table["split"]):
        return table
    _refuse_made_pictures(Path(root))
    return with_splits(table, seed=seed, groups=duplicate_groups(table))


def _refuse_made_pictures(root: Path) -> None:
    """A made picture beside its parents on the other side of a split would flatter every figure."""
    manifest = root / BALANCING_MANIFEST
    if not manifest.is_file():
        return
    origins = pd.read_csv(manifest).get("origin", pd.Series(dtype=str))
    if origins.isin(MADE_ORIGINS).any():
        raise ValueError(
            f"Expected {root} to hold val/ and test/ beside train/: it was balanced, and pictures "
            "made from others must not be split from them. Split first "
            "(builder-tools data folders folders --source RAW --out SPLIT), then balance."
        )


def list_class_folders(
    root: str | Path, *, emotions: EmotionSet | Sequence[str] | None = None
) -> PictureTable:
    """As `load_class_folders`, but takes the splits as they are ("" where there are none).

    Reads no picture, so damaged ones are listed, too.
    """
    root = Path(root)
    found = [
        (split, folder, list_images(folder))
        for split, parent in _split_folders(root)
        for folder in _folders(parent)
    ]
    _check_classes(root, found)
    emotions = _emotions_of(root, found) if emotions is None else EmotionSet(tuple(emotions))
    rows = [(path, folder.name, split) for split, folder, paths in found for path in paths]
    _check_labels(root, {folder for _, folder, _ in found}, emotions)
    paths, names_of_emotions, splits = zip(*rows, strict=True)
    names = [path.relative_to(root).as_posix() for path in paths]
    return table_of_files(names, paths, names_of_emotions, emotions, splits=splits)


def write_class_folders(
    table: PictureTable, root: str | Path, *, per_class: int | None = None, seed: int = 0
) -> Path:
    """Writes pictures as class folders, whole or not at all.

    Args:
        table: Any pictures. With splits they go to `root/train|val|test/<emotion>/<name>.png`,
            without to `root/<emotion>/<name>.png`. Pictures of one folder whose names differ
            only in suffix or in folders above get a number.
        root: A new or empty folder.
        per_class: At most so many pictures of each class in each split, chosen by `seed`.
        seed: See `per_class`.

    Returns:
        `root`.

    Raises:
        FileExistsError: If `root` is not empty.
        ValueError: If there is nothing to write, a picture cannot be read, or only some have a
            split.
        OSError: If it cannot be written; nothing is left then.
    """
    from tqdm import tqdm

    _check_writable(table)
    chosen = table if per_class is None else sample_per_class(table, per_class, seed=seed)
    with new_folder(root) as partial:
        for place, image in tqdm(_places(chosen), "pictures", len(chosen), **PROGRESS):
            write_image(partial / place, image)
    return Path(root)


def _split_folders(root: Path) -> list[tuple[str, Path]]:
    """Gives split and folder of each part: one part without a split where there are none."""
    if not root.exists():
        raise FileNotFoundError(f"Expected class folders in {str(root)!r}. Nothing is there.")
    if not root.is_dir():
        raise NotADirectoryError(f"Expected a folder of class folders. Received a file: {root}.")
    folders = _folders(root)
    parts = [(SPLIT_OF_FOLDER.get(path.name.casefold(), ""), path) for path in folders]
    if not any(split for split, _ in parts):
        return [("", root)]
    _check_parts(root, parts)
    order = ["train", *TAKEN_SIDES]
    return sorted(parts, key=lambda part: order.index(part[0]))


def _check_parts(root: Path, parts: list[tuple[str, Path]]) -> None:
    splits, names = [split for split, _ in parts], [path.name for _, path in parts]
    if "" in splits:
        others = [path.name for split, path in parts if not split]
        raise ValueError(
            f"Expected in {root} either class folders or split folders {list(SPLIT_OF_FOLDER)}. "
            f"Received both: {others} beside {[name for name in names if name not in others]}."
        )
    if len(set(splits)) < len(splits):
        raise ValueError(f"Expected each split once in {root}. Received: {names}.")
    if "train" not in splits:
        raise ValueError(f"Expected a folder train in {root}. Received only: {names}.")


def _folders(parent: Path) -> list[Path]:
    found = (path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found, key=lambda path: path.name)


def _check_classes(root: Path, found: list[tuple[str, Path, list[Path]]]) -> None:
    if not found:
        raise ValueError(
            f"Expected class folders (root/<emotion>/*.jpg, with or without train/, val/, test/ "
            f"above) in {root}. There are none."
        )
    empty = [str(folder) for _, folder, paths in found if not paths]
    if empty:
        raise ValueError(
            f"Expected pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) in each class folder. "
            f"There are none in {', '.join(empty)}. Add some or remove the folder."
        )


def _emotions_of(root: Path, found: list[tuple[str, Path, list[Path]]]) -> EmotionSet:
    names = {folder.name for _, folder, _ in found}
    trained = {folder.name for split, folder, _ in found if split in ("", "train")}
    if names <= set(NINE_EMOTIONS):
        return NINE_EMOTIONS
    if names != trained:
        raise ValueError(
            f"Expected only classes that are in train ({sorted(trained)}) in {root}. "
            f"Received in valid or test: {sorted(names - trained)}."
        )
    return EmotionSet(tuple(sorted(names)))


def _check_labels(root: Path, folders: set[Path], emotions: EmotionSet) -> None:
    unknown = sorted(str(path.relative_to(root)) for path in folders if path.name not in emotions)
    if unknown:
        raise ValueError(
            f"Expected class folders named after one of {list(emotions)} in {root}. "
            f"Received: {unknown}. Rename them, or name the classes you have."
        )


def _check_writable(table: PictureTable) -> None:
    splits = set(table.table["split"])
    if not len(table) or ("" in splits and len(splits) > 1):
        raise ValueError(
            "Expected pictures that all have a split, or none has. Received: "
            f"{len(table)} pictures with the splits {sorted(splits)}."
        )


def _places(table: PictureTable) -> Iterator[tuple[Path, np.ndarray]]:
    """Gives where each picture goes, below the root, and the picture."""
    taken: set[Path] = set()
    columns = table.table[["name", "emotion", "split"]].itertuples(index=False)
    for row, (name, emotion, split) in enumerate(columns):
        folder, stem, number = Path(FOLDER_OF_SPLIT[split]) / emotion, Path(name).stem, 1
        place = folder / f"{stem}.png"
        while place in taken:
            number += 1
            place = folder / f"{stem}_{number}.png"
        taken.add(place)
        yield place, table.picture(row)
