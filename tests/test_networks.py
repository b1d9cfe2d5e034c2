"""One contract for every network of the registry."""

import os
import re

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import pattern  # noqa: E402

from builder_tools.networks import NETWORKS, build_network  # noqa: E402
from builder_tools.networks.architectures import standardised_grey  # noqa: E402

pytestmark = pytest.mark.slow

NUM_CLASSES = 9


def faces(count: int, size: int, channels: int = 3) -> np.ndarray:
    """Gives pictures within 70...180, far from black and white, as float32."""
    rng = np.random.default_rng(0)
    grey = np.stack([pattern(number, size, rng) for number in range(count)])
    colour = grey[..., None] + rng.normal(0, 25, (count, size, size, channels))
    return (70 + 110 * np.clip(colour, 0, 255) / 255).astype(np.float32)


def lively(model: keras.Model) -> keras.Model:
    """Gives a fresh network biases and a decided head, so that faces differ in their answer."""
    rng = np.random.default_rng(1)
    model.set_weights(
        [w + rng.uniform(0, 0.2, w.shape) * (w.ndim == 1) for w in model.get_weights()]
    )
    head = model.layers[-1]
    head.kernel.assign(head.kernel * 3)
    return model


@pytest.fixture(scope="module", params=list(NETWORKS))
def network(request):
    """Name, spec, the network for any size, and its answers to eight faces at its own size."""
    name, spec = request.param, NETWORKS[request.param]
    keras.utils.set_random_seed(0)
    model = lively(build_network(name, NUM_CLASSES))
    return name, spec, model, model.predict(faces(8, spec.input_size), verbose=0)


def test_probabilities_of_every_class(network):
    _, _, model, found = network
    assert found.shape == (8, NUM_CLASSES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found >= 0).all()
    assert found.std(axis=0).max() > 0.01, "faces must differ in their answer"
    assert model.output_shape == (None, NUM_CLASSES)


def test_any_whole_range_picture_gets_finite_probabilities(network):
    _, spec, model, _ = network
    size = spec.input_size
    extremes = np.stack([np.full((size, size, 3), value, np.float32) for value in (0, 127, 255)])
    found = model.predict(extremes, verbose=0)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_fixed_size_gives_the_same_answers(network):
    name, spec, model, found = network
    fixed = build_network(name, NUM_CLASSES, spec.input_size)
    assert fixed.input_shape == (None, spec.input_size, spec.input_size, 3)
    assert model.input_shape == (None, None, None, 3)
    fixed.set_weights(model.get_weights())
    np.testing.assert_allclose(
        fixed.predict(faces(8, spec.input_size), verbose=0), found, atol=1e-5
    )


def test_it_works_at_other_sizes(network):
    _, spec, model, _ = network
    for size in (32, spec.input_size + 1):
        found = model.predict(faces(2, size), verbose=0)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_it_saves_and_reloads_exactly(network, tmp_path):
    _, spec, model, found = network
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.predict(faces(8, spec.input_size), verbose=0), found)


@pytest.mark.parametrize(("factor", "added"), [(1.0, 60), (1.0, -60), (0.5, 40), (1.4, -60)])
def test_light_and_contrast_matter_little(network, factor, added):
    """Faces are standardised; the epsilon that guards flat ones leaves a trace."""
    _, spec, model, found = network
    changed = faces(8, spec.input_size) * factor + added
    assert changed.min() >= 0 and changed.max() <= 255
    np.testing.assert_allclose(model.predict(changed, verbose=0), found, atol=0.02)


def test_colour_is_its_luminance(network):
    _, spec, model, found = network
    grey = faces(8, spec.input_size) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(model.predict(grey, verbose=0), found, atol=1e-4)


def test_the_description_counts_the_parameters(network):
    _, spec, model, _ = network
    said = float(re.search(r"([\d.]+) M parameters", spec.description)[1])
    assert round(model.count_params() / 1e6, 1) == said


def test_mixed_precision_still_gives_float32_probabilities(network):
    name, spec, _, _ = network
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build_network(name, NUM_CLASSES, spec.input_size)
    finally:
        keras.config.set_dtype_policy("float32")
    assert "bfloat16" in {layer.compute_dtype for layer in mixed.layers}
    found = mixed.predict(faces(2, spec.input_size), verbose=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_standardised_grey_worked_by_hand():
    """Red, green and blue of 255 have the luminances 76.2, 149.7 and 29.1."""
    inputs = keras.Input((1, 3, 3))
    model = keras.Model(inputs, standardised_grey(inputs))
    picture = 255 * np.eye(3, dtype=np.float32)[None, None]
    grey = np.array([0.299, 0.587, 0.114])
    expected = (grey - grey.mean()) / np.sqrt(grey.var() + 1e-4)
    np.testing.assert_allclose(model.predict(picture, verbose=0)[0, 0, :, 0], expected, atol=1e-4)
    assert model.trainable_variables == []


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"\['compact'.*network='vgg99'"):
        build_network("vgg99", 9)
