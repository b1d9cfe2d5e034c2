"""Outputs of frozen layers, computed once.

While the lower part of a network is frozen, every epoch computes the same features again. Here
they are computed once, for several augmented copies of each face, and kept in files in the user's
cache (`features` in `assets.cache_folder()`), shared by runs and by the trials of a search: a file
is named after a hash of everything that determines its content. Then only the rest of the network
is trained; epoch e sees copy e modulo the number of copies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from builder_tools import __version__
from builder_tools.assets import cache_folder
from builder_tools.augmentation import AUGMENTATIONS, augmentation_model, with_augmentation
from builder_tools.augmentation.batches import FaceSource
from builder_tools.media import replacing
from builder_tools.media.partial import kept_array
from builder_tools.training.batches import BatchChanges, FeatureCopies
from builder_tools.training.callbacks import DRAWS_PER_EPOCH, seed_generators
from builder_tools.training.config import TrainingConfig
from builder_tools.training.identity import content_hash

CHUNK = 256
"""Number of faces whose features are computed, and whose augmentation is drawn, together."""

LIMIT_BYTES = 10 * 2**30
"""Maximum size of all cached features; the least recently used make room for new ones."""


def split_at_frozen(network: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Return the part of a network whose outputs never change, and the rest, sharing its weights.

    The cut is the highest place, below every layer that is trained or draws random numbers, where
    one tensor is all that the rest needs. If the whole backbone is frozen, it comes after the
    pooling, so that features are vectors.

    Args:
        network: As returned by `build_network`, after `set_trainable`.

    Returns:
        Two models, from faces to features and from features to the network's outputs; None if
        there is nothing with weights below a cut.
    """
    backbone = network.get_layer("backbone")
    # layers, and operations between them that are not layers (such as preprocessing)
    operations = backbone.operations
    changing = [
        isinstance(operation, keras.Layer)
        and (
            bool(operation.trainable_weights)
            or any(variable.name == "seed_generator_state" for variable in operation.variables)
        )
        for operation in operations
    ]
    if not any(changing):
        pooled = network.get_layer("dropout").input
        return keras.Model(network.input, pooled), keras.Model(pooled, network.output)
    features = _narrowest(operations, changing.index(True))
    if features is None:
        return None
    below = keras.Model(backbone.input, features)
    after = network.layers[network.layers.index(backbone) + 1].input
    inputs = keras.Input(features.shape[1:], name="features")
    rest = keras.Model(after, network.output)(keras.Model(features, backbone.output)(inputs))
    return (below, keras.Model(inputs, rest)) if below.weights else None


def cached_features(
    below: keras.Model,
    faces: FaceSource | np.ndarray,
    config: TrainingConfig,
    *,
    size: int,
    augmented: bool,
) -> FeatureCopies:
    """Return the features of faces, from the cache if they are there.

    They are float32 if the run is, else float16.

    Args:
        below: The frozen part, from `split_at_frozen`.
        faces: `(n, H, W[, 3])` uint8.
        config: The run's configuration: copies, augmentation, degradation, precision, seed.
        size: Side in px to which faces are resized.
        augmented: Whether they are augmented, `config.feature_copies` times; otherwise, or if the
            configuration does not change faces, there is one copy.

    Raises:
        ValueError: If the features exceed the cache's limit, or are not finite.
        OSError: If they cannot be written.
    """
    changed = config.augmentation != AUGMENTATIONS["off"] or config.degrade > 0
    copies = config.feature_copies if augmented and changed else 1
    dtype = np.dtype(np.float32 if config.precision == "float32" else np.float16)
    about = {
        "version": __version__,
        "size": size,
        "dtype": dtype.name,
        "layers": list(_layer_texts(below)),
        "weights": content_hash(below.get_weights()),
        "faces": content_hash(chunk for _, chunk in _chunks(faces)),
    }
    if augmented and changed:
        strength = dataclasses.asdict(config.augmentation)
        about |= {"augmentation": strength, "degrade": config.degrade, "seed": config.seed}
    shape = (len(faces), *below.compute_output_shape((1, size, size, 3))[1:])
    texts = [json.dumps({**about, "copy": copy}, sort_keys=True) for copy in range(copies)]
    keys = [hashlib.sha256(text.encode()).hexdigest()[:32] for text in texts]
    files = [cache_folder() / "features" / f"{key}.npy" for key in keys]
    _make_room(files, math.prod(shape) * dtype.itemsize)
    channels = 1 if len(faces.shape) == 3 else 3
    model = with_augmentation(
        below, augmentation_model(config.augmentation), size=size, channels=channels
    )
    for copy, file in enumerate(files):
        if kept_array(file, shape) is None:
            chunks = _computed(model, faces, config, copy=copy, changed=augmented and changed)
            _write(file, chunks, shape, dtype)
        os.utime(file)
    return FeatureCopies([np.load(file, mmap_mode="r") for file in files])


