"""Any labelled folder: class folders, a table of labels next to images, or a zip of either."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from builder_tools.datasets.class_folders import (
    find_class_folders,
    list_class_folders,
    load_class_folders,
)
from builder_tools.datasets.duplicates import duplicate_groups
from builder_tools.datasets.label_tables import (
    TABLE_SUFFIXES,
    find_label_table,
    list_label_table,
    persons_beside,
)
from builder_tools.datasets.splits import TAKEN_SIDES, with_splits
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import NINE_EMOTIONS, own_word
from builder_tools.media.zips import DAMAGED_ZIP, zip_entry_name

_SHOWN = 10


def list_labelled(
    source: str | Path,
    *,
    classes: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> ImageTable:
    """Read labelled images, with the splits they have ("" if they have none).

    Args:
        source: Class folders; a folder with a table of labels (`label_tables`), if no folder name
            is an emotion or `columns` are given; the table itself; or a zip of these, which is
            unpacked until the process ends. Who is in each image is also read from a table
            directly in the folder of class folders.
        classes: Word -> class, overriding the word's usual meaning; "" leaves a class out.
        columns: Names of the columns `path`, `emotion`, `split` and `person` in a table.

    Raises:
        FileNotFoundError: If nothing is there, or an image is missing.
        ValueError: If it is none of these, or malformed.
    """
    place = labelled_place(source, columns)
    if place.is_dir():
        return list_class_folders(place, classes=classes, persons=persons_beside(place))
    return list_label_table(place, classes=classes, columns=columns)


def load_labelled(
    source: str | Path,
    *,
    classes: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    valid: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> ImageTable:
    """Read labelled images as `list_labelled` does, filling every split (`with_splits`).

    Near-duplicates are kept on one side, and so are all images of a person, if a table says who is
    in them.
    """
    place = labelled_place(source, columns)
    if place.is_dir():
        options = {"persons": persons_beside(place), "valid": valid, "test": test, "seed": seed}
        return load_class_folders(place, classes=classes, **options)
    table = list_label_table(place, classes=classes, columns=columns)
    if set(TAKEN_SIDES) <= set(table.table["split"]):
        return table
    return with_splits(table, valid=valid, test=test, seed=seed, groups=duplicate_groups)


def labelled_place(source: str | Path, columns: Mapping[str, str] | None = None) -> Path:
    """Return the folder of class folders, or the table of labels, that a source refers to."""
    source = Path(source)
    if source.is_file():
        if source.suffix.lower() in TABLE_SUFFIXES:
            return source
        if zipfile.is_zipfile(source):
            return labelled_place(_unpacked(source.resolve(), source.stat().st_mtime_ns), columns)
        raise ValueError(
            f"Expected a folder of images, a zip or a csv. Received: {source}, which is none."
        )
    if not source.exists():
        raise FileNotFoundError(f"Expected labelled images in {str(source)!r}. Nothing is there.")
    table = find_label_table(source, columns)
    if table is None or columns:
        return table or source
    try:
        folders = find_class_folders(source)
    except ValueError:
        return table
    says_emotions = any(own_word(each.name) in NINE_EMOTIONS for each in folders)
    return source if says_emotions else table


_kept: list[TemporaryDirectory] = []


@lru_cache(maxsize=8)
def _unpacked(source: Path, changed_ns: int) -> Path:
    """Unpack a zip, once per process, into a folder that is removed when the process ends."""
    folder = TemporaryDirectory(prefix="builder-tools-")
    place = Path(folder.name, source.name)  # so that errors name the zip
    place.mkdir()
    try:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(place, _members(archive, source))
    except (*DAMAGED_ZIP, OSError) as error:
        folder.cleanup()
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"Expected a whole zip without a password: {source}. {error}.") from error
    _kept.append(folder)
    return place


def _members(archive: zipfile.ZipFile, source: Path) -> list[zipfile.ZipInfo]:
    """Return the members of a zip under their true names; refuse two files in one place."""
    members, places = archive.infolist(), Counter()
    for member in members:
        member.filename = zip_entry_name(member).replace("\\", "/")
        if not member.is_dir():  # unpacking leaves out these parts, too
            parts = (part for part in member.filename.split("/") if part not in ("", ".", ".."))
            places["/".join(parts)] += 1
    twice = [name for name, count in places.items() if count > 1]
    if twice:
        raise ValueError(
            f"Expected files of different names in {source}. Twice or more: {twice[:_SHOWN]}."
        )
    return members
