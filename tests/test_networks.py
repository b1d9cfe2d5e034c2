"""One contract for every network of the registry.

Each is built once, at its smallest size, and called eagerly: no graph is compiled.
"""

import os
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.networks import (  # noqa: E402
    NETWORKS,
    NetworkSpec,
    batch_norm_layers,
    build_network,
    set_trainable,
)

pytestmark = pytest.mark.slow

NUM_CLASSES = 9
WHITE, RED = (255.0, 255.0, 255.0), (255.0, 0.0, 0.0)


@dataclass
class Built:
    """A network of the registry as its tests share it."""

    name: str
    spec: NetworkSpec
    size: int
    network: keras.Model

    @property
    def backbone(self) -> keras.Model:
        return self.network.get_layer("backbone")

    def faces(self, count: int = 2) -> np.ndarray:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (count, self.size, self.size, 3), np.uint8)

    def answers_of(self, network: keras.Model) -> np.ndarray:
        return keras.ops.convert_to_numpy(network(self.faces(), training=False))

    @cached_property
    def answers(self) -> np.ndarray:
        """What it says with the weights of now; whoever trains it deletes them."""
        return self.answers_of(self.network)


def number_of_parameters(name: str) -> float:
    """Millions, as a network's docstring has them."""
    return float(re.search(r"([\d.]+) M\s+parameters", NETWORKS[name].backbone.__doc__)[1])


@pytest.fixture(scope="module", params=sorted(NETWORKS, key=number_of_parameters))
def built(request):
    name, spec = request.param, NETWORKS[request.param]
    keras.utils.set_random_seed(0)
    built = Built(name, spec, spec.min_size, build_network(name, NUM_CLASSES, spec.min_size))
    yield built
    built.network = None
    keras.utils.clear_session()  # collects garbage, too


ALIKE = {
    "compact_wide": "compact",
    "compact_late": "compact",
    "vggface_vgg16": "vgg16",
    "vggface_resnet50": "resnet50",
    "mobilenet_v3_small": "mobilenet_v3",
    "efficientnet_b7": "efficientnet_b0",
    "efficientnet_v2_m": "efficientnet_v2_b0",
}
"""Networks that are others but for their widths, depths or what stands before them."""


@pytest.fixture
def original(built):
    """A network that is not like another one: what holds for it holds for that, too."""
    if built.name in ALIKE:
        pytest.skip(f"its layers are those of {ALIKE[built.name]}")
    return built


def test_it_gives_probabilities_of_whole_range_images(built):
    found = built.answers
    assert found.shape == (2, NUM_CLASSES) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert built.network.input_shape == (None, built.size, built.size, 3)
    assert built.network.layers[-1].name == "emotion"
    assert built.network.name == built.name


def test_it_does_not_train_unasked(original):
    called_plainly = keras.ops.convert_to_numpy(original.network(original.faces()))
    np.testing.assert_allclose(called_plainly, original.answers, atol=1e-6)


