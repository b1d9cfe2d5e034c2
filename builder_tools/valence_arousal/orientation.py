"""Rotating a plane so that its axes mean valence and arousal, and moving classes to their anchors.

Places are (valence, arousal). The axes of a raw plane have no meaning, and it may be mirrored and
have any scale: `fit_orientation` aligns it with the anchors of the emotions by least squares
(orthogonal Procrustes: Schoenemann, 1966, "A generalized solution of the orthogonal Procrustes
problem"; with scale and shift).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """Rotation or reflection, scale and shift of a plane.

    Args:
        rotation: `(2, 2)`, orthogonal; its determinant is -1 if it mirrors.
        scale: Factor, > 0.
        shift: `(2,)`, added last.
    """

    rotation: np.ndarray
    scale: float
    shift: np.ndarray

    def apply(self, places: np.ndarray) -> np.ndarray:
        """Return the transformed places, `(n, 2)` float64."""
        return self.scale * (np.asarray(places, np.float64) @ self.rotation) + self.shift


def fit_orientation(places: np.ndarray, targets: np.ndarray) -> Orientation:
    """Return the orientation that brings places closest to their targets, by least squares.

    Args:
        places: `(n, 2)`.
        targets: `(n, 2)`.

    Raises:
        ValueError: If all places, or all targets, coincide.
    """
    mean, aim = places.mean(axis=0), targets.mean(axis=0)
    centred, aimed = places - mean, targets - aim
    left, spread, right = np.linalg.svd(centred.T @ aimed)
    total = float((centred**2).sum())
    if total == 0 or spread.sum() == 0:
        raise ValueError(
            "Expected at least two classes at different places of the plane and with different "
            f"anchors. Received: {len(np.unique(targets, axis=0))} distinct anchors."
        )
    rotation, scale = left @ right, float(spread.sum()) / total
    return Orientation(rotation, scale, aim - scale * (mean @ rotation))


def staged_shift(
    places: np.ndarray,
    labels: np.ndarray,
    centres: np.ndarray,
    anchors: np.ndarray,
    *,
    stages: int,
    pull: float,
) -> np.ndarray:
    """Return the trajectory of every place towards the anchor of its class.

    Stage 0 is the place itself. In stage 1, the class's centre moves to its anchor together with
    all its places; every stage moves them a share `pull` of the remaining way to the anchor.

    Args:
        places: `(n, 2)`, oriented.
        labels: `(n,)`, indices of the classes.
        centres: `(k, 2)`, mean place of each class.
        anchors: `(k, 2)`, where each class belongs; NaN leaves the class at its centre.
        stages: Number of stages, >= 0.
        pull: Share in [0, 1].

    Returns:
        `(stages + 1, n, 2)` float64, not clipped.
    """
    goals = np.where(np.isnan(anchors), centres, anchors)[labels]
    offset = places - centres[labels]
    later = [goals + (1 - pull) ** stage * offset for stage in range(1, stages + 1)]
    return np.stack([places, *later])


def clip_to_disc(places: np.ndarray) -> np.ndarray:
    """Return places `(..., 2)` with those outside the unit disc moved to its edge."""
    radius = np.linalg.norm(places, axis=-1, keepdims=True)
    return places / np.maximum(radius, 1.0)
