"""Provenance tables, and the images they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from builder_tools.balancing.neighbours import (
    Search,
    border_chances,
    draw_pairs,
    features_of,
)
from builder_tools.balancing.plan import ClassPlan

ORIGINAL, INTERPOLATED, AUGMENTED, COPIED = "original", "interpolated", "augmented", "copied"
NO_NEIGHBOUR = -1
CHUNK = 256
CHUNK_VALUES = 2_000_000
"""Images made at a time: so many, but of large ones only as many as have so many values."""


def provenance_of(
    images: np.ndarray, labels: np.ndarray, plans: list[ClassPlan], search: Search, seed: int
) -> pd.DataFrame:
    """Draw what every image of the result is made of.

    Returns:
        One row an image, originals first (in input order), then made images class by class:
        `row` (of the result), `label`, `origin` (original|interpolated|augmented), `parent` (row
        of the input), `neighbour` (row of the input, -1 if none) and `weight` of the neighbour in
        [0, 1).
    """
    kept = np.sort(np.concatenate([plan.kept for plan in plans]))
    parts = [part_of(labels[kept], ORIGINAL, kept)]
    common = None if search.kind == "regular" else features_of(images, search, seed)
    for plan in plans:
        parts += made_parts(images, labels, plan, search, seed, common=common)
    return concatenate_parts(parts)


def made_parts(
    images: np.ndarray,
    labels: np.ndarray,
    plan: ClassPlan,
    search: Search,
    seed: int,
    *,
    common: np.ndarray | None = None,
) -> list[pd.DataFrame]:
    """Draw what the made images of one class are made of.

    Args:
        images: Those the plan's rows count.
        labels: One an image.
        plan: Of the class.
        search: How neighbours are searched.
        seed: Decides every draw.
        common: Features of all images, for the kinds that look at other classes.

    Returns:
        Tables for `concatenate_parts`: interpolated images, then augmented ones.
    """
    parts = []
    if plan.num_interpolated:
        chances = None
        if common is None:
            features = features_of(images[plan.parents], search, seed)
        else:
            features = common[plan.parents]
            chances = border_chances(common, labels, plan.parents, search)
        count = plan.num_interpolated
        pairs = draw_pairs(features, count, search, seed, label=plan.label, chances=chances)
        parents, neighbours = plan.parents[pairs.parents], plan.parents[pairs.neighbours]
        parts.append(part_of(labels[parents], INTERPOLATED, parents, neighbours, pairs.weights))
    if plan.num_augmented:
        parents = plan.parents[each_in_turn(len(plan.parents), plan.num_augmented, seed)]
        parts.append(part_of(labels[parents], AUGMENTED, parents))
    return parts


def each_in_turn(size: int, count: int, seed: int) -> np.ndarray:
    """Draw `count` of `size` positions, in shuffled passes: none twice as often as another."""
    draws = np.random.default_rng((seed, 1))
    passes = [draws.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(passes)[:count]


def make_images(
    images: np.ndarray, provenance: pd.DataFrame, *, gen_model: Callable | None, seed: int
) -> np.ndarray:
    """Return the chunk of a provenance table, `(len(provenance), H, W[, 3])` uint8.

    Args:
        images: As in `made_chunks`.
        provenance: As `provenance_of` gives it.
        gen_model: As in `made_chunks`.
        seed: As in `made_chunks`.
    """
    made = images[provenance["parent"].to_numpy()]
    for rows, chunk in made_chunks(images, provenance, gen_model=gen_model, seed=seed):
        made[rows] = chunk
    return made


def made_chunks(
    images: np.ndarray, provenance: pd.DataFrame, *, gen_model: Callable | None, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Make the interpolated and augmented images of a table, some at a time.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)` uint8, those `parent` and `neighbour` count.
        provenance: As `provenance_of` gives it.
        gen_model: From `(n, H, W, C)` float32 0...255 to the same, called with `training=True`;
            None for `augmentation_model(seed=seed)`, begun anew for each class.
        seed: Of that model.

    Yields:
        Rows of the table, `(k,)`, and their images, `(k, H, W[, 3])` uint8.
    """
    size = min(CHUNK, max(1, CHUNK_VALUES // images[0].size))
    made = provenance[provenance["origin"].isin((INTERPOLATED, AUGMENTED))]
    for (_, origin), part in made.groupby(["label", "origin"], sort=False):
        model = (gen_model or default_model(seed)) if origin == AUGMENTED else None
        for start in range(0, len(part), size):
            chunk = part.iloc[start : start + size]
            parents = images[chunk["parent"].to_numpy()]
            if model is not None:
                found = augment(parents, model)
            else:
                others = images[chunk["neighbour"].to_numpy()]
                found = interpolate(parents, others, chunk["weight"].to_numpy())
            yield chunk["row"].to_numpy(), found


def interpolate(images: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mix images pixel by pixel, through floats, and return the type they had.

    Whole numbers are rounded and clipped to the range of their type: without this uint8 would
    wrap around.

    Args:
        images: `(n, ...)` numbers.
        others: The same.
        weights: `(n,)` in [0, 1], the share of `others`.
    """
    wide = np.result_type(images.dtype, np.float32)
    share = np.asarray(weights, wide).reshape(-1, *[1] * (images.ndim - 1))
    start = images.astype(wide)
    return rounded(start + share * (others.astype(wide) - start), images.dtype)


def augment(images: np.ndarray, gen_model: Callable) -> np.ndarray:
    """Return what the augmentation model makes of uint8 images, as uint8.

    Raises:
        ValueError: If the model gives another shape, or numbers that are not finite.
    """
    batch = images[..., None] if images.ndim == 3 else images
    found = gen_model(batch.astype(np.float32), training=True)
    if not isinstance(found, np.ndarray):
        import keras

        found = keras.ops.convert_to_numpy(found)
    if found.shape != batch.shape or not np.isfinite(found).all():
        raise ValueError(
            f"Expected gen_model to give finite images {batch.shape}. Received: "
            f"shape={found.shape}."
        )
    return rounded(np.clip(found, 0, 255), np.dtype(np.uint8)).reshape(images.shape)


def rounded(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers as a type: rounded and clipped to its range where it is of whole numbers."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        numbers = np.clip(np.rint(numbers), limits.min, limits.max)
    return numbers.astype(dtype)


def carry_targets(provenance: pd.DataFrame, targets: np.ndarray) -> np.ndarray:
    """Return the targets of balanced images from those of the originals.

    A made image has its parent's target; an interpolated one the mix of its parents', with the
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


def default_model(seed: int) -> Callable:
    """Return the augmentation that stands in where none is handed in."""
    from builder_tools.augmentation import augmentation_model

    return augmentation_model(seed=seed)


def part_of(labels, origin: str, parents, neighbours=NO_NEIGHBOUR, weights=0.0) -> pd.DataFrame:
    """Return rows of a provenance table that share an origin, still without `row`."""
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
    """Return the provenance table of some parts, with `row` counted through."""
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table.insert(0, "row", np.arange(len(table)))
    return table
