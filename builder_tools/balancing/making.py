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
"""Images are made in chunks of at most `CHUNK` images and about `CHUNK_VALUES` values."""


def provenance_of(
    images: np.ndarray, labels: np.ndarray, plans: list[ClassPlan], search: Search, seed: int
) -> pd.DataFrame:
    """Draw what every image of the result is made of.

    Returns:
        One row per image, originals first (in input order), then synthetic images by class: `row`
        (of the result), `label`, `origin` (original|interpolated|augmented), `parent` (row of the
        input), `neighbour` (row of the input, -1 if none) and `weight` of the neighbour in [0, 1).
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
    """Draw what the synthetic images of one class are made of.

    Args:
        images: The images that the plan's rows refer to.
        labels: One label per image.
        plan: Plan of the class.
        search: How neighbours are searched.
        seed: Seed of all random draws.
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
    """Draw `count` of `size` positions in shuffled passes, so that counts differ by at most 1."""
    draws = np.random.default_rng((seed, 1))
    passes = [draws.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(passes)[:count]


def make_images(
    images: np.ndarray, provenance: pd.DataFrame, *, gen_model: Callable | None, seed: int
) -> np.ndarray:
    """Return the images of a provenance table, `(len(provenance), H, W[, 3])` uint8.

    Args:
        images: As in `made_chunks`.
        provenance: As returned by `provenance_of`.
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
    """Make the interpolated and augmented images of a table in chunks.

    Args:
        images: `(n, H, W)` or `(n, H, W, 3)` uint8, to which `parent` and `neighbour` refer.
        provenance: As returned by `provenance_of`.
        gen_model: Function from `(n, H, W, C)` float32 0...255 to the same, called with
            `training=True`; None for `augmentation_model(seed=seed)`, created anew for each class.
        seed: Seed of that model.

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
    """Mix images pixel by pixel in floating point, and return them in their original type.

    Integers are rounded and clipped to the range of their type; otherwise uint8 would wrap around.

    Args:
        images: `(n, ...)` numbers.
        others: `(n, ...)` numbers to mix in.
        weights: `(n,)` in [0, 1], the share of `others`.
    """
    wide = np.result_type(images.dtype, np.float32)
    share = np.asarray(weights, wide).reshape(-1, *[1] * (images.ndim - 1))
    start = images.astype(wide)
    return rounded(start + share * (others.astype(wide) - start), images.dtype)


def augment(images: np.ndarray, gen_model: Callable) -> np.ndarray:
    """Return the output of the augmentation model for uint8 images, as uint8.

    Raises:
        ValueError: If the model returns another shape, or numbers that are not finite.
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
    """Return numbers in another type, rounded and clipped to its range if it is an integer type."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        numbers = np.clip(np.rint(numbers), limits.min, limits.max)
    return numbers.astype(dtype)


def carry_targets(provenance: pd.DataFrame, targets: np.ndarray) -> np.ndarray:
    """Return the targets of balanced images from those of the originals.

    A synthetic image has its parent's target; for an interpolated one, its parents' targets are
    mixed with the same weights as their pixels.

    Args:
        provenance: As in `FaceSMOTE.provenance_`.
        targets: `(n, ...)` numbers, one row per original.

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
    """Return the default augmentation, used if none is given."""
    from builder_tools.augmentation import augmentation_model

    return augmentation_model(seed=seed)


def part_of(labels, origin: str, parents, neighbours=NO_NEIGHBOUR, weights=0.0) -> pd.DataFrame:
    """Return rows of a provenance table that share an origin, without the column `row`."""
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
    """Return the provenance table joined from parts, with `row` numbered throughout."""
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table.insert(0, "row", np.arange(len(table)))
    return table
