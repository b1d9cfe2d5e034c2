"""Tables of labels: a csv that lists images, or holds their pixels, with the emotion of each.

Columns are found by their usual names, in any case, or by those the caller gives. The format of
FER2013 (`emotion,pixels,Usage`, emotions 0...6) is also supported.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from builder_tools.csv_files import read_sheet_columns, read_table
from builder_tools.datasets.class_folders import SPLIT_OF_FOLDER, split_word
from builder_tools.datasets.class_words import as_written, class_of, say_classes
from builder_tools.datasets.ferplus import parse_pixels
from builder_tools.datasets.table import IMAGE_COLUMNS, ImageTable, table_of_files
from builder_tools.emotions import FER2013_TO_EMOTION, NINE_EMOTIONS, EmotionSet
from builder_tools.media import IMAGE_SUFFIXES, find_images

COLUMN_NAMES = {
    "path": (
        *("image_path", "path", "file", "filename", "file_name", "filepath", "file_path", "pth"),
        *("image", "img", "image_name", "img_path", "picture", "name"),
    ),
    "emotion": ("emotion", "label", "labels", "class", "expression", "emotion_label", "target"),
    "split": ("split", "usage", "subset", "set", "partition"),
    "person": ("person", "person_id", "subject", "subject_id"),
}
"""Usual names of each column; the first one present counts."""
PIXELS = "pixels"
TABLE_SUFFIXES = (".csv", ".tsv")
NO_TABLES = frozenset({"manifest.csv", "sample_submission.csv", "submission.csv"})
_SHOWN = 5
_THERE = "an image that is there (at its path, or as the only one called so)"
_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?")

logger = logging.getLogger(__name__)


def find_label_table(folder: Path, columns: Mapping[str, str] | None = None) -> Path | None:
    """Return the one table of labels directly in a folder, or None.

    Raises:
        ValueError: If there are several; lists them.
    """
    found = []
    for path, head in _tables_in(folder):
        with suppress(ValueError):
            _columns_of(head, columns or {}, path)
            found.append(path)
    if len(found) > 1:
        raise ValueError(
            f"Expected one table of labels in {folder}. Received: {[p.name for p in found]}. Name "
            "the one you mean as the source."
        )
    return found[0] if found else None


def list_label_table(
    file: str | Path,
    *,
    classes: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> ImageTable:
    """Read a table of labels; splits are taken as they are ("" if there are none).

    Args:
        file: A csv; images are looked for next to it and in subfolders.
        classes: See `load_class_folders`.
        columns: Names of the columns `path`, `emotion`, `split` and `person` in the file. The
            table has `person` if anybody is named there.

    Raises:
        FileNotFoundError: If the file or an image it lists does not exist; names the rows.
        ValueError: If a column is missing, a label is empty or a number without a meaning, an
            image appears twice, or pixels are malformed; names the rows, as numbered in an editor.
    """
    file, classes = Path(file), classes or {}
    rows = _read(file)
    places = _columns_of(rows, columns or {}, file)
    words = rows[places["emotion"]].str.strip()
    if PIXELS in places:
        numbers = {str(number): name for number, name in enumerate(FER2013_TO_EMOTION)}
        words = words.map(lambda word: numbers.get(word, word))
    numeric = sorted({w for w in words if _NUMBER.fullmatch(w) and as_written(w, classes) == w})
    if numeric:
        sign = "=" if numeric[0].startswith("-") else " "  # or it would be taken for an option
        raise ValueError(
            f"Expected words in the column {places['emotion']!r} of {file}. Received the numbers "
            f"{numeric}: say what they mean, --classes{sign}{numeric[0]}=anger ..."
        )
    _refuse_rows(file, words == "", "a label", rows[places["emotion"]])
    named = [class_of(word, None, classes) for word in words]
    if not {name for name in named if name} <= set(NINE_EMOTIONS):
        named = [as_written(word, classes) for word in words]
    say_classes(dict(zip(words, named, strict=True)), classes)
    kept = np.array([bool(name) for name in named])
    emotions = [name for name in named if name]
    own = (
        NINE_EMOTIONS if set(emotions) <= set(NINE_EMOTIONS) else EmotionSet(sorted(set(emotions)))
    )
    splits = _splits_of(file, rows, places)[kept]
    persons = {}
    if "person" in places and any(named := rows[places["person"]].str.strip()[kept]):
        persons["person"] = named
    if PIXELS in places:
        images = [parse_pixels(text, file, row - 2) for row, text in rows[places[PIXELS]].items()]
        return _with(_in_memory(np.stack(images)[kept], emotions, own, splits), persons)
    names, paths = _images_of(file, rows[places["path"]])
    names = [name for name, keep in zip(names, kept, strict=True) if keep]
    paths = [path for path, keep in zip(paths, kept, strict=True) if keep]
    return _with(table_of_files(names, paths, emotions, own, splits=splits.tolist()), persons)


def persons_beside(folder: Path) -> dict[str, str]:
    """Return image -> person from the table directly in a folder that names them; empty if none.

    Images are found as those of a table of labels; those that are not there are warned of.

    Returns:
        Path below the folder with "/" -> person, "" where unknown.

    Raises:
        ValueError: If several tables do, or an image appears twice; names the tables or rows.
    """
    tables = {}
    for file, head in _tables_in(folder) if folder.is_dir() else ():
        places = _usual_columns(head)
        if {"path", "person"} <= places.keys() and not _lists_people(file, places):
            tables[file] = places
    if not tables:
        return {}
    if len(tables) > 1:
        raise ValueError(
            f"Expected one table in {folder} that names the people in the images. Received: "
            f"{[file.name for file in tables]}. Put the others elsewhere."
        )
    ((file, places),) = tables.items()
    rows = _read(file)
    texts = rows[places["path"]]
    paths = _places_of(folder, _names_of(file, texts))
    _refuse_shared(file, paths, texts)
    absent = [not path.is_file() or not _is_below(path, folder) for path in paths]
    if any(absent):
        shown = texts.iloc[absent.index(True)]
        logger.warning(
            "%s: %d of the %d images in which it names people are not in the folder, or several "
            "are called so, such as %r",
            *(file, sum(absent), len(rows), shown),
        )
    who = zip(paths, rows[places["person"]].str.strip(), absent, strict=True)
    return {path.relative_to(folder).as_posix(): name for path, name, gone in who if not gone}


def _lists_people(file: Path, places: Mapping[str, str]) -> bool:
    """Return whether the names in a table are those of people, not of images."""
    if places["path"].casefold() != "name":
        return False
    names = _read(file)[places["path"]]
    return not any(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in names)


def _is_below(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts


def _tables_in(folder: Path) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Yield the tables directly in a folder, each with its columns, that are not made here."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in TABLE_SUFFIXES and path.name.casefold() not in NO_TABLES:
            with suppress(ValueError, OSError):
                yield path, pd.DataFrame(columns=read_sheet_columns(path))


def _with(images: ImageTable, columns: Mapping[str, pd.Series]) -> ImageTable:
    """Return the images with additional columns, which have one row per image."""
    more = {name: values.to_numpy(object) for name, values in columns.items()}
    return replace(images, table=images.table.assign(**more))


def _read(file: Path) -> pd.DataFrame:
    """Return the rows of a table as text, "" if empty, numbered as in an editor."""
    if not file.is_file():
        raise FileNotFoundError(f"Expected a table of labels. Nothing is at {str(file)!r}.")
    rows = read_table(file, "strict", named_rows=True)
    if rows.empty:
        raise ValueError(f"Expected a row for each image in {file}. Received: none.")
    return rows


def _columns_of(rows: pd.DataFrame, asked: Mapping[str, str], file: Path) -> dict[str, str]:
    """Return the names of the columns in the file, by what they hold."""
    unknown = sorted(set(asked) - set(COLUMN_NAMES))
    absent = sorted(name for name in asked.values() if name not in rows)
    if unknown or absent:
        raise ValueError(
            f"Expected columns as {list(COLUMN_NAMES)}=NAME with names among {list(rows)} in "
            f"{file}. Received: {dict(asked)}."
        )
    found = _usual_columns(rows) | dict(asked)
    if "path" in asked:
        found.pop(PIXELS, None)
    if "emotion" not in found or not {"path", PIXELS} & set(found):
        raise ValueError(
            f"Expected in {file} a column of images ({', '.join(COLUMN_NAMES['path'])}, or "
            f"pixels) and one of labels ({', '.join(COLUMN_NAMES['emotion'])}). Received: "
            f"{list(rows)}. Say which they are: --columns path=NAME emotion=NAME."
        )
    return found


def _usual_columns(rows: pd.DataFrame) -> dict[str, str]:
    """Return the names of the columns that are called as usual, by what they hold."""
    by_name = {str(name).casefold().replace(" ", "_"): str(name) for name in rows}
    kinds = {**COLUMN_NAMES, PIXELS: (PIXELS,)}
    found = {
        what: next((by_name[name] for name in names if name in by_name), None)
        for what, names in kinds.items()
    }
    return {what: name for what, name in found.items() if name}


def _splits_of(file: Path, rows: pd.DataFrame, places: Mapping[str, str]) -> np.ndarray:
    if "split" not in places:
        return np.full(len(rows), "", object)
    words = rows[places["split"]].str.strip()
    if not any(words):
        return words.to_numpy(object)
    known = words.map(split_word)
    _refuse_rows(file, known == "", f"a split of {sorted(SPLIT_OF_FOLDER)}", words)
    return known.to_numpy(object)


def _names_of(file: Path, texts: pd.Series) -> list[str]:
    """Return the images' paths with "/"; refuse rows with a path of an earlier row."""
    names = [PurePosixPath(text.strip().replace("\\", "/")).as_posix() for text in texts]
    _refuse_rows(file, pd.Series(names).duplicated(), "each image once", texts)
    return names


