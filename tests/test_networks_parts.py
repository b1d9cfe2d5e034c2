"""The parts of a network: head, phases of training, files of weights; and the shipped backbone."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import pattern  # noqa: E402

from builder_tools.networks import (  # noqa: E402
    NETWORKS,
    Head,
    build_network,
    check_network,
    set_trainable,
    vit,
)
from builder_tools.networks.head import divide_by_weights, with_head  # noqa: E402
from builder_tools.networks.inputs import standardised_grey  # noqa: E402

pytestmark = pytest.mark.slow


def faces(count: int, size: int) -> np.ndarray:
    """Gives images within 70...180, far from black and white, as float32."""
    rng = np.random.default_rng(0)
    grey = np.stack([pattern(number, size, rng) for number in range(count)])
    colour = grey[..., None] + rng.normal(0, 25, (count, size, size, 3))
    return (70 + 110 * np.clip(colour, 0, 255) / 255).astype(np.float32)


def answers(network, images: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(network(images, training=False))


@pytest.fixture(scope="module")
def compact():
    """The shipped architecture with biases and a decided head, so that faces differ in answer."""
    keras.utils.set_random_seed(0)
    network = build_network("compact", 9)
    rng = np.random.default_rng(1)
    network.set_weights(
        [w + rng.uniform(0, 0.2, w.shape) * (w.ndim == 1) for w in network.get_weights()]
    )
    head = network.layers[-1]
    head.kernel.assign(head.kernel * 3)
    return network


def test_faces_differ_in_their_answer(compact):
    assert answers(compact, faces(8, 48)).std(axis=0).max() > 0.01


@pytest.mark.parametrize(("factor", "added"), [(1.0, 60), (1.0, -60), (0.5, 40), (1.4, -60)])
def test_light_and_contrast_matter_little(compact, factor, added):
    """Faces are standardised; the epsilon that guards flat ones leaves a trace."""
    changed = faces(8, 48) * factor + added
    assert changed.min() >= 0 and changed.max() <= 255
    np.testing.assert_allclose(answers(compact, changed), answers(compact, faces(8, 48)), atol=0.02)


def test_colour_is_its_luminance(compact):
    grey = faces(8, 48) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(answers(compact, grey), answers(compact, faces(8, 48)), atol=1e-4)


@pytest.mark.parametrize("size", [16, 32, 49])
def test_it_works_at_other_sizes(compact, size):
    np.testing.assert_allclose(answers(compact, faces(2, size)).sum(axis=1), 1, atol=1e-5)


def test_the_shipped_model_is_the_registrys_compact(compact):
    """Files from before the backbone was a layer of its own hold the same weights in order."""
    file = "saved_models/fast/model.keras"
    if not os.path.isfile(file):
        pytest.skip("the shipped Keras network is absent")
    shipped = keras.saving.load_model(file, compile=False)
    network = build_network("compact", 9, 48)
    network.set_weights(shipped.get_weights())
    np.testing.assert_allclose(
        answers(network, faces(4, 48)), answers(shipped, faces(4, 48)), atol=1e-6
    )


@pytest.mark.parametrize("name", ["compact", "vit_small", "conv_lstm", "mobilenet_v2"])
def test_mixed_precision_still_gives_float32_probabilities(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = build_network(name, 9, 48)
    finally:
        keras.config.set_dtype_policy("float32")
    layers = mixed.get_layer("backbone").layers
    assert "bfloat16" in {layer.compute_dtype for layer in layers}
    found = answers(mixed, faces(2, 48))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_class_weights_are_taken_out_of_probabilities():
    """0.2, 0.3, 0.5 by 1, 3, 5: two, one and one of four parts each."""
    network = with_head(
        keras.Sequential([keras.Input((4,)), keras.layers.Identity()]),
        Head(dropout=0),
        3,
        name="toy",
    )
    kernel, _ = network.get_layer("emotion").get_weights()
    biases = np.log([0.2, 0.3, 0.5])
    network.get_layer("emotion").set_weights([np.zeros_like(kernel), biases])
    divide_by_weights(network, np.array([1.0, 3.0, 5.0]))
    np.testing.assert_allclose(network(np.ones((1, 4)))[0], [0.5, 0.25, 0.25], atol=1e-6)


def test_standardised_grey_worked_by_hand():
    """Red, green and blue of 255 have the luminances 76.2, 149.7 and 29.1."""
    inputs = keras.Input((1, 3, 3))
    model = keras.Model(inputs, standardised_grey(inputs))
    image = 255 * np.eye(3, dtype=np.float32)[None, None]
    grey = np.array([0.299, 0.587, 0.114])
    expected = (grey - grey.mean()) / np.sqrt(grey.var() + 1e-4)
    np.testing.assert_allclose(answers(model, image)[0, 0, :, 0], expected, atol=1e-4)
    assert model.trainable_variables == []


def test_parameters_of_whole_networks_as_published():
    """FER+'s VGG13 has 8.8 M for 8 classes, Keras' CIFAR-10 example 1,250,858 for 10."""
    convolutions = 640 + 36_928 + 73_856 + 147_584 + 295_168 + 5 * 590_080
    dense = 4096 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 8 + 8
    assert build_network("ferplus_vgg13", 8).count_params() == convolutions + dense + 3
    assert round((convolutions + dense) / 1e6, 1) == 8.8
    assert build_network("cifar10_convnet", 10).count_params() == 1_250_858


def test_the_baseline_is_that_of_the_documents():
    """32-32-pool-128-128-pool-256-6."""
    network = build_network("baseline_cnn", 6, 48)
    layers = network.get_layer("backbone").layers
    shown = []
    for layer in layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            shown.append("pool")
        elif isinstance(layer, keras.layers.Dense):
            shown.append(layer.units)
        elif isinstance(layer, keras.layers.Conv2D) and layer.trainable:
            shown.append(layer.filters)
    assert shown == [32, 32, "pool", 128, 128, "pool", 256]
    assert network.output_shape == (None, 6)


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (Head(), 128 * 9 + 9),
        (Head(dense=(64, 32)), 128 * 64 + 64 + 64 * 32 + 32 + 32 * 9 + 9),
        (Head(pooling="max"), 128 * 9 + 9),
        (Head(pooling="flatten"), 3 * 3 * 128 * 9 + 9),
    ],
)
def test_the_head_worked_by_hand(head, count):
    """Mini-Xception leaves 3x3x128 features of a 48 px face."""
    network = build_network("mini_xception", 9, 48, head=head)
    assert network.count_params() - network.get_layer("backbone").count_params() == count
    rates = [x.rate for x in network.layers if isinstance(x, keras.layers.Dropout)]
    assert rates == [0.3] * (1 + len(head.dense))


def test_the_head_pools_as_it_says():
    """Average and maximum of a map, seen through an identity for the last layer."""
    images = faces(2, 48)
    for pooling, pool in (("average", np.mean), ("max", np.max)):
        network = build_network("mini_xception", 9, 48, head=Head(pooling=pooling))
        features = answers(network.get_layer("backbone"), images)
        pooled = answers(keras.Model(network.input, network.get_layer("pooling").output), images)
        np.testing.assert_allclose(pooled, pool(features, axis=(1, 2)), atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"), [("pooling", "sum"), ("dropout", 1.0), ("dense", (64, 0))]
)
def test_a_head_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=f"Expected .*{field}"):
        Head(**{field: value})


def test_flatten_needs_a_size():
    with pytest.raises(ValueError, match="input_size=None"):
        build_network("compact", 9, head=Head(pooling="flatten"))


@pytest.mark.parametrize("what", ["tail", -1, 1000, True, 2.0, None])
def test_a_phase_that_cannot_be_is_refused(compact, what):
    with pytest.raises(ValueError, match=r"'all', 'head' or a number of layers in 0\.\.\.91"):
        set_trainable(compact, what)


def test_layers_are_counted_at_the_size_that_is_trained():
    """`face_resnet` has a layer less at its own size than for small faces."""
    check_network("face_resnet", [48], learns=["head", 114])
    for sizes, layers in (([48], 114), ([], 113)):
        with pytest.raises(ValueError, match=rf"layers in 0\.\.\.{layers}\. "):
            check_network("face_resnet", sizes, learns=[layers + 1])


def test_zero_layers_are_the_head_and_all_of_them_are_all(compact):
    def learning():
        return [weight.path for weight in compact.trainable_weights]

    set_trainable(compact, "all")
    everything = learning()
    assert "grey/kernel" not in everything and len(everything) > 70
    set_trainable(compact, len(compact.get_layer("backbone").layers))
    assert learning() == everything
    set_trainable(compact, 0)
    assert learning() == [weight.path for weight in compact.layers[-1].weights]


def test_phases_survive_saving(tmp_path):
    """A network saved in the first phase can learn in the second."""
    network = set_trainable(build_network("compact", 9, 16), "head")
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert len(loaded.trainable_weights) == 2
    assert len(set_trainable(loaded, "all").trainable_weights) == len(
        set_trainable(network, "all").trainable_weights
    )


@pytest.mark.parametrize("name", ["compact", "vit_small"])
def test_it_is_deployed_with_the_same_answers(name, tmp_path, monkeypatch):
    """From a network of any size, and a transformer; `benchmarks/networks.py` checks them all."""
    pytest.importorskip("tf2onnx")
    monkeypatch.setattr(vit, "SMALL_FACE", replace(vit.SMALL_FACE, depth=2))  # blocks are alike
    from builder_tools.classifier import EmotionClassifier
    from builder_tools.emotions import NINE_EMOTIONS
    from builder_tools.export import export_model

    rng = np.random.default_rng(3)
    network = build_network(name, 9)
    head = network.layers[-1]
    head.kernel.assign(head.kernel * 20)
    images = rng.integers(0, 256, (6, 1, 1, 3)) * rng.random((6, 48, 48, 3))
    export = export_model(
        network,
        tmp_path / name,
        images.astype(np.uint8),
        load=EmotionClassifier,
        emotions=NINE_EMOTIONS.names,
        preprocessing="inside",
    )
    assert export.parity.max_abs_difference < 1e-5
    assert export.parity.faces == 6


def test_frames_of_zeros_survive_the_runtime(tmp_path):
    """ONNX Runtime pools around a padding layer's zeros as if they were not there."""
    pytest.importorskip("tf2onnx")
    import onnxruntime

    from builder_tools.export import write_onnx
    from builder_tools.networks.bit import zero_framed

    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.MaxPooling2D(3, strides=2)(zero_framed(inputs)))
    write_onnx(model, tmp_path / "pool.onnx", ("one",))
    session = onnxruntime.InferenceSession(tmp_path / "pool.onnx")
    below = -np.ones((1, 4, 4, 1), np.float32)
    found = session.run(None, {session.get_inputs()[0].name: below})[0]
    np.testing.assert_array_equal(found[0, :, :, 0], [[0, 0], [0, -1]])


