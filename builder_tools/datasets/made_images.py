"""Images made from others by balancing, as recorded in the `manifest.csv` above them.

A made image with its parents on the other side of a split would inflate every score. So whatever
writes images made by balancing again, also records their origin, and no set with such images is
split.
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
    read = cache(_read_origins)
    above: dict[str, tuple[dict[str, tuple[str, ...]], Path] | None] = {}
    rows = []
    for path in map(os.fspath, paths):
        folder, name = os.path.split(path)
        if path and folder not in above:
            above[folder] = _nearest(Path(folder), read)
        found = above[folder] if path else None
        if found is None:
            rows.append(("",) * len(ORIGIN_COLUMNS))
        else:
            origins, below = found
            rows.append(origins.get((below / name).as_posix(), (UNKNOWN, "", "", "")))
    return pd.DataFrame(rows, columns=list(ORIGIN_COLUMNS), dtype=object)


def made_of(origins: pd.DataFrame) -> np.ndarray:
    """Return which images of `origins_of` were, or may have been, made from others, `(n,)` bool."""
    return ~origins["origin"].isin(("", ORIGINAL)).to_numpy()


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


def _nearest(folder: Path, read) -> tuple[dict[str, tuple[str, ...]], Path] | None:
    """Return the origins in the nearest manifest above, and the folder's path below it."""
    for place in dict.fromkeys((Path(os.path.abspath(folder)), folder.resolve())):
        for parent in (place, *place.parents):
            if origins := read(parent / MANIFEST):
                return origins, place.relative_to(parent)
    return None


def _read_origins(manifest: Path) -> dict[str, tuple[str, ...]]:
    """Return the file -> origin, ... of a manifest; empty if it lists no made images."""
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
    found = {
        entry.get(named, ""): tuple(entry.get(column, "") for column in ORIGIN_COLUMNS)
        for entry in entries
    }
    return found if any(facts[0] not in ("", ORIGINAL) for facts in found.values()) else {}