def _images_of(file: Path, texts: pd.Series) -> tuple[list[str], list[Path]]:
    """Find each image at its path from the table's folder, else by its name (`_places_of`)."""
    folder, names = file.parent, _names_of(file, texts)
    outside = [PurePosixPath(n).is_absolute() or ".." in PurePosixPath(n).parts for n in names]
    _refuse_rows(file, pd.Series(outside), "a path below the table's folder", texts)
    paths = _places_of(folder, names)
    absent = [not path.is_file() for path in paths]
    if any(absent):
        raise FileNotFoundError(_wrong_rows(file, absent, _THERE, texts))
    _refuse_shared(file, paths, texts)
    return names, paths


def _places_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the path from a folder of each image.

    One that is not there is found by its name, if only one is called so below the folder that it
    names, as far as there is such a folder: `train/1.png` is not `test/1.png`.
    """
    paths = [folder / name for name in names]
    absent = [row for row, path in enumerate(paths) if not path.is_file()]
    same_name: dict[str, list[tuple[tuple[str, ...], Path]]] = {}
    for path in find_images(folder).paths if absent else ():
        parts = _parts(path.relative_to(folder).as_posix())
        same_name.setdefault(parts[-1], []).append((parts, path))
    folders = {
        own[:end] for each in same_name.values() for own, _ in each for end in range(len(own))
    }
    for row in absent:
        *above, name = _parts(names[row])
        ends = [(start, end) for start in range(len(above)) for end in range(len(above), start, -1)]
        parts = (tuple(above[start:end]) for start, end in ends)
        known = (p for p in parts if p in folders or folder.joinpath(*p).is_dir())
        below = next(known, ())
        found = [one for one in same_name.get(name, []) if one[0][: len(below)] == below]
        found = [one for one in found if one[0] == (*above, name)] or found
        if len(found) == 1:
            paths[row] = found[0][1]
    return paths


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path, however its letters are composed: macOS does it differently."""
    return PurePosixPath(unicodedata.normalize("NFC", name)).parts


