"""Weights from outside: files from this study and others, and published ones.

Keras fetches published files once, into its own cache (`~/.keras`, or `KERAS_HOME`). If a publisher
gives no hash, that of the first file to fill a network is kept next to it in `<file>.sha256` (in
the format of `sha256sum -c`), and a file that differs later is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from builder_tools.networks.head import divide_by_weights

logger = logging.getLogger(__name__)

EMOTION_LOSS = "builder_tools>EmotionLoss"
"""What Keras calls `training.losses.EmotionLoss` in files."""


def load_backbone_weights(
    backbone: keras.Model,
    path: str | Path,
    readers: Mapping[str, Callable[[keras.Model, Path], None]] = {},
) -> None:
    """Fill a backbone with the weights in a file.

    Args:
        backbone: As returned by `build_network(...).get_layer("backbone")`.
        path: A `.keras` file of a backbone, of a whole network that has one, or of one with a
            single dense layer at its end; or the backbone's `.weights.h5`, or `.h5` in the older
            layout used for published weights; or a file in the layout of the network's publisher.
        readers: For publishers' layouts, by suffix (`NetworkSpec.readers`).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a weights file, or is of another network (says where they differ),
            or weights are not finite.
    """
    path = Path(path)
    reader_of(path, readers)(backbone, path)
    if not all(np.isfinite(weights).all() for weights in backbone.get_weights()):
        raise ValueError(f"Expected finite weights in {path}. Received: NaN or infinity.")


def reader_of(
    path: Path, readers: Mapping[str, Callable[[keras.Model, Path], None]]
) -> Callable[[keras.Model, Path], None]:
    """Return the function that fills a backbone with the weights in a file, by its suffix.

    Args:
        path: The file.
        readers: As in `load_backbone_weights`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If nothing is known of files with its suffix; lists the suffixes.
    """
    known = {".keras": _load_keras_file, ".h5": _load_h5_file, **readers}
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected weights as 'pretrained' or a file. Received: no such file as {path}."
        )
    if path.suffix not in known:
        raise ValueError(f"Expected weights as one of {tuple(known)}. Received: {path.name}.")
    return known[path.suffix]


def load_head_weights(network: keras.Model, path: str | Path) -> None:
    """Fill the layers after a network's backbone with those in a file, as `read_network` reads it.

    Args:
        network: As returned by `build_network`.
        path: A `.keras` file of a whole network with the same head: hidden layers of the same
            widths, and the same number of classes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no such network (says which layer differs), or weights are not
            finite.
    """
    given = {layer.name: layer.get_weights() for layer in read_network(path).layers}
    for layer in network.layers:
        if layer.name == "backbone" or not layer.weights:
            continue
        expected = [tuple(weight.shape) for weight in layer.weights]
        found = [weight.shape for weight in given.get(layer.name, [])]
        if found != expected:
            raise ValueError(
                f"Expected a layer {layer.name!r} with arrays of {expected} in {path}, to go on "
                f"with its head. Received: {found or 'no such layer'}. Begin with a new head, or "
                "ask for the same classes and hidden layers."
            )
        if not all(np.isfinite(weights).all() for weights in given[layer.name]):
            raise ValueError(f"Expected finite weights in {path}. Received: NaN or infinity.")
        layer.set_weights(given[layer.name])


def read_network(path: str | Path) -> keras.Model:
    """Return the network in a `.keras` file (or a whole one in an `.h5` file), not compiled.

    If its loss had class weights, as in the checkpoints of a run, their effect on its
    probabilities is removed (`divide_by_weights`).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no network, or was truncated or altered.
    """
    path = Path(path)
    if path.suffix not in (".keras", ".h5"):
        raise ValueError(f"Expected a network as a .keras file. Received: {path}.")
    if not path.is_file():
        raise FileNotFoundError(f"Expected a network. Received: no such file as {path}.")
    if path.suffix == ".keras":
        expect_whole(path)
    try:
        network = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise ValueError(
            f"Expected a network that Keras {keras.__version__} can read in {path}. Received: "
            f"{_first_line(error)}"
        ) from error
    weights = _class_weights(_loss_in(path))
    if weights is not None:
        divide_by_weights(network, np.array(weights))
    return network


def expect_whole(path: Path) -> None:
    """Refuse a file that is not a `.keras` file, or was truncated or altered.

    Raises:
        ValueError: If so; says what is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        damaged = str(error)
    if damaged:
        raise ValueError(
            f"Expected a whole .keras file. Received: {path}, which is none, or was cut or "
            f"changed ({damaged})."
        )