def _narrowest(operations: list[keras.Operation], end: int) -> keras.KerasTensor | None:
    """Return the last tensor below `operations[end]` on which alone it and all above depend."""
    made = {
        id(tensor): place
        for place, operation in enumerate(operations)
        for tensor in keras.tree.flatten(operation.output)
    }
    for first in range(end, 1, -1):
        needed = [t for each in operations[first:] for t in keras.tree.flatten(each.input)]
        crossing = {id(tensor): tensor for tensor in needed if made[id(tensor)] < first}
        if len(crossing) == 1:
            return crossing.popitem()[1]
    return None


def _chunks(faces: FaceSource | np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the faces in order, in chunks, each with the row of its first face."""
    for start in range(0, len(faces), CHUNK):
        yield start, faces[np.arange(start, min(start + CHUNK, len(faces)))]


def _layer_texts(model: keras.Model) -> Iterator[str]:
    """Yield a description of each layer, without the names that Keras numbers."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layer_texts(layer)
            continue
        config = {name: v for name, v in layer.get_config().items() if name != "name"}
        yield f"{type(layer).__name__} {json.dumps(config, sort_keys=True, default=str)}"


def _make_room(files: list[Path], file_bytes: int) -> None:
    """Remove the least recently used files until there is room for the missing ones."""
    folder = files[0].parent
    missing = sum(not file.is_file() for file in files) * file_bytes
    folder.mkdir(parents=True, exist_ok=True)
    others = {}
    for path in set(folder.iterdir()) - set(files):
        with contextlib.suppress(FileNotFoundError):  # another process also made room
            others[path] = path.stat()
    taken = sum(stat.st_size for stat in others.values()) + len(files) * file_bytes
    for path in sorted(others, key=lambda path: others[path].st_mtime):
        if taken <= LIMIT_BYTES:
            break
        path.unlink(missing_ok=True)
        taken -= others[path].st_size
    free = shutil.disk_usage(folder).free
    if taken > LIMIT_BYTES or missing > free:
        raise ValueError(
            f"Expected features of at most {min(LIMIT_BYTES, free) / 2**30:.1f} GiB in {folder}. "
            f"Received: {len(files)} copies of {file_bytes / 2**30:.1f} GiB. Ask for fewer copies "
            "or smaller faces, or let fewer layers learn."
        )


def _computed(
    model, faces, config: TrainingConfig, *, copy: int, changed: bool
) -> Iterator[np.ndarray]:
    """Yield the features of one copy, chunk by chunk."""
    from tqdm import tqdm

    degraded = BatchChanges(degrade=config.degrade)
    bar = {"desc": f"features, copy {copy + 1}", "file": sys.stderr, "mininterval": 2}
    for start, chunk in tqdm(_chunks(faces), total=math.ceil(len(faces) / CHUNK), **bar):
        if changed:
            seed_generators(model, config.seed, copy * DRAWS_PER_EPOCH + start)
            rng = np.random.default_rng((config.seed, copy, start))
            chunk, _ = degraded(chunk, chunk, rng)
        chunk = chunk[..., None] if chunk.ndim == 3 else chunk
        found = model(chunk.astype(np.float32), training=changed)
        yield keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))


def _write(file: Path, chunks, shape: tuple[int, ...], dtype: np.dtype) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with replacing(file) as partial, partial.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for chunk in chunks:
            stored = chunk.astype(dtype)
            if not np.isfinite(stored).all():
                raise ValueError(
                    f"Expected finite features in {dtype.name}. Received: some that are not, up "
                    f"to {np.nanmax(np.abs(chunk)):.3g} before. Train in float32 to keep them so."
                )
            stream.write(stored.tobytes())
