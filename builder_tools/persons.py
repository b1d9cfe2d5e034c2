"""Who is in each image, according to its folder, its name or a table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from builder_tools.csv_files import read_sheet
from builder_tools.emotions import own_word

FOLDER = "folder"
NAME_COLUMNS = ("image_path", "path", "file", "image", "name")
"""Columns of a table that may name the image; the first one present is used."""


@dataclass(frozen=True)
class Persons:
    """The person in each of several images, in their order.

    Args:
        names: Name of the person; "" where unknown.
        is_neutral: Which images are known to be neutral; None if this is not known at all.
    """

    names: tuple[str, ...]
    is_neutral: tuple[bool, ...] | None = None


def persons_of(
    images: Sequence[str],
    how: str,
    neutral: str | None = None,
    *,
    called: Sequence[str] | None = None,
) -> Persons:
    """Return who is in each image.

    Args:
        images: Names of the images, with `/` between folders.
        how: `folder`, where each folder is a person and images outside of folders belong to
            nobody; a CSV file with the columns `person` and `image_path` (or `path`, `file`,
            `image`, `name`) and optionally `emotion`, which tells what is neutral; or else a
            regular expression with a group.
        neutral: A regular expression: images whose names it matches anywhere are neutral.
        called: What else each image is called, as in a sample submission; a table may name it so.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If `how` is none of these, or no image shows a known person or is neutral.
    """
    is_neutral = None
    if how == FOLDER:
        folders = [PurePosixPath(image).parent.as_posix() for image in images]
        names = ["" if folder == "." else folder for folder in folders]
    elif Path(how).suffix.lower() == ".csv":
        names, is_neutral = _persons_in_table(images, Path(how), called or images)
    else:
        names = persons_by_pattern(images, how)
    if not any(names):
        raise ValueError(
            f"Expected persons by {how!r}. Received: none for any of {len(images)} images. Give "
            "'folder', a csv with the columns person and image_path, or a regular expression with "
            "one group, such as '(\\w+)-[0-9]+'."
        )
    if neutral is not None:
        searched = compiled(neutral)
        is_neutral = [searched.search(image) is not None for image in images]
        if not any(is_neutral):
            raise ValueError(
                f"Expected neutral images by {neutral!r}. Received: none of {len(images)} images "
                "has such a name. Correct the pattern, or leave it out."
            )
    return Persons(tuple(names), None if is_neutral is None else tuple(is_neutral))


def persons_by_pattern(images: Sequence[str], pattern: str) -> list[str]:
    """Return the first group of a pattern in each image's name, "" where it does not match.

    Raises:
        ValueError: If it is not a regular expression, or has no group.
    """
    searched = compiled(pattern)
    if searched.groups < 1:
        raise ValueError(f"Expected a group in brackets in {pattern!r}. Received: none.")
    matches = [searched.search(image) for image in images]
    return [(match[1] or "") if match else "" for match in matches]


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a compiled regular expression.

    Raises:
        ValueError: If the pattern is not a regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"Expected a regular expression. Received: {pattern!r}: {error}."
        ) from error


def _persons_in_table(
    images: Sequence[str], path: Path, called: Sequence[str]
) -> tuple[list[str], list[bool] | None]:
    """Return the persons, and which images are neutral if the table has emotions."""
    if not path.is_file():
        raise FileNotFoundError(f"No table of persons at {str(path)!r}. Check the spelling.")
    sheet = read_sheet(path)
    header = [cell.lower() for cell in sheet.columns]
    names = next((column for column in NAME_COLUMNS if column in header), None)
    if names is None or "person" not in header:
        raise ValueError(
            f"Expected the columns person and one of {list(NAME_COLUMNS)} in {path}. "
            f"Received: {header}."
        )
    entries: dict[str, dict[str, str]] = {}
    for number, row in sheet.rows.items():
        entry = {names: "", "person": "", "emotion": ""}  # empty cells at the end may be missing
        entry |= zip(header, map(str.strip, row), strict=False)
        image = _key(entry[names].replace("\\", "/"))
        if any(entries.get(image, entry)[what] != entry[what] for what in ("person", "emotion")):
            raise ValueError(
                f"Expected one row for each image in {path}. Received in line {number}: "
                f"{entry[names]!r} again, with another person or emotion."
            )
        entries[image] = entry
    names_of = zip(map(_key, images), map(_key, called), strict=True)
    found = [entries.get(image, entries.get(name, {})) for image, name in names_of]
    persons = [entry.get("person", "") for entry in found]
    if "emotion" not in header:
        return persons, None
    return persons, [own_word(entry.get("emotion", "")) == "neutral" for entry in found]


def _key(image: str) -> str:
    """Return a name by which an image is found, however its letters are composed."""
    return PurePosixPath(unicodedata.normalize("NFC", image)).as_posix()
