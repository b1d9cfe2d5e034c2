"""Class folders: `root/<emotion>/*.jpg`, with or without `train/`, `val/`, `test/` above.

They are read into one table, and written from any table. Levels above, between and below
(`archive/images/train/angry/person 3/1.jpg`) are allowed: of the folders on the path to an image,
one names the split and one the class. Folders whose names start with a dot are skipped.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from builder_tools.csv_files import any_name_in_tables, name_as_text, write_table
from builder_tools.datasets.class_words import as_written, class_of, say_classes
from builder_tools.datasets.duplicates import duplicate_groups
from builder_tools.datasets.made_images import MANIFEST, columns_to_carry
from builder_tools.datasets.new_folder import new_folder
from builder_tools.datasets.splits import TAKEN_SIDES, sample_per_class, with_splits
from builder_tools.datasets.table import PROGRESS, ImageTable, table_of_files
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet, own_word
from builder_tools.media import find_images, list_images, write_image

SPLIT_OF_FOLDER = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "publictest": "valid",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
"""Names of split folders that are recognised, in lower case and with letters only; including
FER2013's (`Training`, `PublicTest`, `PrivateTest`)."""

_BESIDE_SPLIT = "(?:dataset|data|set|images|image|imgs|faces|split|folder)*"
"""Words that say nothing beside the name of a split: `test_set`, `images-train`."""

MANIFEST_COLUMNS = ("file", "split", "emotion", "source")
"""Columns of the manifest; with those of `made_images`, if balancing made any of the images."""

FOLDER_OF_SPLIT = {"train": "train", "valid": "val", "test": "test", "": ""}
"""Names of the split folders that are written."""

