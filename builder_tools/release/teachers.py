"""Teachers: models of this study and third-party expression networks, asked about faces."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builder_tools import __version__
from builder_tools.assets import cache_folder
from builder_tools.cards import ModelCard, file_sha256, find_model, verify_files
from builder_tools.classifier import EmotionClassifier
from builder_tools.decisions import LEAST_PROBABILITY
from builder_tools.fields import read_json_object
from builder_tools.media import replacing, resize_faces
from builder_tools.media.partial import kept_array
from builder_tools.release.run_data import card_beside, emotions_of, expect_emotions_alone

if TYPE_CHECKING:
    import keras

_logger = logging.getLogger(__name__)

ASKED_AT_ONCE = 256
KERAS_FILE = "model.keras"
TEACHING_FILE = "teaching.json"
"""File in a run's folder that records what its network is taught."""


def mean_answers(
    names: Sequence[str], weights: Sequence[float], faces: np.ndarray, emotions: Sequence[str]
) -> np.ndarray:
    """Return the weighted mean of the teachers' probabilities, over faces and mirror images.

    A teacher's predictions are kept in the user's cache (36 bytes per face for nine classes), so
    the next student with the same teachers and faces starts at once.

    Args:
        names: Models by name or folder, expression networks by name, or `.keras` files (those in
            a run's folder are asked at the size they were last trained at, and answer without
            the effect of class weights; their emotions are those of the run, or `emotions` if
            it does not say).
        weights: Weight of each, above 0; they are normalised to sum to 1.
        faces: RGB uint8: `(n, H, W, 3)`, a list of faces of any size, or an object whose slices
            are either (`ResizedImages`).
        emotions: Classes of the result, in order.

    Returns:
        `(n, k)` probabilities.

    Raises:
        ValueError: If a teacher has other classes, or its file does not match its card.
    """
    from builder_tools.training.identity import content_hash

    shares = np.asarray(weights, np.float64) / np.sum(weights)
    seen = content_hash(face for chunk in _chunks(faces) for face in chunk)
    total = np.zeros((len(faces), len(emotions)))
    for name, share in zip(names, shares, strict=True):
        about = [__version__, teacher_record(name), _beside_file(name), list(emotions), seen]
        key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]
        file = cache_folder() / "answers" / f"{key}.npy"
        kept = kept_array(file, total.shape)
        total += share * (_asked(name, emotions, faces, file) if kept is None else kept)
    return total


def mean_teacher(
    names: Sequence[str], weights: Sequence[float], emotions: Sequence[str], size_px: int
) -> keras.Model:
    """Return one frozen network that returns the weighted mean of the teachers' probabilities.

    Those of a model have the temperature of its card.

    Args:
        names: As in `mean_answers`; models must have a `model.keras`.
        weights: As in `mean_answers`.
        emotions: Classes of the result, in order.
        size_px: Side of the faces it takes.

    Raises:
        FileNotFoundError: If a model has no `model.keras`.
        ValueError: If a teacher has other classes, or its file does not match its card.
    """
    import keras

    shares = np.asarray(weights, np.float64) / np.sum(weights)
    inputs = keras.Input((size_px, size_px, 3), name="face")
    networks = [_network(name, emotions, size_px) for name in names]
    # With unique names: two may be of the same kind, or of the student's.
    networks = [
        keras.Model(network.inputs, network.outputs[0], name=f"teacher_{number}")
        for number, network in enumerate(networks)
    ]
    answers = [
        network(inputs) * float(share) for network, share in zip(networks, shares, strict=True)
    ]
    mean = answers[0] if len(answers) == 1 else keras.layers.Add(dtype="float32")(answers)
    teacher = keras.Model(inputs, mean, name="teacher")
    teacher.trainable = False
    return teacher


def teacher_record(name: str, file: str | None = None) -> str:
    """Return what a card says about a teacher: its name and the hash of the file that answers.

    Args:
        name: As in `mean_answers`.
        file: Name of the file of a model folder that answers; None for the deployed one.

    Raises:
        FileNotFoundError: If the file is to be `model.keras`, and there is none.
        ValueError: If the file does not match the card.
    """
    from builder_tools.networks.teachers import EXPRESSION_NETWORKS

    if name in EXPRESSION_NETWORKS:
        from builder_tools.assets import ASSETS

        return f"{name} ({ASSETS[EXPRESSION_NETWORKS[name].files[-1]].sha256[:12]})"
    if name.endswith(".keras"):
        return f"{Path(name).parent.name}/{Path(name).name} ({file_sha256(Path(name))[:12]})"
    folder = find_model(name)
    card = ModelCard.read(folder)
    return f"{card.name} ({file_sha256(_verified(folder, card, file or card.file))[:12]})"


def teacher_temperature(name: str) -> float:
    """Return the temperature that a teacher answers at: that of its card, 1 without one."""
    card = _card_of(name)
    return 1.0 if card is None else card.temperature


def teaching_in(folder: Path) -> dict:
    """Return what the network in a run's folder is taught; {} if there is no record."""
    file = folder / TEACHING_FILE
    return read_json_object(file) if file.is_file() else {}


def reservations(teaching: Mapping) -> list[str]:
    """Return the disclosures for models taught, even indirectly, by third-party networks.

    Args:
        teaching: As stored in a card (`Teaching.to_dict`), including the teachers' own teaching.
    """
    from builder_tools.networks.teachers import EXPRESSION_NETWORKS

    names = [told.partition(" (")[0] for told in teaching.get("teachers", ())]
    found = [EXPRESSION_NETWORKS[name].reservation for name in names if name in EXPRESSION_NETWORKS]
    for earlier in teaching.get("taught_by", {}).values():
        found += reservations(earlier)
    return list(dict.fromkeys(found))


