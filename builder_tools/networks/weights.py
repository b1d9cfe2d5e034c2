"""Weights that come from outside: files of this study and of others, and published ones."""

from __future__ import annotations

from pathlib import Path

import keras

SUFFIXES = (".keras", ".h5")


def load_backbone_weights(backbone: keras.Model, path: str | Path) -> None:
    """Fills a backbone with the weights of a file.

    Args:
        backbone: Of `build_network(...).get_layer("backbone")`.
        path: A `.keras` file of a backbone or of a whole network that has one; or the backbone's
            `.weights.h5`, or `.h5` in the older layout that published weights come in.

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


def _load_keras_file(backbone: keras.Model, path: Path) -> None:
    source = keras.saving.load_model(path, compile=False)
    if any(layer.name == "backbone" for layer in source.layers):
        source = source.get_layer("backbone")
    _refuse_other_shapes(source, backbone, path)
    backbone.set_weights(source.get_weights())


def _load_h5_file(backbone: keras.Model, path: Path) -> None:
    try:
        backbone.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"Expected weights of a backbone with {len(backbone.weights)} arrays and "
            f"{backbone.count_params():,} parameters in {path}. Received: {_first_line(error)} "
            "A whole network's weights are read from its .keras file."
        ) from error


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
