"""A run that goes on with a network and its head, and one that brings a new head."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_training import CONFIG, TRAIN, VALID, tiny_is_a_network  # noqa: E402, F401

from builder_tools.networks import Head, build_network, read_network  # noqa: E402
from builder_tools.networks.head import divide_by_weights  # noqa: E402
from builder_tools.training import Stage, TrainingConfig, train  # noqa: E402
from builder_tools.training.losses import class_weights  # noqa: E402

HARDLY = {**CONFIG, "stages": (Stage(16, 1),), "learning_rate": 1e-9, "warmup_epochs": 0}
"""One epoch that changes no weight but the statistics of normalisation."""


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A toy that has been learnt, as a file."""
    path = tmp_path_factory.mktemp("learnt") / "model.keras"
    train(TrainingConfig(**CONFIG), TRAIN, VALID, None).model.save(path)
    return path


def answers(network: keras.Model) -> np.ndarray:
    sides = keras.ops.image.resize(np.repeat(VALID.images[..., None], 3, -1) * 1.0, (16, 16))
    return np.asarray(network(sides))


def trained_on(weights, **changes) -> keras.Model:
    config = TrainingConfig(**{**HARDLY, "weights": str(weights), **changes})
    return train(config, TRAIN, VALID, None).model


def test_a_kept_head_answers_as_before_and_a_new_one_does_not(learnt):
    before = answers(read_network(learnt))
    kept, new = (answers(trained_on(learnt, keep_head=keep)) for keep in (True, False))
    assert np.abs(kept - before).mean() < 0.05 < np.abs(new - before).mean()
    head = read_network(learnt).get_layer("emotion").get_weights()
    for found, expected in zip(
        trained_on(learnt, keep_head=True).get_layer("emotion").get_weights(), head, strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_class_weights_tilt_a_kept_head_until_they_are_taken_out(learnt):
    targets = np.eye(3, dtype=np.float32)[[0] * 40 + [1] * 20 + [2] * 11]
    rare = type(TRAIN)(TRAIN.images, targets)
    config = TrainingConfig(
        **{**HARDLY, "weights": str(learnt), "keep_head": True, "class_weight_power": 0.5}
    )
    network = train(config, rare, VALID, None).model
    bias = read_network(learnt).get_layer("emotion").get_weights()[1]
    weights = class_weights(targets, 0.5)
    tilted = network.get_layer("emotion").get_weights()[1]
    np.testing.assert_allclose(tilted, bias + np.log(weights), atol=1e-5)
    divide_by_weights(network, weights)
    np.testing.assert_allclose(network.get_layer("emotion").get_weights()[1], bias, atol=1e-5)


@pytest.mark.parametrize("head, layer", [(Head(dense=(5,)), "hidden_1"), (Head(), "emotion")])
def test_another_head_is_refused(learnt, tmp_path, head, layer):
    path = learnt
    if layer == "emotion":  # As many arrays, of another length.
        path = tmp_path / "four.keras"
        build_network("tiny", 4, head=head).save(path)
    with pytest.raises(ValueError, match=f"Expected a layer '{layer}' with arrays of"):
        trained_on(path, keep_head=True, head=head)


def test_a_backbone_alone_has_no_head(learnt, tmp_path):
    read_network(learnt).get_layer("backbone").save(tmp_path / "backbone.keras")
    with pytest.raises(ValueError, match="no such layer"):
        trained_on(tmp_path / "backbone.keras", keep_head=True)


@pytest.mark.parametrize("weights", [None, "pretrained"])
def test_there_must_be_a_head_to_keep(weights):
    with pytest.raises(ValueError, match="a whole network to keep its head"):
        TrainingConfig(network="face_mobilenet", weights=weights, keep_head=True)
