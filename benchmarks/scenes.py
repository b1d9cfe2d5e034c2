"""Labelled faces in larger images, clean and corrupted, for end-to-end measurements.

A face of FER+ is enlarged, extended outwards with its own blurred edges (what lies outside a FER+
image is unknown), and placed with a soft rim on a photograph without people. Everything follows
from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from skimage import data

from builder_tools.augmentation.degrading import (
    add_noise,
    blur,
    change_gamma,
    compress,
    lose_resolution,
)
from builder_tools.datasets import DATASETS
from builder_tools.evaluation import majority_eight_labels
from builder_tools.evaluation.protocols import LEFT_OUT

SCENE_SIZE = (640, 480)
FACE_PX = 160
RIM = 0.5
"""Width of the blurred edge around the face, as a fraction of its side."""

BACKGROUNDS = ("coffee", "rocket", "retina", "hubble_deep_field")


@dataclass(frozen=True)
class LabelledFaces:
    """Faces, `(n, 48, 48)` uint8 grey, and their labels into FER+'s eight emotions, `(n,)`."""

    images: np.ndarray
    labels: np.ndarray


def labelled_faces(split: str, count: int | None, seed: int = 0) -> LabelledFaces:
    """Return a seeded sample of a split's faces with a majority of eight emotions; None for all."""
    part = DATASETS["ferplus"](None).split(split)
    labels = majority_eight_labels(part.table)
    kept = np.flatnonzero(labels != LEFT_OUT)
    chosen = np.sort(np.random.default_rng(seed).permutation(kept)[:count])
    images = part.images[part.table["index"].to_numpy()[chosen]]
    return LabelledFaces(images, labels[chosen])


def scene(
    face: np.ndarray, number: int, *, size_px: int = FACE_PX, turn_deg: float = 0.0
) -> np.ndarray:
    """Return a 640x480 RGB scene with the face in it.

    Args:
        face: `(48, 48)` uint8 grey.
        number: Number of the scene; decides background and place.
        size_px: Side of the face image in the scene.
        turn_deg: Rotation of the face in the image plane.
    """
    rng = np.random.default_rng(number)
    ground = _background(BACKGROUNDS[number % len(BACKGROUNDS)])
    width, height = SCENE_SIZE
    spare = max((width - size_px) // 2, 1), max((height - size_px) // 2, 1)
    x, y = (int(rng.integers(-s // 2, s // 2 + 1)) for s in spare)
    patch, mask = patch_with_rim(face, size_px, turn_deg)
    centre = width // 2 + x, height // 2 + y
    return _laid(ground, patch, mask, centre)


@cache
def _background(name: str) -> np.ndarray:
    return cv2.resize(getattr(data, name)(), SCENE_SIZE, interpolation=cv2.INTER_AREA)


def patch_with_rim(
    face: np.ndarray, size_px: int, turn_deg: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the face with its rim, `(m, m)` grey, and its opacity, `(m, m)` in 0...1."""
    method = cv2.INTER_CUBIC if size_px > face.shape[0] else cv2.INTER_AREA
    large = cv2.resize(face, (size_px, size_px), interpolation=method)
    rim = max(round(size_px * RIM), 1)
    wide = cv2.copyMakeBorder(large, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    wide = cv2.GaussianBlur(wide, (0, 0), size_px / 12)
    wide[rim : rim + size_px, rim : rim + size_px] = large
    mask = np.zeros(wide.shape, np.float32)
    inner = rim // 2
    mask[inner : -inner or None, inner : -inner or None] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), max(rim / 5, 0.5))
    if turn_deg:
        middle = (wide.shape[1] / 2, wide.shape[0] / 2)
        turn = cv2.getRotationMatrix2D(middle, turn_deg, 1.0)
        size = wide.shape[::-1]
        wide = cv2.warpAffine(wide, turn, size, borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.warpAffine(mask, turn, size)
    return wide, mask


def _laid(ground: np.ndarray, patch: np.ndarray, mask: np.ndarray, centre) -> np.ndarray:
    """Place the patch on the background around a centre; what extends over the edge is cut."""
    scene_rgb, (height, width) = ground.copy(), patch.shape
    left, top = centre[0] - width // 2, centre[1] - height // 2
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + width, ground.shape[1]), min(top + height, ground.shape[0])
    part = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
    share = mask[part][..., None]
    place = (slice(y1, y2), slice(x1, x2))
    mixed = scene_rgb[place] * (1 - share) + patch[part][..., None] * share
    scene_rgb[place] = np.rint(mixed).astype(np.uint8)
    return scene_rgb


def _covered(face: np.ndarray, top: float, bottom: float, left: float, right: float):
    """Return the face with a dark bar over a part, given in fractions of its side."""
    covered, side = face.copy(), face.shape[0]
    rows = slice(round(top * side), round(bottom * side))
    covered[rows, round(left * side) : round(right * side)] = 20
    return covered


def _tinted(image: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    return np.clip(image * np.array(factors), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Spoiling:
    """One corruption at one level: how a scene is made from a face and its number."""

    name: str
    level: str
    make: Callable[[np.ndarray, int], np.ndarray]


def _on_scene(change, strength: float):
    """Return a function that makes a scene from a face and changes all of it."""
    return lambda face, n: change(scene(face, n), strength, np.random.default_rng(n))


SPOILINGS: tuple[Spoiling, ...] = (
    Spoiling("clean", "160 px", lambda face, n: scene(face, n)),
    *(
        Spoiling("size", f"{px} px", lambda face, n, px=px: scene(face, n, size_px=px))
        for px in (24, 36, 48, 80, 240, 400)
    ),
    *(
        Spoiling("rotation", f"{deg} deg", lambda face, n, deg=deg: scene(face, n, turn_deg=deg))
        for deg in (10, 20, 35, 60, 90, 135, 180)
    ),
    *(
        Spoiling("blur", f"{share:.0%} of the face", _on_scene(blur, share * FACE_PX / 640))
        for share in (0.02, 0.04, 0.08)
    ),
    *(
        Spoiling("resolution", f"face of {px} px, enlarged", _on_scene(lose_resolution, px / 160))
        for px in (48, 24, 16)
    ),
    *(Spoiling("noise", f"sd {sd}", _on_scene(add_noise, sd)) for sd in (10, 25, 50)),
    *(Spoiling("jpeg", f"quality {q}", _on_scene(compress, q)) for q in (40, 15, 5)),
    *(Spoiling("light", f"gamma {g}", _on_scene(change_gamma, g)) for g in (0.4, 2.5, 5.0)),
    *(
        Spoiling("colour", name, lambda face, n, f=factors: _tinted(scene(face, n), f))
        for name, factors in {
            "warm": (1.0, 0.8, 0.55),
            "blue": (0.6, 0.8, 1.0),
            "red only": (1.0, 0.15, 0.15),
        }.items()
    ),
    *(
        Spoiling("cover", name, lambda face, n, bar=bar: scene(_covered(face, *bar), n))
        for name, bar in {
            "eyes": (0.3, 0.48, 0.05, 0.95),
            "mouth": (0.65, 1.0, 0.15, 0.85),
            "half": (0.0, 1.0, 0.5, 1.0),
        }.items()
    ),
)
"""Every corruption at each level, with the clean scene first."""
