"""The sample submission: which ids Kaggle asks for, in which order, and which image each means.

Samples come from many sources: with `,`, `;`, tabs or `|` between cells, from Excel, with or
without the images' suffixes, with folders before the names, with `\\` in paths, with capital
letters where the files have lower-case ones, and with letters composed otherwise, as macOS does. An
id keeps its spelling in the submission, as Kaggle compares it with its own, but not the folders
above the one that holds the images.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from builder_tools.csv_files import read_any_csv
from builder_tools.media import IMAGE_SUFFIXES

ID_COLUMN = "image_path"
_SHOWN = 10


def read_sample(path: str | Path) -> list[PurePosixPath]:
    """Return the ids of a sample submission as paths, in its order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a sample submission; says what was expected and found.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a sample submission at {str(path)!r}. Nothing there.")
    names, *rows = read_any_csv(path) or [[]]
    if not names or names[0].strip().casefold() != ID_COLUMN:
        raise ValueError(f"Expected the first column {ID_COLUMN!r} in {path}. Received: {names}.")
    ids = []
    for number, row in enumerate(rows, start=2):
        if any(cell.strip() for cell in row):
            name = PurePosixPath(row[0].strip().replace("\\", "/"))
            if not name.name:
                raise ValueError(f"Expected an image's name in row {number} of {path}: {row}.")
            ids.append(PurePosixPath(*(part for part in name.parts if part != "/")))
    if not ids:
        raise ValueError(f"Expected rows in {path}. There are none.")
    twice = [str(name) for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f"Expected each image once in {path}. Twice or more: {twice[:_SHOWN]}.")
    return ids


def spelt_as(ids: Sequence[PurePosixPath], given: Sequence[str]) -> list[str]:
    """Return names spelt like the ids that they mean, despite case, suffixes or folders.

    Args:
        ids: From `read_sample`.
        given: Names, with or without folders; those that mean no id are returned unchanged.
    """
    whole, ends = _index([str(name) for name in ids], _without_suffix)
    paths = (PurePosixPath(name.replace("\\", "/")) for name in given)
    return [
        _lookup(_without_suffix(path), whole, ends) or name
        for path, name in zip(paths, given, strict=True)
    ]


def match_ids(ids: Sequence[PurePosixPath], names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return for each id the name of its row and the name of its image, or None without one.

    An id means the image whose path ends with it, or whose whole path is at its end; first in the
    same spelling, then in any case and Unicode form, then without suffixes. If several match, it
    means none, as it is ambiguous.

    Args:
        ids: From `read_sample`.
        names: Names of the images relative to the folder, with `/`.

    Raises:
        ValueError: If no id means an image, or two mean the same one.
    """
    spellings = ((_as_is, _as_is), (_in_small, _in_small), (_in_small, _without_suffix))
    indexes = [(of_ids, *_index(names, of_names)) for of_ids, of_names in spellings]
    matched = []
    for name in ids:
        meant = (_lookup(spell(name), whole, ends) for spell, whole, ends in indexes)
        image = next(filter(None, meant), None)
        depth = len(PurePosixPath(image).parts) if image else 1
        matched.append((str(PurePosixPath(*name.parts[-depth:])), image))
    images = [image for _, image in matched if image]
    if not images:
        raise ValueError(
            "Expected a sample of these images. None of its ids means one: it asks for "
            f"{[str(name) for name in ids[:3]]}, the folder has {list(names[:3])}. Is it the "
            "right folder?"
        )
    for what, found in (("images", images), ("names", [row for row, _ in matched])):
        twice = [str(name) for name, count in Counter(found).items() if count > 1]
        if twice:
            raise ValueError(
                f"Expected ids that mean different {what}. Several mean {twice[:_SHOWN]}."
            )
    return matched


def _as_is(path: PurePosixPath) -> PurePosixPath:
    return path


def _in_small(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(unicodedata.normalize("NFC", str(path)).casefold())


def _without_suffix(path: PurePosixPath) -> PurePosixPath:
    return _in_small(path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path)


def _index(names: Sequence[str], spelling: Callable) -> tuple[dict, dict]:
    """Return the images by their whole path, and by every trailing part of it."""
    whole, ends = defaultdict(set), defaultdict(set)
    for name in names:
        path = spelling(PurePosixPath(name))
        whole[path].add(name)
        for start in range(len(path.parts)):
            ends[PurePosixPath(*path.parts[start:])].add(name)
    return whole, ends


def _lookup(name: PurePosixPath, whole: dict, ends: dict) -> str | None:
    for start in range(len(name.parts)):
        found = whole.get(PurePosixPath(*name.parts[start:]), ())
        if len(found) == 1:
            return next(iter(found))
    found = ends.get(name, ())
    return next(iter(found)) if len(found) == 1 else None