def _chunks(faces) -> Iterator[Sequence[np.ndarray]]:
    """Yield the faces in order, in chunks."""
    for start in range(0, len(faces), ASKED_AT_ONCE):
        yield faces[start : min(start + ASKED_AT_ONCE, len(faces))]


def _asked(name: str, emotions: Sequence[str], faces, file: Path) -> np.ndarray:
    """Ask a teacher and keep its predictions in a file; if that fails, log it and go on."""
    from tqdm import tqdm

    ask, chunks = _asker(name, emotions), math.ceil(len(faces) / ASKED_AT_ONCE)
    bar = tqdm(_chunks(faces), "teacher", chunks, file=sys.stderr, delay=2)
    found = np.concatenate([ask(chunk) for chunk in bar]).astype(np.float32)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial, partial.open("wb") as stream:
            np.save(stream, found)
    except OSError as error:
        _logger.warning("What %s answers could not be kept for the next student: %s", name, error)
    return found


def _asker(name: str, emotions: Sequence[str]):
    """Return a function from faces to probabilities, over each face and its mirror image."""
    from builder_tools.networks import trained_size_px
    from builder_tools.networks.teachers import EXPRESSION_NETWORKS

    if name in EXPRESSION_NETWORKS or name.endswith(".keras"):
        spec = EXPRESSION_NETWORKS.get(name)
        size_px = trained_size_px(Path(name)) if spec is None else spec.input_size
        if size_px is None:
            raise ValueError(
                f"Expected {name} in the folder of its run or model, which tells the size of its "
                "faces. Received: no config.json or card.json of it there."
            )
        network = _network(name, emotions, size_px)

        def ask(faces) -> np.ndarray:
            seen = resize_faces(faces, size_px).astype(np.float32)
            sides = (seen, seen[:, :, ::-1])
            return np.mean([network.predict_on_batch(side) for side in sides], axis=0)

        return ask
    teacher = EmotionClassifier(name, flip_average=True)
    if tuple(teacher.emotions) != tuple(emotions):
        raise ValueError(
            f"Expected a teacher of the classes {list(emotions)}. Received: {name!r} "
            f"with {list(teacher.emotions)}."
        )
    return teacher.predict


def _card_of(name: str) -> ModelCard | None:
    """Return the card of a teacher; None for expression networks and `.keras` files."""
    from builder_tools.networks.teachers import EXPRESSION_NETWORKS

    if name in EXPRESSION_NETWORKS or name.endswith(".keras"):
        return None
    return ModelCard.read(find_model(name))


def _beside_file(name: str) -> Any:
    """Return what decides a teacher's answers beside its file: its card, or what its run says."""
    from builder_tools.networks import trained_size_px

    card = _card_of(name)
    if card is not None:
        return card.answers_sha256
    return (
        [trained_size_px(Path(name)), emotions_of(Path(name))] if name.endswith(".keras") else None
    )


def _verified(folder: Path, card: ModelCard, file: str) -> Path:
    """Return the path of a file in a model folder that matches the card."""
    path = folder / file
    if file == KERAS_FILE and not path.is_file():
        raise FileNotFoundError(
            f"Expected {path}: a teacher that answers while a student is trained is needed as a "
            "Keras network. Received: no such file. Take a model that keeps one (those of shipped "
            "models are in a clone of the repository only), or leave --match-teachers out."
        )
    verify_files(folder, card, [file])
    return path


def _network(name: str, emotions: Sequence[str], size_px: int) -> keras.Model:
    """Return a teacher that maps faces of one size to probabilities in the order of `emotions`."""
    import keras

    from builder_tools.networks import read_network, trained_size_px
    from builder_tools.networks.teachers import EXPRESSION_NETWORKS, placed

    if name in EXPRESSION_NETWORKS:
        spec = EXPRESSION_NETWORKS[name]
        return placed(spec.build(size_px), spec.emotions, emotions)
    card = _card_of(name)
    if card is None:
        path, inside = Path(name), trained_size_px(Path(name))
        own = emotions_of(path) or tuple(emotions)
        if (beside := card_beside(path)) is not None:
            verify_files(path.parent, beside, [path.name])
    else:
        path = _verified(find_model(name), card, KERAS_FILE)
        own, inside = card.emotions, card.input_size
    expect_emotions_alone(path)
    network = read_network(path)
    if network.output_shape[-1] != len(own):
        raise ValueError(
            f"Expected a teacher with one output for each of {list(own)}. Received: {name!r} with "
            f"{network.output_shape[-1]}. Name a network of these emotions alone."
        )
    inside = inside or network.input_shape[1] or size_px
    inputs = keras.Input((size_px, size_px, 3))
    seen = inputs
    if inside != size_px:
        seen = keras.layers.Resizing(inside, inside, antialias=True, dtype="float32")(inputs)
    answers = network(seen)
    if card is not None and card.temperature != 1:
        logits = keras.ops.log(keras.ops.maximum(answers, LEAST_PROBABILITY))
        answers = keras.ops.softmax(logits / card.temperature)
    network = keras.Model(inputs, answers, name="teacher")
    return placed(network, own, emotions)
