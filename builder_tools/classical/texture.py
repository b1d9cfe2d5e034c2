"""Features of texture and edges: HOG, local binary patterns, Gabor energies, plain pixels."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from builder_tools.classical.face_features import (
    FACE_PX,
    FaceFeatures,
    grey_faces,
    positive_option,
)

BLOCK_CELLS = 2
LBP_CODES = 59
"""Number of codes: one for each uniform pattern of eight neighbours, and one for all others."""

SMALLEST_SPREAD = 1.0
"""Least standard deviation, in grey values, that faces are divided by."""


class HogFeatures(FaceFeatures):
    """Histograms of oriented gradients (Dalal and Triggs, 2005), by OpenCV.

    Args:
        size_px: Side that faces are resized to; a multiple of `cell_px`.
        cell_px: Side of a cell. Blocks are 2 x 2 cells with a stride of one cell.
        orientations: Bins over 180 degrees.
    """

    def __init__(self, *, size_px: int = FACE_PX, cell_px: int = 8, orientations: int = 9) -> None:
        self.size_px = size_px
        self.cell_px = cell_px
        self.orientations = orientations

    def _check_options(self) -> None:
        positive_option(cell_px=self.cell_px, orientations=self.orientations)
        if self.size_px % self.cell_px or self.size_px < BLOCK_CELLS * self.cell_px:
            raise ValueError(
                "Expected size_px as a multiple of cell_px, two cells or more. Received: "
                f"size_px={self.size_px}, cell_px={self.cell_px}."
            )

    def _describe(self, images: np.ndarray) -> np.ndarray:
        hog = _hog(self.size_px, self.cell_px, self.orientations)
        faces = grey_faces(images, self.size_px)
        return np.stack([hog.compute(face).ravel() for face in faces])

    def _names(self) -> list[str]:
        blocks = range(self.size_px // self.cell_px - BLOCK_CELLS + 1)
        cells = range(BLOCK_CELLS)
        # OpenCV goes down the columns, both of blocks and of the cells in a block.
        return [
            f"hog_block{row}_{column}_cell{cell_row}_{cell_column}_bin{number}"
            for column in blocks
            for row in blocks
            for cell_column in cells
            for cell_row in cells
            for number in range(self.orientations)
        ]


@cache
def _hog(size_px: int, cell_px: int, orientations: int) -> cv2.HOGDescriptor:
    block = (BLOCK_CELLS * cell_px,) * 2
    step = (cell_px,) * 2
    return cv2.HOGDescriptor((size_px,) * 2, block, step, step, orientations)


class LbpFeatures(FaceFeatures):
    """Histograms of uniform local binary patterns on a grid (Ahonen et al., 2006).

    Each histogram holds shares, and the features are their square roots, so that the Euclidean
    distance is proportional to the Hellinger distance.

    Args:
        size_px: Side that faces are resized to.
        grid: Number of cells along a side.
        radius_px: Distance of the eight neighbours.
    """

    def __init__(self, *, size_px: int = FACE_PX, grid: int = 6, radius_px: float = 1) -> None:
        self.size_px = size_px
        self.grid = grid
        self.radius_px = radius_px

    def _check_options(self) -> None:
        positive_option(size_px=self.size_px, grid=self.grid, radius_px=self.radius_px)

    def _describe(self, images: np.ndarray) -> np.ndarray:
        from skimage.feature import local_binary_pattern

        line = np.arange(self.size_px) * self.grid // self.size_px
        cells = line[:, None] * self.grid + line  # the cell of each pixel
        length = self.grid**2 * LBP_CODES
        found = np.empty((len(images), length), np.float32)
        for place, face in enumerate(grey_faces(images, self.size_px)):
            codes = local_binary_pattern(face, 8, self.radius_px, "nri_uniform").astype(int)
            counts = np.bincount((cells * LBP_CODES + codes).ravel(), minlength=length)
            found[place] = counts
        pixels = np.bincount(cells.ravel(), minlength=self.grid**2)
        return np.sqrt(found / np.repeat(np.maximum(pixels, 1), LBP_CODES))

    def _names(self) -> list[str]:
        cells = np.ndindex(self.grid, self.grid)
        return [f"lbp_cell{r}_{c}_code{code}" for r, c in cells for code in range(LBP_CODES)]


class GaborFeatures(FaceFeatures):
    """Mean energy of a bank of Gabor filters on a grid (Daugman, 1985; Lyons et al., 1998).

    Each face is first standardised to mean 0 and variance 1. The energy is the magnitude of the
    responses to the even and the odd filter.

    Args:
        size_px: Side that faces are resized to.
        wavelengths_px: Wavelength of each scale.
        orientations: Number of directions over 180 degrees.
        grid: Number of cells along a side; energies are averaged over each cell.
    """

    def __init__(
        self,
        *,
        size_px: int = FACE_PX,
        wavelengths_px: tuple[float, ...] = (4.0, 6.0, 9.0, 13.0),
        orientations: int = 8,
        grid: int = 6,
    ) -> None:
        self.size_px = size_px
        self.wavelengths_px = wavelengths_px
        self.orientations = orientations
        self.grid = grid

    def _check_options(self) -> None:
        positive_option(size_px=self.size_px, orientations=self.orientations, grid=self.grid)
        positive_option(shortest_wavelength_px=min(self.wavelengths_px, default=0))

    def _describe(self, images: np.ndarray) -> np.ndarray:
        pairs = _gabor_pairs(tuple(self.wavelengths_px), self.orientations)
        faces = standardised(grey_faces(images, self.size_px))
        found = np.empty((len(faces), len(pairs), self.grid, self.grid), np.float32)
        for place, face in enumerate(faces):
            for number, (even, odd) in enumerate(pairs):
                answers = (cv2.filter2D(face, cv2.CV_32F, kernel) for kernel in (even, odd))
                energy = cv2.magnitude(*answers)
                found[place, number] = cv2.resize(
                    energy, (self.grid, self.grid), interpolation=cv2.INTER_AREA
                )
        return found.reshape(len(faces), -1)

    def _names(self) -> list[str]:
        return [
            f"gabor_{wavelength:g}px_{180 * turn / self.orientations:g}deg_cell{row}_{column}"
            for wavelength in self.wavelengths_px
            for turn in range(self.orientations)
            for row in range(self.grid)
            for column in range(self.grid)
        ]


@cache
def _gabor_pairs(
    wavelengths_px: tuple[float, ...], orientations: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        tuple(_gabor(wavelength, np.pi * turn / orientations, phase) for phase in (0, np.pi / 2))
        for wavelength in wavelengths_px
        for turn in range(orientations)
    ]


def _gabor(wavelength_px: float, angle: float, phase: float) -> np.ndarray:
    """Return a filter of unit norm, one octave wide, without a response to uniform light."""
    sigma = 0.56 * wavelength_px
    side = 2 * round(2.5 * sigma) + 1
    kernel = cv2.getGaborKernel((side, side), sigma, angle, wavelength_px, 1.0, phase)
    kernel = kernel - kernel.mean()
    return (kernel / np.linalg.norm(kernel)).astype(np.float32)


class PixelFeatures(FaceFeatures):
    """Grey pixels of each face at mean 0 and variance 1; with PCA, eigenfaces.

    Args:
        size_px: Side that faces are resized to.
    """

    def __init__(self, *, size_px: int = 32) -> None:
        self.size_px = size_px

    def _check_options(self) -> None:
        positive_option(size_px=self.size_px)

    def _describe(self, images: np.ndarray) -> np.ndarray:
        return standardised(grey_faces(images, self.size_px)).reshape(len(images), -1)

    def _names(self) -> list[str]:
        return [f"pixel_{r}_{c}" for r, c in np.ndindex(self.size_px, self.size_px)]


def standardised(faces: np.ndarray) -> np.ndarray:
    """Return grey faces standardised to mean 0 and variance 1, float32; blank faces are all 0."""
    values = np.asarray(faces, np.float32)
    mean = values.mean(axis=(1, 2), keepdims=True)
    spread = values.std(axis=(1, 2), keepdims=True)
    return (values - mean) / np.maximum(spread, SMALLEST_SPREAD)