# What the first convolution sees of white and of red, channel by channel.
IMAGENET_WHITE = [(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
IMAGENET_RED = [IMAGENET_WHITE[0], -0.456 / 0.224, -0.406 / 0.225]
CENTRED = ([1, 1, 1], [1, -1, -1])
CAFFE = ([151.061, 138.221, 131.32], [-103.939, -116.779, 131.32])
PREPROCESSED = {
    "vgg16": CAFFE,
    "resnet50": CAFFE,
    "face_mobilenet": CAFFE,
    "vggface_vgg16": ([161.406, 150.2376, 125.8137], [-93.594, -104.7624, 125.8137]),
    "vggface_resnet50": ([163.5047, 151.1173, 123.9088], [-91.4953, -103.8827, 123.9088]),
    "mobilenet_v2": CENTRED,
    "mobilenet_v3": CENTRED,
    "mobilenet_v3_small": CENTRED,
    "inception_v3": CENTRED,
    "inception_resnet_v2": CENTRED,
    "xception": CENTRED,
    "efficientnet_b0": (IMAGENET_WHITE, IMAGENET_RED),
    "efficientnet_b7": (IMAGENET_WHITE, IMAGENET_RED),
    "efficientnet_lite0": ([1] * 3, [1, -127 / 128, -127 / 128]),
    "face_resnet": ([0.5185, 0.54117, 0.59099], [0.5185, -0.45883, -0.40901]),
    "efficientnet_v2_b0": (IMAGENET_WHITE, IMAGENET_RED),
    "efficientnet_v2_m": ([127 / 128] * 3, [127 / 128, -1, -1]),
    "bit_m_r50x1": CENTRED,
    "vit_b8": CENTRED,
    "darknet53": ([1, 1, 1], [1, 0, 0]),
    "cifar10_convnet": ([1, 1, 1], [1, 0, 0]),
    "mini_xception": ([1], [2 * 0.299 - 1]),
}


def test_preprocessing_is_inside(built):
    """The rest turn faces to grey of mean 0 and variance 1: a flat face becomes 0."""
    expected = PREPROCESSED.get(built.name, ([0], [0]))
    convolutions = [x for x in built.backbone.layers if isinstance(x, keras.layers.Conv2D)]
    first = next(layer for layer in convolutions if layer.name != "grey")
    seen_by_it = keras.Model(built.backbone.input, first.input)
    flat = np.ones((2, built.size, built.size, 3)) * np.array([WHITE, RED])[:, None, None]
    seen = keras.ops.convert_to_numpy(seen_by_it(flat.astype(np.float32)))
    centre = seen.shape[1] // 2
    np.testing.assert_allclose(seen[:, centre, centre], expected, atol=1e-3)


def test_only_the_head_is_left_to_learn(built):
    set_trainable(built.network, "head")
    assert built.network.trainable_weights == built.network.layers[-1].weights


STEPPED: set[type] = set()
"""Kinds of layers with weights that stood still while a head learned, with the smallest network
that has them (they come in the order of their sizes)."""


def test_the_head_learns_and_the_frozen_backbone_does_not(original):
    network, backbone = original.network, original.backbone
    kinds = {type(layer) for layer in backbone.layers if layer.weights}
    if kinds <= STEPPED:
        pytest.skip("every kind of layer it has stood still in another network")
    STEPPED.update(kinds)
    set_trainable(network, "head")
    before, bias = backbone.get_weights(), network.layers[-1].get_weights()[1]
    assert np.isfinite(one_step(original))
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert not np.array_equal(bias, network.layers[-1].get_weights()[1])


def test_the_last_layers_learn(built):
    count = built.spec.unfreeze or 12
    set_trainable(built.network, count)
    last = built.backbone.layers[-count:]
    learning = [weight for layer in last for weight in layer.trainable_weights]
    assert learning, "the last layers must have something to learn"
    head = built.network.layers[-1].weights
    assert {id(w) for w in built.network.trainable_weights} == {id(w) for w in learning + head}


def test_one_batch_changes_every_learning_layer(original):
    set_trainable(original.network, "all")
    grey = [layer for layer in original.backbone.layers if layer.name == "grey"]
    assert not any(layer.trainable_weights for layer in grey)
    weights = original.network.trainable_weights
    before = [keras.ops.convert_to_numpy(weight) for weight in weights]
    assert np.isfinite(one_step(original))
    pairs = zip(before, weights, strict=True)
    moved = [not np.array_equal(old, keras.ops.convert_to_numpy(new)) for old, new in pairs]
    assert np.mean(moved) > 0.9


def one_step(built: Built) -> float:
    """Trains one batch with SGD; gives the loss."""
    built.network.compile(keras.optimizers.SGD(0.01), "categorical_crossentropy", run_eagerly=True)
    targets = np.eye(NUM_CLASSES, dtype=np.float32)[[1, 5]]
    vars(built).pop("answers", None)
    return float(built.network.train_on_batch(built.faces().astype(np.float32), targets))


RELOADED: set[type] = set()
"""Kinds of layers that were saved and reloaded: what networks have in common is tried once, with
the smallest that has it (they come in the order of their sizes)."""


def test_it_saves_and_reloads_with_the_same_answers(original, tmp_path):
    """The smallest as a whole; of the others all that comes before the layers it has not."""
    network, outputs = original.network, {}
    for layer in original.backbone.layers:
        if type(layer) not in RELOADED:
            outputs.setdefault(type(layer), layer.output)
    if not outputs:
        pytest.skip("every kind of layer it has was reloaded with another network")
    if RELOADED:
        network = keras.Model(original.backbone.input, list(outputs.values()))
    RELOADED.update(outputs)
    file = tmp_path / "network.keras"
    network.save(file, include_optimizer=False)
    loaded = keras.saving.load_model(file, compile=False)
    file.unlink()
    pairs = [
        keras.tree.flatten(each(original.faces(), training=False)) for each in (network, loaded)
    ]
    for mine, its in zip(*pairs, strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)
    # Untrained deep networks hardly tell faces apart, so the weights are compared, too.
    for mine, its in zip(network.weights, loaded.weights, strict=True):
        assert np.array_equal(mine, its), mine.path


def test_the_registry_knows_who_normalises_by_batch(built):
    assert built.spec.batch_norm == any(batch_norm_layers(built.network))


def test_any_size_gives_the_answers_of_a_fixed_one(original):
    if not original.spec.any_size:
        pytest.skip("it is built for a fixed size")
    free = build_network(original.name, NUM_CLASSES)
    assert free.input_shape == (None, None, None, 3)
    free.set_weights(original.network.get_weights())
    np.testing.assert_allclose(original.answers_of(free), original.answers, atol=1e-5)


def test_too_small_a_face_is_refused(built):
    with pytest.raises(ValueError, match=rf"at least {built.spec.min_size} px for '{built.name}'"):
        build_network(built.name, NUM_CLASSES, built.spec.min_size - 1)


def test_the_spec_is_whole(built):
    spec = built.spec
    assert spec.min_size <= spec.input_size
    assert spec.description and len(spec.description) < 90
    assert (spec.unfreeze is None) == (spec.pretrained is None)


def test_the_docstring_counts_the_parameters(built):
    """Where the number follows from the face's size, the size is said."""
    doc = " ".join(built.spec.backbone.__doc__.split())
    said = re.search(r"([\d.]+) M parameters with nine classes", doc)
    if said is None:
        assert re.search(r"[\d.]+ M parameters at \d+ px", doc)
        return
    decimals = len(said[1].partition(".")[2])
    assert round(built.network.count_params() / 1e6, decimals) == float(said[1])


def parameters_of_vit_b8(size_px: int) -> int:
    """12 blocks of width 768 over patches of 8x8x3 and a class token."""
    attention, mlp, norms = 4 * (768 * 768 + 768), 2 * 4 * 768 * 768 + 5 * 768, 4 * 768
    embedding, token, places = 8 * 8 * 3 * 768 + 768, 768, ((size_px // 8) ** 2 + 1) * 768
    return 12 * (attention + mlp + norms) + embedding + places + token + 2 * 768


def test_parameters_of_vit_b8_as_published():
    assert round(parameters_of_vit_b8(224) / 1e6, 1) == number_of_parameters("vit_b8") == 85.8


# Parameters as published, or summed by hand from the paper's table.
BACKBONES = {
    "baseline_cnn": 3 + 320 + 9_248 + 36_992 + 147_584 + (4 * 4 * 128 + 1) * 256,
    "mini_xception": 58_423 - (3 * 3 * 128 * 7 + 7) + 3,
    "vgg16": 14_714_688,
    "vggface_vgg16": 14_714_688,
    "resnet50": 23_587_712,
    "vggface_resnet50": 23_587_712 - 26_560,
    "mobilenet_v2": 2_257_984,
    "mobilenet_v3": 2_996_352,
    "mobilenet_v3_small": 939_120,
    "inception_v3": 21_802_784,
    "xception": 20_861_480,
    "efficientnet_b0": 4_049_571,
    "efficientnet_v2_b0": 5_919_312,
    # Its statistics of normalisation count too: two for each of 21,008 channels.
    "efficientnet_lite0": 4_652_008 - (1280 * 1000 + 1000) + 2 * 21_008,
    "bit_m_r50x1": 25_549_352 - (2048 * 1000 + 1000),
    "darknet53": 40_620_640,
    # Grey input, no biases, four values of batch normalisation a channel.
    "vit_b8": parameters_of_vit_b8(NETWORKS["vit_b8"].min_size),
    "vgg16_scratch": 14_714_688 - 2 * 9 * 64 - 4_224 + 4 * 4_224 + 3,
}


def test_parameters_of_the_backbone(built):
    if built.name not in BACKBONES:
        pytest.skip("no count of it is published; its docstring's is tested above")
    assert built.backbone.count_params() == BACKBONES[built.name]
