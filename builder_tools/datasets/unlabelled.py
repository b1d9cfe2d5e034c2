"""Faces without labels: every image of a folder or a zip, for teachers to label."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np

from builder_tools.datasets.table import list_of_unreadable
from builder_tools.media import FoundImages, find_images, read_image, resize_square
from builder_tools.media.listing import NO_IMAGE
from builder_tools.media.zips import DAMAGED_ZIP, images_in_zip

logger = logging.getLogger(__name__)


def unlabelled_faces(places: Sequence[str], *, size_px: int, grey: bool) -> np.ndarray:
    """Read every image in some folders and zips, whatever its label; warn of what is none.

    Args:
        places: Folders (including all subfolders) or zips.
        size_px: Side of the faces; images that are not square are stretched to fit.
        grey: Whether to read one channel.

    Returns:
        `(n, size, size)` or `(n, size, size, 3)` RGB uint8, in the order of places and names.

    Raises:
        FileNotFoundError: If a place does not exist.
        ValueError: If a place holds no images, or unreadable ones; lists them.
    """
    faces, unread = [], []
    for place in places:
        before = len(faces) + len(unread)
        for name, read in _image_files(Path(place)):
            try:
                image = read_image(read())
            except (*DAMAGED_ZIP, OSError, ValueError) as error:
                unread.append(f"{place}: {name}: {error}")
                continue
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if grey else image
            faces.append(resize_square(image, size_px))
        if len(faces) + len(unread) == before:
            raise ValueError(f"Expected faces in {place}. Received: no image there.")
    if unread:
        raise ValueError(list_of_unreadable(unread))
    return np.stack(faces)


def _image_files(place: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield each image's name and a function that reads it; warn of files that are no images."""
    if not place.exists():
        raise FileNotFoundError(f"Expected a folder or zip of faces. Received: {place}, not there.")
    if place.is_dir():
        found = find_images(place)
        _warn(found)
        yield from ((str(path.relative_to(place)), path.read_bytes) for path in sorted(found.paths))
        return
    if not zipfile.is_zipfile(place):
        raise ValueError(f"Expected a folder or zip of faces. Received: {place}, neither.")
    with zipfile.ZipFile(place) as archive:
        images, others = images_in_zip(archive)
        _warn(FoundImages(place, (), {NO_IMAGE: tuple(others)} if others else {}))
        for name, entry in sorted(images, key=itemgetter(0)):
            yield name, partial(archive.read, entry)


def _warn(found: FoundImages) -> None:
    for sentence in found.sentences():
        logger.warning("%s: %s.", found.folder, sentence)
