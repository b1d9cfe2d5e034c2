"""Provenance tables, and the pictures they describe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from builder_tools.balancing.neighbours import (
    Pairs,
    Search,
    border_chances,
    draw_pairs,
    features_of,
)
from builder_tools.balancing.plan import ClassPlan

ORIGINAL, INTERPOLATED, AUGMENTED, COPIED = "original", "interpolated", "augmented", "copied"
NO_NEIGHBOUR = -1
CHUNK = 256


def provenance_of(
    images: np.ndarray, labels: np.ndarray, plans: list[ClassPlan], search: Search, seed: int
) -> pd.DataFrame:
    """Draws what every picture of the result is made of.

    Returns:
        One row a picture, originals first (in input order), then made pictures class by class:
        `row` (of the result), `label`, `origin` (original|interpolated|augmented), `parent` (row
        of the input), `neighbour` (row of the input, -1 if none) and `weight` of the neighbour in
        [0, 1).
    """
    kept = np.sort(np.concatenate([plan.kept for plan in plans]))
    parts = [part_of(labels[kept], ORIGINAL, kept)]
    common = None if search.kind == "regular" else features_of(images, search, seed)
    for plan in plans:
        parts += _made_parts(images, labels, plan, search, seed, common)
    return concatenate_parts(parts)


def _made_parts(images, labels, plan: ClassPlan, search, seed, common) -> list[pd.DataFrame]:
    parts = []
    if plan.num_interpolated:
        pairs = _pairs(images, labels, plan, search, seed, common)
        parents, neighbours = plan.parents[pairs.parents], plan.parents[pairs.neighbours]
        parts.append(part_of(labels[parents], INTERPOLATED, parents, neighbours, pairs.weights))
    if plan.num_augmented:
        parents = plan.parents[each_in_turn(len(plan.parents), plan.num_augmented, seed)]
        parts.append(part_of(labels[parents], AUGMENTED, parents))
    return parts


def _pairs(images, labels, plan: ClassPlan, search: Search, seed: int, common) -> Pairs:
    chances = None
    if common is None:
        features = features_of(images[plan.parents], search, seed)
    else:
        features = common[plan.parents]
        chances = border_chances(common, labels, plan.parents, search)
    return draw_pairs(
        features, plan.num_interpolated, search, seed, label=plan.label, chances=chances
    )


def each_in_turn(size: int, count: int, seed: int) -> np.ndarray:
    """Draws `count` of `size` positions, in shuffled passes: none twice as often as another."""
    draws = np.random.default_rng((seed, 1))
    passes = [draws.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(passes)[:count]


def make_images(
    images: np.ndarray, provenance: pd.DataFrame, *, gen_model: Callable | None, seed: int
) -> np.ndarray:
    """Makes the pictures of a provenance table.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)` uint8.
        provenance: As `provenance_of` gives it.
        gen_model: From `(n, H, W, C)` float32 0...255 to the same, called with `training=True`;
            None for `augmentation_model(seed=seed)`, begun anew for each class.
        seed: Of that model.

    Returns:
        `(len(provenance), H, W[, 3])` uint8.
    """
    made = images[provenance["parent"].to_numpy()]
    origin = provenance["origin"].to_numpy()
    rows = np.flatnonzero(origin == INTERPOLATED)
    neighbours, weights = provenance["neighbour"].to_numpy(), provenance["weight"].to_numpy()
    for part in _chunks(rows):
        made[part] = interpolate(made[part], images[neighbours[part]], weights[part])
    augmented = provenance[origin == AUGMENTED]
    for _, rows in augmented.groupby("label")["row"]:
        model = gen_model or _default_model(seed)
        for part in _chunks(rows.to_numpy()):
            made[part] = augment(made[part], model)
    return made


def interpolate(images: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mixes pictures pixel by pixel, through float32: `(n, ...)` uint8.

    Args:
        images: `(n, ...)` uint8.
        others: `(n, ...)` uint8.
        weights: `(n,)` in [0, 1], the share of `others`.
    """
    share = np.asarray(weights, np.float32).reshape(-1, *[1] * (images.ndim - 1))
    start = images.astype(np.float32)
    return to_uint8(start + share * (others.astype(np.float32) - start))


def augment(images: np.ndarray, gen_model: Callable) -> np.ndarray:
    """Gives what the augmentation model makes of uint8 pictures, as uint8.

    Raises:
        ValueError: If the model gives another shape, or numbers that are not finite.
    """
    import keras

    batch = images[..., None] if images.ndim == 3 else images
    found = keras.ops.convert_to_numpy(gen_model(batch.astype(np.float32), training=True))
    if found.shape != batch.shape or not np.isfinite(found).all():
        raise ValueError(
            f"Expected gen_model to give finite pictures {batch.shape}. Received: "
            f"shape={found.shape}."
        )
    return to_uint8(found.astype(np.float32)).reshape(images.shape)


def to_uint8(pictures: np.ndarray) -> np.ndarray:
    """Rounds, clips to 0...255 and casts: without this uint8 would wrap around."""
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


def carry_targets(provenance: pd.DataFrame, targets: np.ndarray) -> np.ndarray:
    """Gives the targets of balanced pictures from those of the originals.

    A made picture has its parent's target; an interpolated one the mix of its parents', with the
    weights their pixels were mixed with.

    Args:
        provenance: As `FaceSMOTE.provenance_`.
        targets: `(n, ...)` one row an original, numbers.

    Returns:
        `(len(provenance), ...)` float32.
    """
    targets = np.asarray(targets, np.float32)
    own = targets[provenance["parent"].to_numpy()]
    neighbours = provenance["neighbour"].to_numpy()
    mixed = neighbours != NO_NEIGHBOUR
    share = provenance["weight"].to_numpy(np.float32)[mixed]
    share = share.reshape(-1, *[1] * (targets.ndim - 1))
    own[mixed] += share * (targets[neighbours[mixed]] - own[mixed])
    return own


def _default_model(seed: int) -> Callable:
    from builder_tools.augmentation import augmentation_model

    return augmentation_model(seed=seed)


def part_of(labels, origin: str, parents, neighbours=NO_NEIGHBOUR, weights=0.0) -> pd.DataFrame:
    """Gives rows of a provenance table that share an origin, still without `row`."""
    return pd.DataFrame(
        {
            "label": labels,
            "origin": origin,
            "parent": parents,
            "neighbour": neighbours,
            "weight": weights,
        }
    )


def concatenate_parts(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Gives the provenance table of some parts, with `row` counted through."""
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table.insert(0, "row", np.arange(len(table)))
    return table


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