def load_fetched(
    backbone: keras.Model,
    address: str,
    load: Callable[[keras.Model, Path], None] = load_backbone_weights,
) -> None:
    """Fill a backbone from a published file whose publisher gives no hash.

    Args:
        backbone: The backbone to fill.
        address: URL of the file, which is fetched if it is not in the cache yet.
        load: Called as `load(backbone, path)`; refuses files that do not fit.

    Raises:
        ValueError: If the file does not fit, or is not the one that was loaded first.
    """
    path = Path(keras.utils.get_file(origin=address, cache_subdir="models"))
    record = path.with_name(f"{path.name}.sha256")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    recorded = record.read_text(encoding="utf-8").split()[:1] if record.is_file() else None
    if recorded is not None and recorded != [found]:
        raise ValueError(
            f"Expected {path} as it was first loaded, sha256 {''.join(recorded) or 'unknown'}. "
            f"Received: sha256 {found}. Delete it and {record.name} to fetch it again."
        )
    load(backbone, path)
    if recorded is None:
        try:
            record.write_text(f"{found}  {path.name}\n", encoding="utf-8")
        except OSError as error:
            logger.warning("Cannot keep the hash of %s, to verify it later: %s", path, error)


@contextmanager
def opened_npz(path: str | Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Open a file of NumPy arrays, each read on demand.

    Raises:
        ValueError: If it is not such a file, or is truncated.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("no archive, or its end is missing")
        with np.load(path) as arrays:
            yield arrays
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"Expected a whole .npz file of arrays. Received: {path} ({error})."
        ) from error


def set_published(
    backbone: keras.Model,
    names: Iterable[tuple[str, list[str]]],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Fill layers with named arrays, which may differ in shape only by axes of length 1.

    Args:
        backbone: The backbone to fill.
        names: Each layer's name and the names of its arrays, in the order of its weights.
        arrays: Arrays of the published file.

    Raises:
        ValueError: If an array is missing or has the wrong size.
    """
    for layer_name, array_names in names:
        layer, values = backbone.get_layer(layer_name), []
        for name, weight in zip(array_names, layer.weights, strict=True):
            if name not in arrays:
                raise ValueError(
                    f"Expected an array {name!r} in the file. Received: {list(arrays)[:5]}..."
                )
            array, shape = arrays[name], tuple(weight.shape)
            if np.squeeze(array).shape != tuple(side for side in shape if side != 1):
                raise ValueError(f"Expected {name!r} of shape {shape}. Received: {array.shape}.")
            values.append(array.reshape(shape))
        layer.set_weights(values)


@contextmanager
def explained_offline(network: str, source: str) -> Iterator[None]:
    """Turn the error of a failed download into one that says what to do.

    Raises:
        ConnectionError: If Keras could not fetch a file.
    """
    try:
        yield
    except Exception as error:  # Keras raises nothing more specific
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"Expected to fetch the published weights of {network!r} ({source}). Received: "
            f"{_first_line(error)}. Use weights=None to train from scratch, name a file of "
            "weights, or run again where the address can be reached."
        ) from error


def _load_keras_file(backbone: keras.Model, path: Path) -> None:
    source, expected = read_network(path), _shapes(backbone)
    if any(layer.name == "backbone" for layer in source.layers):
        source = source.get_layer("backbone")
    elif _shapes(source) != expected and isinstance(source.layers[-1], keras.layers.Dense):
        # A whole network without a nested backbone: take everything before its last layer.
        source = keras.Model(source.inputs, source.layers[-1].input)
    found = _shapes(source)
    if found != expected:
        pairs = enumerate(zip(found, expected, strict=False))
        shorter = min(len(found), len(expected))
        differing = next((n for n, (one, other) in pairs if one != other), shorter)
        raise ValueError(
            f"Expected weights of a backbone with {len(expected)} arrays in {path}. Received: "
            f"{len(found)} arrays; the first to differ is number {differing}: "
            f"{found[differing : differing + 1]} in the file, "
            f"{expected[differing : differing + 1]} in the network."
        )
    backbone.set_weights(source.get_weights())


def _load_h5_file(backbone: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Keras only warns about layers it finds nothing for, and leaves them random.
            warnings.filterwarnings("error", message="Skipping nested container")
            backbone.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise ValueError(
            f"Expected weights of a backbone with {len(backbone.weights)} arrays and "
            f"{backbone.count_params():,} parameters in {path}. Received: {_first_line(error)} "
            "A whole network's weights are read from its .keras file."
        ) from error


def _loss_in(path: Path) -> Any:
    """Return the loss that the network in a file was compiled with, as Keras writes it, or None."""
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            compiled = json.loads(file.attrs.get("training_config", "{}"))
    else:
        with zipfile.ZipFile(path) as archive:
            compiled = json.loads(archive.read("config.json")).get("compile_config")
    return (compiled or {}).get("loss")


def _class_weights(loss: Any) -> list[float] | None:
    """Return the class weights of a loss as Keras writes it, or of the one for emotions in it."""
    if not isinstance(loss, dict) or not isinstance(loss.get("config"), dict):
        return None
    if EMOTION_LOSS in (loss.get("registered_name"), loss.get("class_name")):
        return loss["config"].get("class_weights")
    return _class_weights(loss["config"].get("emotion"))


def _shapes(model: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in model.weights]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
