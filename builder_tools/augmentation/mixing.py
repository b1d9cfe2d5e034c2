"""Mixing two faces into one: mixup and cutmix, for a batch of faces and their targets."""

from __future__ import annotations

import numpy as np


def mix_faces(
    faces: np.ndarray,
    targets: np.ndarray,
    rng: np.random.Generator,
    *,
    mixup: float = 0.0,
    cutmix: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each face of a batch with another one, and their targets accordingly.

    Mixup (Zhang et al., 2018, arXiv:1710.09412) blends two images; cutmix (Yun et al., 2019,
    arXiv:1905.04899) pastes a rectangle of one into the other. If both are enabled, each face
    gets one of them at random.

    Args:
        faces: `(n, H, W)` or `(n, H, W, C)`.
        targets: `(n, k)`, rows sum to 1.
        rng: Decides partners, shares and places.
        mixup: Alpha of the Beta distribution of the share; 0 disables mixup.
        cutmix: Alpha of the Beta distribution of the rectangle's area; 0 disables cutmix.

    Returns:
        Faces of the same shape, float32, and `(n, k)` float32.
    """
    partners = rng.permutation(len(faces))
    blends = rng.random(len(faces)) < 0.5 if mixup and cutmix else np.full(len(faces), mixup > 0)
    alphas = np.where(blends, mixup, cutmix)
    kept = rng.beta(alphas, alphas)
    masks = np.broadcast_to(kept[:, None, None], faces.shape[:3]).astype(np.float32)
    for row in np.flatnonzero(~blends):
        # 1 where the face stays, 0 in a rectangle around a random point, clipped at the edge.
        spans = []
        for side in faces.shape[1:3]:
            middle, half = rng.integers(side), side * np.sqrt(1 - kept[row]) / 2
            spans.append(slice(max(round(middle - half), 0), max(round(middle + half), 0)))
        masks[row] = 1
        masks[row][tuple(spans)] = 0
    kept = masks.mean(axis=(1, 2))[:, None]
    masks = masks if faces.ndim == 3 else masks[..., None]
    mixed = faces * masks + faces[partners] * (1 - masks)
    return mixed.astype(np.float32), (targets * kept + targets[partners] * (1 - kept)).astype(
        np.float32
    )
