"""Images made from others by balancing, as recorded in the `manifest.csv` above them.

A made image with its parents on the other side of a split would inflate every score. So whatever
writes images made by balancing again, also records their origin, no set with such images is split,
and folds of training images keep them with what they were made of (`kin_of`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.csv_files import any_name_in_tables, read_any_csv
from builder_tools.fields import encoding_of

MANIFEST = "manifest.csv"
ORIGIN_COLUMNS = ("origin", "parent", "neighbour", "weight")
"""Columns of a manifest that say what an image was made of."""
ORIGINAL, UNKNOWN = "original", "unknown"

_FILE_COLUMNS = ("file", "out_path")
"""Columns that name the image, relative to the manifest: in `balance`, in `clean`."""
_SOURCE_COLUMNS = ("image_path", "source")
"""Columns that name the image it was written from: in `clean`, in `write_class_folders`."""
_SHOWN = 3


@any_name_in_tables()
def origins_of(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Return what images were made of, according to the nearest manifest that says so.

    Args:
        paths: Image files; "" for images in memory.

    Returns:
        One row per image, with the columns `ORIGIN_COLUMNS` as text. `origin` is "" where no
        manifest in a folder above lists made images, and `unknown` where one does, but not this
        image.

    Raises:
        ValueError: If such a manifest is not a csv.
    """
    rows = [facts[: len(ORIGIN_COLUMNS)] for facts in _facts_of(paths)]
    return pd.DataFrame(rows, columns=list(ORIGIN_COLUMNS), dtype=object)


def made_of(origins: pd.DataFrame) -> np.ndarray:
    """Return which images of `origins_of` were, or may have been, made from others, `(n,)` bool."""
    return ~origins["origin"].isin(("", ORIGINAL)).to_numpy()


@any_name_in_tables()
def kin_of(paths: Sequence[str | Path], persons: Sequence[str] | None = None) -> np.ndarray | None:
    """Number the groups that images come from, for folds that do not divide them.

    Args:
        paths: Image files; "" for images in memory.
        persons: Who is in each; "" where unknown.

    Returns:
        `(n, m)` int64: an original's own group, shared by all images of its person; for an image
        made from others, the groups of all that it was made of, the main one first. Rows are
        filled up with their first group. None if every image is on its own.

    Raises:
        ValueError: If the manifest does not say what an image was made of.
    """
    facts = _facts_of(paths)
    if unknown := [str(path) for path, each in zip(paths, facts, strict=True) if UNKNOWN in each]:
        raise ValueError(
            f"Expected the {MANIFEST} above images made by balancing to tell what each was made "
            f"of, as folds must not divide them. Received: {len(unknown)} of {len(paths)} that it "
            f"does not tell of, such as {unknown[0]}. Balance the originals again with these."
        )
    made_from = {}
    for _, parent, neighbour, _, own, manifest in facts:
        made_from[manifest, own] = [(manifest, name) for name in (parent, neighbour) if name]

    def roots(key: tuple, above: tuple = ()) -> list[tuple]:
        known = [each for each in made_from.get(key, ()) if each not in (key, *above)]
        found = [root for each in known for root in roots(each, (*above, key))]
        return list(dict.fromkeys(found)) or [key]

    origins = [
        roots((manifest, own)) if manifest else [("", row)]
        for row, (*_, own, manifest) in enumerate(facts)
    ]
    person_of = {
        roots_of[0]: ("person", person)
        for roots_of, person in zip(origins, persons or [""] * len(facts), strict=True)
        if person and len(roots_of) == 1
    }
    numbers: dict[tuple, int] = {}
    groups = [
        [numbers.setdefault(person_of.get(root, root), len(numbers)) for root in roots_of]
        for roots_of in origins
    ]
    if len(numbers) == len(groups) == sum(map(len, groups)):
        return None
    most = max(map(len, groups))
    return np.array([[*own, *own[:1] * (most - len(own))] for own in groups], np.int64)


def columns_to_carry(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Return the columns of `origins_of` for another manifest; none if no image was made."""
    origins = origins_of(paths)
    return origins if made_of(origins).any() else origins[[]]


def check_none_made(names: Sequence[str], paths: Sequence[str | Path]) -> None:
    """Refuse images that must not be split.

    Args:
        names: Names of the images, for the error.
        paths: Their files; "" for images in memory.

    Raises:
        ValueError: If some were made from others.
    """
    made = np.flatnonzero(made_of(origins_of(paths)))
    if len(made):
        shown = ", ".join(names[row] for row in made[:_SHOWN])
        raise ValueError(
            "Expected no images made from others among those to be split, since each must stay "
            f"with what it was made of. Received: {len(made)} of {len(paths)} from a balanced "
            f"folder, such as {shown}. Split first (builder-tools data folders folders --source "
            "RAW --out SPLIT), then balance."
        )


def _facts_of(paths: Sequence[str | Path]) -> list[tuple[str, ...]]:
    """Return each image's origin columns, its name among those of parents, and its manifest."""
    read = cache(_read_origins)
    above: dict[str, tuple[dict[str, tuple[str, ...]], Path, Path] | None] = {}
    rows = []
    for path in map(os.fspath, paths):
        folder, name = os.path.split(path)
        if path and folder not in above:
            above[folder] = _nearest(Path(folder), read)
        found = above[folder] if path else None
        if found is None:
            rows.append(("",) * (len(ORIGIN_COLUMNS) + 2))
        else:
            origins, below, manifest = found
            facts = origins.get((below / name).as_posix(), (UNKNOWN, "", "", "", ""))
            rows.append((*facts, str(manifest)))
    return rows


def _nearest(folder: Path, read) -> tuple[dict[str, tuple[str, ...]], Path, Path] | None:
    """Return the origins in the nearest manifest above, the folder's path below it, and it."""
    for place in dict.fromkeys((Path(os.path.abspath(folder)), folder.resolve())):
        for parent in (place, *place.parents):
            if origins := read(parent / MANIFEST):
                return origins, place.relative_to(parent), parent / MANIFEST
    return None


def _read_origins(manifest: Path) -> dict[str, tuple[str, ...]]:
    """Return file -> origin, ..., its name among parents; empty if no made images are listed."""
    if not manifest.is_file():
        return {}
    with manifest.open(encoding=encoding_of(manifest), errors="replace") as lines:
        if ORIGIN_COLUMNS[0] not in lines.readline(65536):  # somebody else's, and maybe huge
            return {}
    header, *rows = read_any_csv(manifest)
    named = next((column for column in _FILE_COLUMNS if column in header), None)
    if named is None or ORIGIN_COLUMNS[0] not in header:
        return {}
    entries = [dict(zip(header, row, strict=False)) for row in rows]
    source = next((column for column in _SOURCE_COLUMNS if column in header), named)
    found = {
        entry.get(named, ""): tuple(entry.get(column, "") for column in (*ORIGIN_COLUMNS, source))
        for entry in entries
    }
    return found if any(facts[0] not in ("", ORIGINAL) for facts in found.values()) else {}
