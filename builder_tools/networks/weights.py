"""Weights that come from outside: files of this study and of others, and published ones.

Published files are fetched by Keras into its own cache (`~/.keras`, or `KERAS_HOME`), once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

SUFFIXES = (".keras", ".h5")


def load_backbone_weights(backbone: keras.Model, path: str | Path) -> None:
    """Fills a backbone with the weights of a file.

    Args:
        backbone: Of `build_network(...).get_layer("backbone")`.
        path: A `.keras` file of a backbone, of a whole network that has one, or of one with a
            single dense layer at its end; or the backbone's `.weights.h5`, or `.h5` in the older
            layout that published weights come in.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no weights file, or one of another network: says where they differ.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file of weights. Received: no such file as {path}.")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"Expected weights as one of {SUFFIXES}. Received: {path.name}.")
    load = _load_keras_file if path.suffix == ".keras" else _load_h5_file
    load(backbone, path)


def fetch(address: str) -> Path:
    """Gives the local copy of a published file, fetched when it is not there yet."""
    return Path(keras.utils.get_file(origin=address, cache_subdir="models"))


def set_published(
    backbone: keras.Model,
    names: Iterable[tuple[str, list[str]]],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Fills layers with named arrays, which may differ in shape only by axes of length 1.

    Args:
        backbone: What to fill.
        names: Each layer's name and the names of its arrays, in the order of its weights.
        arrays: Of the published file.

    Raises:
        ValueError: If an array is missing or of another size.
    """
    for layer_name, array_names in names:
        layer = backbone.get_layer(layer_name)
        layer.set_weights(
            [
                _array(arrays, name, tuple(weight.shape))
                for name, weight in zip(array_names, layer.weights, strict=True)
            ]
        )


@contextmanager
def explained_offline(network: str, source: str) -> Iterator[None]:
    """Turns the error of a failed download into one that says what to do.

    Raises:
        ConnectionError: If Keras could not fetch a file.
    """
    try:
        yield
    except Exception as error:  # Keras raises nothing more special
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"Expected to fetch the published weights of {network!r} ({source}). Received: "
            f"{_first_line(error)} Use weights=None to train from scratch, name a file of "
            "weights, or run again where the address can be reached."
        ) from error


def _array(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"Expected an array {name!r} in the file. Received: {list(arrays)[:5]}...")
    array = arrays[name]
    if np.squeeze(array).shape != tuple(side for side in shape if side != 1):
        raise ValueError(f"Expected {name!r} of shape {shape}. Received: {array.shape}.")
    return array.reshape(shape)


def _load_keras_file(backbone: keras.Model, path: Path) -> None:
    source = keras.saving.load_model(path, compile=False)
    if any(layer.name == "backbone" for layer in source.layers):
        source = source.get_layer("backbone")
    elif not _same_shapes(source, backbone) and isinstance(source.layers[-1], keras.layers.Dense):
        # A whole network without nested backbone: what stands before its last layer.
        source = keras.Model(source.inputs, source.layers[-1].input)
    _refuse_other_shapes(source, backbone, path)
    backbone.set_weights(source.get_weights())


def _load_h5_file(backbone: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers it finds nothing for, and leaves them random.
            warnings.filterwarnings("error", message="Skipping nested container")
            backbone.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise ValueError(
            f"Expected weights of a backbone with {len(backbone.weights)} arrays and "
            f"{backbone.count_params():,} parameters in {path}. Received: {_first_line(error)} "
            "A whole network's weights are read from its .keras file."
        ) from error


def _same_shapes(one: keras.Model, other: keras.Model) -> bool:
    return [tuple(w.shape) for w in one.weights] == [tuple(w.shape) for w in other.weights]


def _refuse_other_shapes(source: keras.Model, backbone: keras.Model, path: Path) -> None:
    found, expected = ([tuple(w.shape) for w in model.weights] for model in (source, backbone))
    if found == expected:
        return
    pairs = enumerate(zip(found, expected, strict=False))
    differing = next(
        (n for n, (one, other) in pairs if one != other), min(map(len, (found, expected)))
    )
    raise ValueError(
        f"Expected weights of a backbone with {len(expected)} arrays in {path}. Received: "
        f"{len(found)} arrays; the first to differ is number {differing}: "
        f"{found[differing : differing + 1]} in the file, "
        f"{expected[differing : differing + 1]} in the network."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
