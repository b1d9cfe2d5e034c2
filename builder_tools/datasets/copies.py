"""Whether two similar images are copies of one photograph, or two photographs of one scene.

In front of a fixed camera, two expressions of one person correlate above 0.95: the frame is the
same, only mouth and eyes differ. So two miniatures are aligned (shift, rotation, zoom and shear by
Gauss-Newton steps; brightness, contrast and sharpness by least squares; Baker and Matthews, 2004,
"Lucas-Kanade 20 Years On"), and the part that differs most decides, not the mean.

Copies differ a little everywhere, by compression and resampling; another expression differs in few
places. So a difference counts by its size, and by its ratio to that of a typical part.

The limits were chosen on 958 similar pairs of JAFFE (ten people, one background each, several shots
of each expression), on copies of its images and FER+'s, and on a portrait in which only the mouth
was bent. The most similar two shots of one expression differ by 0.065 (except one pair, 0.025);
copies of JAFFE's 256 px images by at most 0.058 (a quarter of the size, JPEG quality 10, cropped
2 % closer, shifted by 2 %), and 95 in 100 copies of FER+'s 48 px faces by at most 0.063 (halved, or
saved at JPEG quality 50). Images with a mark written across the face, or with another tone curve
(gamma, clipped highlights), count as different.
"""

from __future__ import annotations

import cv2
import numpy as np

COMPARED_PX = 48
MAX_DIFFERENCE = 0.06
"""Copies differ in no part by more than this share of the contrast."""
MAX_TIMES_USUAL = 3.0
"""Nor does any part of a copy differ more than this many times as much as a typical part."""
LEAST_USUAL = 0.01
"""A typical part is taken to differ by at least this much."""

_BLUR_PX = 1.5
_BORDER_PX = 3
_PART_PX = COMPARED_PX // 6
"""Approximate height of the mouth in a face that fills the image."""
_STEPS = 12
_STILL_PX = 0.01
_HOPELESS_AFTER, _HOPELESS = 3, 0.25
"""After this many steps, copies differ by less than this."""
_STILL_TERMS = 3
"""Number of terms of a copy that are not motions."""
_LEAST_SHARED = 0.5
"""Images that overlap in less than this share of their area are not compared."""

_MIDDLE = (COMPARED_PX - 1) / 2
_Y, _X = (np.mgrid[:COMPARED_PX, :COMPARED_PX].astype(np.float32) - _MIDDLE) / COMPARED_PX
_INNER = np.zeros((COMPARED_PX, COMPARED_PX), bool)
_INNER[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = True


def worst_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return how much two images differ in their most different part.

    Args:
        first: `(48, 48)` uint8 grey.
        second: Likewise; it is aligned with the first.

    Returns:
        Root mean square over the worst part (a square of a sixth of the side), relative to the
        standard deviation of the image: 0 for equal images, about 1 for unlike parts. If it
        exceeds `MAX_TIMES_USUAL` times that of the median part, it is scaled up so that a single
        limit, `MAX_DIFFERENCE`, covers both criteria.
    """
    fixed, moving = _standardised(first), _standardised(second)
    # The terms that add up to a copy, `(48, 48, 9)`: brightness, contrast, blur; its motions.
    blur = cv2.GaussianBlur(fixed, (0, 0), _BLUR_PX) - fixed
    right, down = (cv2.Sobel(fixed, cv2.CV_32F, *way, ksize=3) / 8 for way in ((1, 0), (0, 1)))
    motions = (right, down, _X * right, _Y * right, _X * down, _Y * down)
    terms = np.stack([np.ones_like(fixed), fixed, blur, *motions], axis=-1)
    place, least = np.eye(3), np.inf
    for step in range(_STEPS + 1):
        x, y = ((place[row, :2] @ (_X.ravel(), _Y.ravel())) + place[row, 2] for row in (0, 1))
        # From positions relative to the middle, in sides, to pixels.
        grid = (COMPARED_PX, COMPARED_PX)
        x, y = ((v.reshape(grid) * COMPARED_PX + _MIDDLE).astype(np.float32) for v in (x, y))
        shared = _INNER & (np.minimum(x, y) >= _BORDER_PX - 1)
        shared &= np.maximum(x, y) <= COMPARED_PX - _BORDER_PX
        if shared.mean() < _LEAST_SHARED:
            break
        moved = cv2.remap(moving, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        weights = _fitted(terms[shared], moved[shared])
        least = min(least, _worst_part(terms, moved, shared, weights))
        # How far the second image is still out of alignment, in sides.
        change = np.zeros((3, 3))
        right, down, *affine = weights[_STILL_TERMS:] / max(float(weights[1]), 0.2) / COMPARED_PX
        change[0] = affine[0], affine[1], right
        change[1] = affine[2], affine[3], down
        still = np.abs(change).max() * COMPARED_PX < _STILL_PX
        if still or (step >= _HOPELESS_AFTER and least > _HOPELESS):
            break
        place = place @ (np.eye(3) - change)
    return float(least)


def _standardised(grey: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR_PX)
    return (smooth - smooth.mean()) / (smooth.std() + 1e-6)


def _fitted(terms: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return the weights of the terms by least squares; large differences count less.

    So a changed expression affects the mouth only, not the whole image.
    """
    ridge = 1e-3 * np.eye(terms.shape[1], dtype=np.float32)
    weights = np.linalg.solve(terms.T @ terms + ridge, terms.T @ moved)
    rest = moved - terms @ weights
    usual = 3 * np.median(np.abs(rest)) + 2e-3
    trusted = terms / (1 + (rest / usual) ** 2)[:, None]
    return np.linalg.solve(trusted.T @ terms + ridge, trusted.T @ moved)


def _worst_part(
    terms: np.ndarray, moved: np.ndarray, shared: np.ndarray, weights: np.ndarray
) -> float:
    rest = np.where(shared, moved - terms[..., :_STILL_TERMS] @ weights[:_STILL_TERMS], 0).astype(
        np.float32
    )
    size = (_PART_PX, _PART_PX)
    means = cv2.boxFilter(rest**2, -1, size, borderType=cv2.BORDER_CONSTANT)
    parts = np.sqrt(np.maximum(means, 0)) / (moved[shared].std() + 1e-6)
    inside = cv2.erode(shared.astype(np.uint8), np.ones(size, np.uint8)) > 0
    usual = np.hypot(np.median(parts[inside]) if inside.any() else 0, LEAST_USUAL)
    worst = float(parts.max())
    return worst * max(1.0, MAX_DIFFERENCE / (MAX_TIMES_USUAL * usual))
