"""Class weights of the loss: they teach, and are taken out of whatever answers afterwards."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import pattern  # noqa: E402
from toy_training import CONFIG, TRAIN, VALID, run_killed, tiny_is_a_network  # noqa: E402, F401

from builder_tools.classifier import EmotionClassifier  # noqa: E402
from builder_tools.media import write_image  # noqa: E402
from builder_tools.networks import Head, build_network, read_network  # noqa: E402
from builder_tools.release import export_network, load_data, train_and_ship  # noqa: E402
from builder_tools.release.teachers import mean_answers, mean_teacher  # noqa: E402
from builder_tools.training import Stage, TrainingConfig, train  # noqa: E402
from builder_tools.training.objectives import build_loss  # noqa: E402

NAMES = ("happy", "sad")
WEIGHTED = {**CONFIG, "stages": (Stage(16, 2),), "class_weight_power": 1.0}


def without_mirror(folder) -> EmotionClassifier:
    return EmotionClassifier(folder, flip_average=False)


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    """A run whose loss weights one class six times as much as the other, and its model."""
    root, rng = tmp_path_factory.mktemp("weighted"), np.random.default_rng(0)
    for split, counts in (("train", (6, 36)), ("val", (3, 9)), ("test", (3, 9))):
        for kind, (emotion, count) in enumerate(zip(NAMES, counts, strict=True)):
            for number in range(count):
                image = np.repeat(pattern(kind, 20, rng)[..., None], 3, axis=-1)
                write_image(root / "faces" / split / emotion / f"{number}.png", image)
    data = {"data": "folders", "source": root / "faces"}
    places = {"run_folder": root / "run", "model_folder": root / "model"}
    config = TrainingConfig(**WEIGHTED, keep="best")
    train_and_ship(config, **data, **places)
    faces = load_data("folders", root / "faces").split("test").resized(16)[:]
    return SimpleNamespace(
        root=root,
        data=data,
        faces=faces,
        shipped=without_mirror(root / "model").outputs(faces),
        learnt=keras.saving.load_model(root / "run/best.keras", compile=False)(faces * 1.0),
    )


@pytest.mark.slow
def test_an_exported_run_answers_like_the_shipped_model(weighted, tmp_path):
    ratio = np.log(weighted.learnt / weighted.shipped)
    np.testing.assert_allclose(ratio[:, 0] - ratio[:, 1], np.log(6), atol=1e-2)
    export_network(weighted.root / "run/best.keras", tmp_path / "again", size=16, **weighted.data)
    again = without_mirror(tmp_path / "again").outputs(weighted.faces)
    np.testing.assert_allclose(again, weighted.shipped, atol=1e-3)


@pytest.mark.slow
def test_a_run_teaches_like_the_shipped_network(weighted, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name, faces = str(weighted.root / "run/best.keras"), weighted.faces
    matched = mean_teacher([name], [1.0], NAMES, 16)(faces * 1.0)
    np.testing.assert_allclose(matched, weighted.shipped, atol=1e-3)
    both = [without_mirror(weighted.root / "model").outputs(side) for side in
            (faces, np.ascontiguousarray(faces[:, :, ::-1]))]  # fmt: skip
    asked = mean_answers([name], [1.0], faces, NAMES)
    np.testing.assert_allclose(asked, np.mean(both, axis=0), atol=1e-3)


@pytest.fixture(scope="module")
def tilted(tmp_path_factory):
    """Networks of each task with emotions, as their runs save them."""
    folder = tmp_path_factory.mktemp("tilted")
    targets = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [40, 20, 11])]
    for task in ("emotion", "both"):
        config = TrainingConfig(**WEIGHTED, head=Head(task=task))
        network = build_network("tiny", 3, head=config.head)
        width = network.output_shape[-1] - 3
        network.compile("adam", build_loss(config, np.pad(targets, ((0, 0), (0, width)))))
        for suffix in (".keras", ".h5"):
            network.save(folder / f"{task}{suffix}")
    return folder


@pytest.mark.parametrize("file", ["emotion.keras", "emotion.h5", "both.keras", "both.h5"])
def test_a_network_is_read_without_its_class_weights(tilted, file):
    """A class of 40 of 71 faces weighs 71 / (3 * 40)."""
    bias = read_network(tilted / file).get_layer("emotion").get_weights()[1]
    np.testing.assert_allclose(bias, -np.log(71 / (3 * np.array([40, 20, 11]))), rtol=1e-5)


def test_a_kept_head_is_continued_without_its_class_weights(tilted):
    hardly = {**CONFIG, "stages": (Stage(16, 1),), "learning_rate": 1e-9, "warmup_epochs": 0}
    kept = TrainingConfig(**hardly, weights=str(tilted / "emotion.keras"), keep_head=True)
    bias = train(kept, TRAIN, VALID, None).model.get_layer("emotion").get_weights()[1]
    np.testing.assert_allclose(bias, -np.log(71 / (3 * np.array([40, 20, 11]))), atol=1e-5)


@pytest.mark.slow
def test_a_weighted_run_resumes_as_it_was(tmp_path):
    """Its checkpoint is read with the weights in, unlike the file of a network in use."""
    config = TrainingConfig(**WEIGHTED)
    run_killed(tmp_path / "run", epoch=1, config=config)
    resumed = train(config, TRAIN, VALID, tmp_path / "run").model
    for found, expected in zip(
        resumed.get_weights(), train(config, TRAIN, VALID, None).model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)
