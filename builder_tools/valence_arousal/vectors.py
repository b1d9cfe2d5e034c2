"""Faces as vectors: grey pixels at 48 x 48, or the features of a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from builder_tools.cards import CARD_FILE, ModelCard, find_model, verify_files
from builder_tools.headless import headless_network
from builder_tools.media import resize_stack

SIDE_PX = 48
CHUNK = 512
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue (ITU-R BT.601), as in OpenCV."""


class Faces(Protocol):
    """Faces that are read in chunks: an array, or `datasets.table.ResizedImages`."""

    shape: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of faces."""

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Return faces `(m, H, W)` or `(m, H, W, 3)` uint8."""


Vectorise = Callable[[np.ndarray], np.ndarray]
"""Function from faces as given, `(m, H, W[, 3])` uint8, to vectors `(m, d)` float32."""


def check_faces(images: Faces) -> None:
    """Check that images are a stack of faces.

    Raises:
        ValueError: If the shape or type is wrong; mentions NaN if there are any.
    """
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or 0 in shape:
        raise ValueError(
            "Expected at least one face as (n, H, W) grey or (n, H, W, 3) RGB. "
            f"Received: shape={shape}."
        )
    dtype = getattr(images, "dtype", np.uint8)
    if dtype != np.uint8:
        is_nan = np.issubdtype(dtype, np.floating) and bool(np.isnan(images).any())
        kind = f"dtype={dtype}" + (", with NaN among the values" if is_nan else "")
        raise ValueError(f"Expected faces as uint8, 0...255. Received: {kind}.")


def pixel_vectors(images: np.ndarray) -> np.ndarray:
    """Return grey faces at 48 x 48 as rows, `(m, 2304)` float32 in [0, 1].

    Raises:
        ValueError: If a face is a single shade of grey; names its row in the chunk.
    """
    stacked = resize_stack(images, SIDE_PX).astype(np.float32)
    grey = stacked @ GREY_WEIGHTS if stacked.ndim == 4 else stacked
    vectors = grey.reshape(len(grey), -1) / 255
    blank = np.flatnonzero(np.ptp(vectors, axis=1) < 1 / 255)
    if len(blank):
        raise _BlankFaceError(blank)
    return vectors


def network_vectors(path: str | Path) -> Vectorise:
    """Return a function from faces to a network's features before its outputs.

    Args:
        path: A `.keras` file, a model folder with `model.keras`, or the name of such a model.

    Returns:
        A function from `(m, H, W[, 3])` uint8 to `(m, d)` float32; faces are resized to the
        network's input.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not match the card of its model.
    """
    network = headless_network(keras_file(path))

    def vectors(images: np.ndarray) -> np.ndarray:
        pixel_vectors(images)  # refuses blank faces here, too
        found = network.vectors(images)
        if not np.isfinite(found).all():
            raise ValueError(f"Expected finite features of {path}. Received: NaN or infinite ones.")
        return found

    return vectors


def keras_file(path: str | Path) -> Path:
    """Return the `.keras` file, given its path, its model folder or the model's name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the folder's card vouches for another file.
    """
    path = Path(path)
    if not path.exists() and len(path.parts) == 1 and not path.suffix:
        with contextlib.suppress(ValueError):
            path = find_model(str(path))
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            "Expected a .keras file, a folder with model.keras or the name of a model that has "
            f"one. Nothing is at {str(file)!r}. Those of the shipped models are in a clone of the "
            "repository only."
        )
    if path.is_dir() and (path / CARD_FILE).is_file():
        verify_files(path, ModelCard.read(path), [file.name])
    return file


def vectors_of(
    images: Faces, vectorise: Vectorise, finish: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the vectors of all faces, computed in chunks to save memory.

    Args:
        images: The faces.
        vectorise: Function from faces to vectors.
        finish: Function applied to the vectors of each chunk, such as a projection.

    Raises:
        ValueError: If a chunk holds a blank face; names its row.
    """
    from tqdm import tqdm

    parts, starts = [], range(0, len(images), CHUNK)
    for start in tqdm(starts, "faces read", delay=2, leave=False, disable=None):
        rows = slice(start, min(start + CHUNK, len(images)))
        try:
            parts.append(finish(vectorise(np.asarray(images[rows]))))
        except _BlankFaceError as error:
            raise ValueError(error.in_rows(start)) from None
    return np.concatenate(parts)


class _BlankFaceError(ValueError):
    def __init__(self, rows: np.ndarray) -> None:
        super().__init__(f"Expected faces. Received: images of one single grey, {rows.tolist()}.")
        self.rows = rows

    def in_rows(self, start: int) -> str:
        return (
            f"Expected images that show something. Received: {len(self.rows)} of one single "
            f"grey, the first at row {start + int(self.rows[0])}. Try builder-tools clean."
        )