def _refuse_shared(file: Path, paths: Sequence[Path], texts: pd.Series) -> None:
    shared = pd.Series(paths).duplicated(keep=False)
    _refuse_rows(file, shared, "an image, each of its own (found by name, not path),", texts)


def _in_memory(
    images: np.ndarray, names: Sequence[str], emotions: EmotionSet, splits: np.ndarray
) -> ImageTable:
    columns = {
        "name": [f"{row:07d}.png" for row in range(len(images))],
        "path": "",
        "index": np.arange(len(images)),
        "label": [emotions.label(name) for name in names],
        "emotion": list(names),
        "split": splits,
    }
    return ImageTable(pd.DataFrame(columns)[list(IMAGE_COLUMNS)], emotions, images)


def _refuse_rows(file: Path, wrong: pd.Series, expected: str, texts: pd.Series) -> None:
    if wrong.any():
        raise ValueError(_wrong_rows(file, wrong, expected, texts))


def _wrong_rows(file: Path, wrong: Sequence[bool], expected: str, texts: pd.Series) -> str:
    numbers = np.flatnonzero(np.asarray(wrong, bool))
    rows = texts.iloc[numbers[:_SHOWN]].items()
    shown = "; ".join(f"row {number}: {text!r}" for number, text in rows)
    more = f"; and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"Expected {expected} in each row of {file}. Received: {shown}{more}."