@pytest.fixture
def donor():
    keras.utils.set_random_seed(5)
    return build_network("baseline_cnn", 7, 48)


@pytest.mark.parametrize("file", ["whole.keras", "backbone.keras", "backbone.weights.h5"])
def test_a_backbone_starts_from_a_file(donor, file, tmp_path):
    source = donor if file.startswith("whole") else donor.get_layer("backbone")
    save = source.save_weights if file.endswith(".h5") else source.save
    save(tmp_path / file)
    network = build_network("baseline_cnn", 9, weights=tmp_path / file)
    pairs = zip(network.get_layer("backbone").weights, donor.weights, strict=False)
    assert all(np.array_equal(mine, its) for mine, its in pairs)
    assert network.output_shape == (None, 9)


@pytest.mark.parametrize("file", ["whole.keras", "backbone.weights.h5", "whole.weights.h5"])
def test_weights_of_another_network_are_refused(donor, file, tmp_path):
    source = donor if file.startswith("whole") else donor.get_layer("backbone")
    save = source.save_weights if file.endswith(".h5") else source.save
    save(tmp_path / file)
    with pytest.raises(ValueError, match=r"Expected weights of a backbone with \d+ arrays"):
        build_network("compact", 9, weights=tmp_path / file)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.keras"):
        build_network("compact", 9, weights=tmp_path / "absent.keras")
    (tmp_path / "weights.pt").write_bytes(b"torch")
    with pytest.raises(ValueError, match=r"weights\.pt"):
        build_network("compact", 9, weights=tmp_path / "weights.pt")
    (tmp_path / "broken.h5").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"broken\.h5"):
        build_network("compact", 9, weights=tmp_path / "broken.h5")
    (tmp_path / "broken.keras").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"broken\.keras"):
        build_network("compact", 9, weights=tmp_path / "broken.keras")
    build_network("compact_tiny", 9).save(tmp_path / "whole.keras")
    whole = (tmp_path / "whole.keras").read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for content in (whole[:-50], changed):
        (tmp_path / "broken.keras").write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected a whole \.keras file.*broken\.keras"):
            build_network("compact_tiny", 9, weights=tmp_path / "broken.keras")


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"\['compact'.*network='vgg99'"):
        build_network("vgg99", 9)


def test_a_side_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ValueError, match=r"multiple of the patch, 6 px. Received: 50. Try 48"):
        build_network("vit_small", 9, 50)


def test_a_network_of_one_size_is_built_for_it_unless_told_otherwise():
    assert not NETWORKS["cifar10_convnet"].any_size
    assert build_network("cifar10_convnet", 9).input_shape == (None, 32, 32, 3)


def test_the_shipped_model_is_a_start_for_fine_tuning():
    """It was saved before backbones were nested: its last layer is left out."""
    file = Path(__file__).parents[1] / "saved_models/fast/model.keras"
    shipped = keras.models.load_model(file, compile=False)
    network = build_network("compact", 9, weights=file)
    network.get_layer("emotion").set_weights(shipped.layers[-1].get_weights())
    faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3)).astype(np.float32)
    np.testing.assert_allclose(network(faces), shipped(faces), atol=1e-6)


def test_the_next_size_a_network_can_take():
    spec = NETWORKS["vit_small"]
    assert [spec.size_from(least) for least in (1, 24, 32, 36, 37)] == [24, 24, 36, 36, 42]
    assert NETWORKS["compact"].size_from(33) == 33
