"""The base class of all transformers from faces to numbers, and the faces they accept.

Faces are a stack, `(n, H, W)` grey or `(n, H, W, 3)` RGB, uint8, all of the same size; or rows
`(n, d)` of d grey values 0...255 (rounded and clipped), as in scikit-learn's tables. A row is
reshaped to the squarest image of d pixels: 2304 values are a face of 48 x 48.

A describer (`FaceFeatures`) learns nothing from the faces: its output for a face depends on that
face and its options alone, so it can be cached on disk (`cache`) and cannot leak anything from one
fold of a cross-validation into another.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import validate_data

from builder_tools.media import resize_square

FACE_PX = 48
"""Default side of the faces that describers work on: that of FER2013."""

MAX_GREY = 255.0


class FaceFeatures(TransformerMixin, BaseEstimator):
    """Base class of describers: subclasses implement `_describe` and `_names`.

    `fit` only records the width of rows and checks the options; calling it is optional.
    """

    single_process = False
    """Whether it uses all cores by itself, so that several processes would not be faster."""

    def fit(self, faces: np.ndarray, y: np.ndarray | None = None) -> FaceFeatures:
        """Check the options and the faces.

        Raises:
            ValueError: If an option or the faces are invalid.
        """
        self._check_options()
        self._images(faces, reset=True)
        return self

    def transform(self, faces: np.ndarray) -> np.ndarray:
        """Return the features of each face, `(n, num_features)` float32."""
        self._check_options()
        images = self._images(faces, reset=False)
        return np.asarray(self._describe(images), np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return a name for each feature, `(num_features,)` object."""
        known = getattr(self, "n_features_in_", None)
        if input_features is not None and known is not None and len(input_features) != known:
            raise ValueError(
                f"input_features should have length equal to number of features ({known}), "
                f"got {len(input_features)}"
            )
        return np.array(self._names(), object)

    def weight_hashes(self) -> tuple[str, ...]:
        """Return the SHA-256 of every weight file that the features depend on."""
        return ()

    def files(self) -> tuple[Path, ...]:
        """Return these weight files, downloaded if they are missing."""
        return ()

    @abstractmethod
    def _describe(self, images: np.ndarray) -> np.ndarray:
        """Return `(n, num_features)` for `(n, H, W[, 3])` uint8 faces."""

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the names of the features."""

    def _check_options(self) -> None:
        """Raise a ValueError for options out of range."""

    def _images(self, faces: np.ndarray, *, reset: bool) -> np.ndarray:
        if getattr(faces, "ndim", 2) > 2:
            check_stack(faces)
            if reset:
                self.n_features_in_ = int(np.prod(faces.shape[1:3]))
            return faces
        rows = validate_data(self, faces, reset=reset, dtype=np.float32)
        grey = np.rint(np.clip(rows, 0, MAX_GREY)).astype(np.uint8)
        # As square as the number of pixels allows.
        length = rows.shape[1]
        height = next(h for h in range(math.isqrt(length), 0, -1) if length % h == 0)
        return grey.reshape(len(rows), height, length // height)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.three_d_array = True
        return tags


def check_stack(faces: np.ndarray) -> None:
    """Raise a ValueError unless faces are `(n, H, W[, 3])` uint8 with at least one pixel."""
    shape = faces.shape
    good = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if not good or 0 in shape[1:] or faces.dtype != np.uint8:
        raise ValueError(
            "Expected faces as (n, H, W) or (n, H, W, 3) uint8, or rows (n, d) of grey values. "
            f"Received: shape={shape}, dtype={faces.dtype}."
        )


def grey_faces(images: np.ndarray, size_px: int) -> np.ndarray:
    """Return faces as grey squares, `(n, size_px, size_px)` uint8."""
    found = np.empty((len(images), size_px, size_px), np.uint8)
    for place, image in enumerate(images):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        found[place] = resize_square(grey, size_px)
    return found


def positive_option(**options: float) -> None:
    """Raise a ValueError that names the first option that is not above 0."""
    for name, value in options.items():
        if not value > 0:
            raise ValueError(f"Expected {name} above 0. Received: {name}={value!r}.")