_NOT_DATA = frozenset({"__macosx", "__pycache__"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassFolder:
    """A folder with images of one class.

    Args:
        split: train, valid, test, or "" if there are no splits.
        name: The name of the folder that names the class.
        paths: Its images, in natural order.
    """

    split: str
    name: str
    paths: tuple[Path, ...]


@any_name_in_tables()
def load_class_folders(
    root: str | Path,
    *,
    emotions: EmotionSet | Sequence[str] | None = None,
    classes: Mapping[str, str] | None = None,
    persons: Mapping[str, str] | None = None,
    valid: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> ImageTable:
    """Read class folders into a table with every split filled.

    Args:
        root: The folder of class folders, or of split folders that hold them.
        emotions: The classes in label order. None: the nine if every folder names one of them,
            in any wording (`own_word`), else the folders' names as they are, sorted.
        classes: Folder name -> class, to override the usual meaning of a name; "" leaves the
            folder out.
        persons: Path below `root` with "/" -> who is in the image, for the column `person`.
        valid, test: Shares of splits that are missing (`with_splits`).
        seed: Seed for drawing them from train, near-duplicates and people on one side.

    Returns:
        Splits in order, then classes by name, then images in natural order; `name` is the path
        below `root` with "/".

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such folder.
        ValueError: If there are no class folders, no train, an empty class, a class that is not
            in `emotions` (or, without them, not in train), too few images to split any class,
            or images made by balancing that would have to be split.
    """
    table = list_class_folders(root, emotions=emotions, classes=classes, persons=persons)
    splits = set(table.table["split"])
    if not splits & {"", "train"}:
        raise ValueError(
            f"Expected a folder train in {root}. Received only: "
            f"{sorted(FOLDER_OF_SPLIT[split] for split in splits)}."
        )
    if set(TAKEN_SIDES) <= splits:
        return table
    return with_splits(table, valid=valid, test=test, seed=seed, groups=duplicate_groups)


def list_class_folders(
    root: str | Path,
    *,
    emotions: EmotionSet | Sequence[str] | None = None,
    classes: Mapping[str, str] | None = None,
    persons: Mapping[str, str] | None = None,
) -> ImageTable:
    """List class folders as `load_class_folders` does, keeping their splits ("" if there are none).

    Reads no images, so damaged ones are listed too. Images outside of class folders are warned of.
    """
    root, classes = Path(root), classes or {}
    names_of = find_class_folders(root)
    _tell_of_others(root, names_of)
    wanted = None if emotions is None else EmotionSet(tuple(emotions))
    found = [(folder, class_of(folder.name, wanted, classes)) for folder in names_of]
    if wanted is None and not {name for _, name in found if name} <= set(NINE_EMOTIONS):
        # A data set with classes of its own keeps its names: only those asked for are changed.
        found = [(folder, as_written(folder.name, classes)) for folder in names_of]
    meant = {folder.name: name for folder, name in found}
    found = [(folder, name) for folder, name in found if name]
    if not found:
        raise ValueError(f"Expected a class that is not left out in {root}. Received: {classes}.")
    names = {name for _, name in found}
    if wanted is None and not names <= set(NINE_EMOTIONS):
        trained = {name for folder, name in found if folder.split in ("", "train")}
        if trained and names != trained:
            raise ValueError(
                f"Expected only classes that are in train ({sorted(trained)}) in {root}. "
                f"Received in valid or test: {sorted(names - trained)}."
            )
        wanted = EmotionSet(tuple(sorted(names)))
    wanted = wanted or NINE_EMOTIONS
    unknown = sorted({folder.name for folder, name in found if name not in wanted})
    if unknown:
        raise ValueError(
            f"Expected class folders named after one of {list(wanted)} in {root}. "
            f"Received: {unknown}. Rename them, or say what they are: --classes NAME=CLASS."
        )
    say_classes(meant, classes)
    rows = [(path, name, folder.split) for folder, name in found for path in folder.paths]
    paths, names_of_emotions, splits = zip(*rows, strict=True)
    names = [path.relative_to(root).as_posix() for path in paths]
    table = table_of_files(names, paths, names_of_emotions, wanted, splits=splits)
    named = [(persons or {}).get(name, "") for name in names]
    return replace(table, table=table.table.assign(person=named)) if any(named) else table


def list_as_written(root: str | Path) -> ImageTable:
    """List class folders with folder names as classes, for images that are written again."""
    names = {folder.name for folder in find_class_folders(root)}
    return list_class_folders(root, emotions=sorted(names))


def find_class_folders(root: str | Path) -> list[ClassFolder]:
    """List the folders that hold images, with the split and the class named by their paths.

    The class is the one folder on the path whose name is an emotion in any wording; if none or
    several are, the first that is not common to all paths.

    Raises:
        FileNotFoundError, NotADirectoryError: If there is no such folder.
        ValueError: If there are none, a class is empty, or splits and classes are side by side.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"Expected class folders in {str(root)!r}. Nothing is there.")
    if not root.is_dir():
        raise NotADirectoryError(f"Expected a folder of class folders. Received a file: {root}.")
    leaves = [leaf for leaf in _leaves(root, root) if leaf[0]]
    if not any(_class_parts(parts) for parts, _ in leaves):
        raise ValueError(
            f"Expected class folders (root/<emotion>/*.jpg, with or without train/, val/, test/ "
            f"above) in {root}. There are none."
        )
    empty = [str(Path(root, *parts)) for parts, paths in leaves if not paths]
    if empty:
        raise ValueError(
            f"Expected images in each class folder. There are none in {', '.join(empty)}. Add "
            "some or remove the folder."
        )
    _check_parts(root, [parts for parts, _ in leaves])
    leaves = [(parts, paths) for parts, paths in leaves if _class_parts(parts)]
    ways = [_class_parts(parts) for parts, _ in leaves]
    shared = 0  # leading parts common to all paths; one of each remains
    while min(map(len, ways)) > shared + 1 and len({way[shared] for way in ways}) == 1:
        shared += 1
    found = []
    for (parts, paths), way in zip(leaves, ways, strict=True):
        said = [part for part in way if own_word(part) in NINE_EMOTIONS]
        name = said[0] if len(said) == 1 else way[min(shared, len(way) - 1)]
        found.append(ClassFolder(_split_of(parts), name, tuple(paths)))
    order = ["", "train", *TAKEN_SIDES]
    return sorted(found, key=lambda each: (order.index(each.split), each.name))


@any_name_in_tables()
def write_class_folders(
    table: ImageTable, root: str | Path, *, per_class: int | None = None, seed: int = 0
) -> Path:
    """Write images as class folders with a `manifest.csv`, whole or not at all.

    Args:
        table: Any images. With splits, they go to `root/train|val|test/<emotion>/<name>.png`;
            without, to `root/<emotion>/<name>.png`. Images in one folder whose names differ only
            in suffix, case or parent folders get a number.
        root: A new or empty folder.
        per_class: Maximum number of images of each class in each split, chosen by `seed`.
        seed: See `per_class`.

    Returns:
        `root`.

    Raises:
        FileExistsError: If `root` is not empty.
        ValueError: If there is nothing to write, an image cannot be read, or only some have a
            split.
        OSError: If it cannot be written; nothing is left behind.
    """
    from tqdm import tqdm

    splits = set(table.table["split"])
    if not len(table) or ("" in splits and len(splits) > 1):
        raise ValueError(
            "Expected images that all have a split, or none has. Received: "
            f"{len(table)} images with the splits {sorted(splits)}."
        )
    chosen = table if per_class is None else sample_per_class(table, per_class, seed=seed)
    with new_folder(root) as partial:
        rows = []
        for row, place in enumerate(tqdm(_places(chosen), "images", len(chosen), **PROGRESS)):
            write_image(partial / place, chosen.image(row))
            facts = chosen.table.iloc[row]
            rows.append((place.as_posix(), facts["split"], facts["emotion"], facts["name"]))
        manifest = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))
        carried = columns_to_carry(chosen.table["path"])
        write_table(partial / MANIFEST, manifest.assign(**carried))
    return Path(root)


def _tell_of_others(root: Path, folders: Sequence[ClassFolder]) -> None:
    """Warn of images that are in no class folder, as directly in `root` or `root/train`."""
    found, own = find_images(root), {path for folder in folders for path in folder.paths}
    named = zip(found.names, found.paths, strict=True)
    others = [name_as_text(name) for name, path in named if path not in own]
    if others:
        logger.warning(
            "%s: %s in no class folder and left out, such as %r",
            *(root, "1 image is" if len(others) == 1 else f"{len(others)} images are", others[0]),
        )


def _leaves(
    folder: Path, root: Path, above: tuple[Path, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[Path]]]:
    """Yield each folder with images, or without subfolders, as the parts of its path.

    A link that leads back to a folder `above` is left out: its images are those of that folder.
    """
    above = (*above, folder.resolve())
    below = sorted(
        (path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."),
        key=lambda path: path.name,
    )
    below = [
        path
        for path in below
        if path.name.casefold() not in _NOT_DATA and path.resolve() not in above
    ]
    paths = list_images(folder)
    if paths or not below:
        yield folder.relative_to(root).parts, paths
    for path in below:
        yield from _leaves(path, root, above)


def split_word(word: str) -> str:
    """Return the split that a word names (`Test`, `train_set`, `PublicTest images`), or ""."""
    letters = "".join(filter(str.isalpha, word.casefold()))
    names = "|".join(SPLIT_OF_FOLDER)
    found = re.fullmatch(f"{_BESIDE_SPLIT}({names}){_BESIDE_SPLIT}", letters)
    return SPLIT_OF_FOLDER[found[1]] if found else ""


def _split_of(parts: Sequence[str]) -> str:
    return next(filter(None, map(split_word, parts)), "")


def _class_parts(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for part in parts if not split_word(part))


def _check_parts(root: Path, leaves: list[tuple[str, ...]]) -> None:
    """Refuse class folders next to split folders, and two folders for one split."""
    splits = [_split_of(parts) for parts in leaves]
    if not any(splits):
        return
    named = (next(filter(split_word, parts), "") for parts in leaves)
    folders = {(split_word(part), part) for part in named if part}
    if not all(splits):
        others = sorted({parts[0] for parts in leaves if not _split_of(parts)})
        raise ValueError(
            f"Expected in {root} either class folders or split folders {list(SPLIT_OF_FOLDER)}. "
            f"Received both: {others} beside {sorted(name for _, name in folders)}."
        )
    if len({split for split, _ in folders}) < len(folders):
        names = sorted(name for _, name in folders)
        raise ValueError(f"Expected each split once in {root}. Received: {names}.")


def _places(table: ImageTable) -> Iterator[Path]:
    """Yield each image's destination, relative to the root; no two differ in case alone."""
    taken: set[str] = set()
    columns = table.table[["name", "emotion", "split"]].itertuples(index=False)
    for name, emotion, split in columns:
        folder, stem, number = Path(FOLDER_OF_SPLIT[split]) / emotion, Path(name).stem, 1
        place = folder / f"{stem}.png"
        while place.as_posix().casefold() in taken:
            number += 1
            place = folder / f"{stem}_{number}.png"
        taken.add(place.as_posix().casefold())
        yield place
