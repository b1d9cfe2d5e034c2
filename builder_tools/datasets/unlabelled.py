"""Faces without labels: every image of a folder or a zip, for teachers to label."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from builder_tools.media import IMAGE_SUFFIXES, read_image, resize_square


def unlabelled_faces(places: Sequence[str], *, size_px: int, grey: bool) -> np.ndarray:
    """Read every image of some folders and zips, whatever it is called and labelled.

    Args:
        places: Folders (with all below them) or zips.
        size_px: Side of the faces; what is not square is squeezed.
        grey: Whether to read one channel.

    Returns:
        `(n, size, size)` or `(n, size, size, 3)` RGB uint8, in the order of places and names.

    Raises:
        FileNotFoundError: If a place is not there.
        ValueError: If a place holds no image, or one that cannot be read: says which.
    """
    faces = []
    for place in places:
        before = len(faces)
        for name, content in _image_files(Path(place)):
            try:
                image = read_image(content)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"Expected images in {place}. Received: {name}: {error}"
                ) from error
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if grey else image
            faces.append(resize_square(image, size_px))
        if len(faces) == before:
            raise ValueError(f"Expected faces in {place}. Received: no image there.")
    return np.stack(faces)


def _image_files(place: Path) -> Iterator[tuple[str, bytes]]:
    if not place.exists():
        raise FileNotFoundError(f"Expected a folder or zip of faces. Received: {place}, not there.")
    if place.is_dir():
        for path in sorted(place.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield str(path.relative_to(place)), path.read_bytes()
        return
    if not zipfile.is_zipfile(place):
        raise ValueError(f"Expected a folder or zip of faces. Received: {place}, neither.")
    with zipfile.ZipFile(place) as archive:
        for name in sorted(archive.namelist()):
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield name, archive.read(name)
