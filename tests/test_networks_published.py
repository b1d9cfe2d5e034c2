"""Published weights: their layouts are read right, and their absence is explained.

No file is fetched: small ones are written in the layout of the published files, by the names in
their authors' code.
"""

import hashlib
import os
import urllib.error

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")

from builder_tools.networks import NETWORKS, bit, build_network, darknet, vggface, vit  # noqa: E402
from builder_tools.networks.families import IMAGENET  # noqa: E402

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
IMAGENET_NETWORKS = [name for name, spec in NETWORKS.items() if spec.pretrained == IMAGENET]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No address can be reached, and nothing was fetched before."""
    from keras.src.utils import file_utils

    def refuse(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(file_utils, "urlretrieve", refuse)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v2", "mobilenet_v3_small", "vggface_vgg16", "bit_m_r50x1", "vit_b8", "darknet53"],
)
def test_weights_that_cannot_be_fetched_are_explained(name, offline, tmp_path):
    with pytest.raises(ConnectionError) as caught:
        build_network(name, 9, 32, weights="pretrained")
    said = str(caught.value)
    assert name in said and "https://" in said and "weights=None" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    keras.utils.clear_session()


def test_networks_without_published_weights_say_so():
    with pytest.raises(ValueError, match=r"none are published.*'vgg16', 'resnet50'"):
        build_network("compact", 9, weights="pretrained")


def in_folder(folder):
    """Fetched files lie in the folder already."""
    return lambda origin, **_: str(folder / origin.rpartition("/")[2])


def random_like(shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def test_big_transfers_layout_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(bit, "STAGES", ((128, 2), (256, 1)))
    backbone = bit.bit_m_r50x1(32)
    arrays = {"resnet/root_block/standardized_conv2d/kernel": random_like((7, 7, 3, 64))}
    for unit, inward, middle, outward in (
        ("block1/unit01", 64, 32, 128),
        ("block1/unit02", 128, 32, 128),
        ("block2/unit01", 128, 64, 256),
    ):
        shapes = {"a": (1, 1, inward, middle), "b": (3, 3, middle, middle)}
        shapes["c"] = (1, 1, middle, outward)
        for part, shape in shapes.items():
            place = f"resnet/{unit}/{part}"
            arrays[f"{place}/standardized_conv2d/kernel"] = random_like(shape)
            for name in ("gamma", "beta"):
                arrays[f"{place}/group_norm/{name}"] = random_like(shape[2])
    projection = random_like((1, 1, 128, 256))
    arrays["resnet/block1/unit01/a/proj/standardized_conv2d/kernel"] = random_like((1, 1, 64, 128))
    arrays["resnet/block2/unit01/a/proj/standardized_conv2d/kernel"] = projection
    for name in ("gamma", "beta"):
        arrays[f"resnet/group_norm/{name}"] = random_like(256)
    np.savez(tmp_path / "bit.npz", **arrays)
    bit.load_published(backbone, tmp_path / "bit.npz")
    assert sum(array.size for array in arrays.values()) == backbone.count_params()
    np.testing.assert_array_equal(backbone.get_layer("block2_unit01_proj").kernel, projection)
    np.testing.assert_array_equal(
        backbone.get_layer("block1_unit02_b_norm").beta,
        arrays["resnet/block1/unit02/b/group_norm/beta"],
    )


def test_a_standardised_kernel_worked_by_hand():
    """Kernel values 1, 3 have mean 2 and deviation 1: they act as -1, 1."""
    layer = bit.StandardisedConv2D(1, 1, use_bias=False)
    layer.build((None, 1, 1, 2))
    layer.kernel.assign(np.array([1.0, 3.0]).reshape(1, 1, 2, 1))
    found = layer(np.array([5.0, 9.0], np.float32).reshape(1, 1, 1, 2))
    assert float(keras.ops.squeeze(found)) == pytest.approx(4, abs=1e-4)


def vit_arrays(shape: vit.TransformerShape, tokens: int) -> dict[str, np.ndarray]:
    width, heads = shape.width, shape.heads
    arrays = {
        "embedding/kernel": random_like((shape.patch, shape.patch, 3, width)),
        "embedding/bias": random_like(width),
        "cls": random_like((1, 1, width)),
        "Transformer/posembed_input/pos_embedding": random_like((1, tokens, width)),
        "Transformer/encoder_norm/scale": random_like(width),
        "Transformer/encoder_norm/bias": random_like(width),
    }
    for block in range(shape.depth):
        place = f"Transformer/encoderblock_{block}"
        attention = f"{place}/MultiHeadDotProductAttention_1"
        for name in ("query", "key", "value"):
            arrays[f"{attention}/{name}/kernel"] = random_like((width, heads, width // heads))
            arrays[f"{attention}/{name}/bias"] = random_like((heads, width // heads))
        arrays[f"{attention}/out/kernel"] = random_like((heads, width // heads, width))
        arrays[f"{attention}/out/bias"] = random_like(width)
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            arrays[f"{place}/{norm}/scale"] = random_like(width)
            arrays[f"{place}/{norm}/bias"] = random_like(width)
        for number, (inward, outward) in enumerate(((width, 4 * width), (4 * width, width))):
            arrays[f"{place}/MlpBlock_3/Dense_{number}/kernel"] = random_like((inward, outward))
            arrays[f"{place}/MlpBlock_3/Dense_{number}/bias"] = random_like(outward)
    return arrays


def test_the_vision_transformers_layout_is_read(monkeypatch, tmp_path):
    shape = vit.TransformerShape(patch=8, width=24, depth=2, heads=3)
    monkeypatch.setattr(vit, "BASE_8", shape)
    backbone, arrays = vit.vit_b8(32), vit_arrays(shape, 17)
    np.savez(tmp_path / "vit.npz", **arrays)
    vit.load_published(backbone, tmp_path / "vit.npz")
    assert sum(array.size for array in arrays.values()) == backbone.count_params()
    query, bias, key, *_, out, _ = backbone.get_layer("block_1_attention").get_weights()
    attention = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    for found, name in ((query, "query/kernel"), (bias, "query/bias"), (key, "key/kernel")):
        np.testing.assert_array_equal(found, arrays[f"{attention}/{name}"])
    np.testing.assert_array_equal(out, arrays[f"{attention}/out/kernel"])
    del arrays["cls"]
    np.savez(tmp_path / "less.npz", **arrays)
    with pytest.raises(ValueError, match="'cls'"):
        vit.load_published(backbone, tmp_path / "less.npz")


def test_places_of_patches_are_interpolated():
    """Four patches that hold 0, 0, 8, 8 become sixteen; rows go from 0 to 8 in equal steps."""
    places = np.array([5, 0, 0, 8, 8], np.float32).reshape(1, 5, 1)
    found = vit.resized_places(places, 17)
    assert found.shape == (1, 17, 1) and found[0, 0, 0] == 5
    np.testing.assert_allclose(found[0, 1:, 0].reshape(4, 4)[:, 0], [0, 2, 6, 8], atol=1e-5)
    assert vit.resized_places(places, 5) is places


def test_darknets_layout_is_read(monkeypatch, tmp_path):
    """Header, then beta, gamma, mean, variance and the kernel with output channels first."""
    monkeypatch.setattr(darknet, "STAGES", ((8, 1),))
    backbone = darknet.darknet53(32)
    count = backbone.count_params()
    numbers = np.arange(count, dtype="<f4")
    header = np.array([0, 2, 0, 0, 0], "<i4")
    (tmp_path / "darknet").write_bytes(header.tobytes() + numbers.tobytes())
    darknet.load_published(backbone, tmp_path / "darknet")
    first, norm = (
        next(x for x in backbone.layers if isinstance(x, kind))
        for kind in (keras.layers.Conv2D, keras.layers.BatchNormalization)
    )
    gamma, beta, mean, variance = norm.get_weights()
    assert (beta[0], gamma[0], mean[0], variance[0]) == (0, 32, 64, 96)
    kernel = keras.ops.convert_to_numpy(first.kernel)
    assert kernel[0, 0, 0, 0] == 128, "the first output channel's first value"
    assert kernel[0, 1, 0, 0] == 129, "then across"
    assert kernel[0, 0, 1, 0] == 128 + 9, "then the next input channel"
    assert kernel[0, 0, 0, 1] == 128 + 27, "then the next output channel"
    (tmp_path / "short").write_bytes(header.tobytes() + numbers[:-1].tobytes())
    with pytest.raises(ValueError, match=f"Received: {count - 1:,}"):
        darknet.load_published(backbone, tmp_path / "short")


def darknet_bytes(count: int, minor: int = 2, more: int = 0) -> bytes:
    header = np.array([0, minor, 0, 0, 0][: 3 + minor], "<i4")
    return header.tobytes() + np.arange(count + more, dtype="<f4").tobytes()


@pytest.mark.parametrize(("name", "minor"), [("darknet53.conv.74", 1), ("yolov3.weights", 2)])
def test_darknets_files_are_taken_by_name(monkeypatch, tmp_path, name, minor):
    """Either version of the header; the file of the whole detector begins with the backbone."""
    monkeypatch.setattr(darknet, "STAGES", ((8, 1),))
    count = darknet.darknet53(32).count_params()
    monkeypatch.setattr(darknet, "YOLO_V3_NUMBERS", count + 7)
    more = 7 if name.endswith(".weights") else 0
    (tmp_path / name).write_bytes(darknet_bytes(count, minor, more))
    network = build_network("darknet53", 9, 32, weights=tmp_path / name)
    norms = [x for x in network.get_layer("backbone").layers if "normalization" in x.name]
    assert float(norms[0].beta[1]) == 1 and float(norms[0].moving_variance[0]) == 96


def test_random_numbers_of_the_right_length_are_no_darknet(monkeypatch, tmp_path):
    monkeypatch.setattr(darknet, "STAGES", ((8, 1),))
    backbone = darknet.darknet53(32)
    before, content = backbone.get_weights(), darknet_bytes(backbone.count_params())
    noise = random_like(backbone.count_params()).tobytes()
    for tampered, said in (
        (content[:20] + noise, "negative variances"),
        (noise + noise[:20], "ver"),
    ):
        (tmp_path / "file").write_bytes(tampered)
        with pytest.raises(ValueError, match=said):
            darknet.load_published(backbone, tmp_path / "file")
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_fetched_file_that_differs_from_the_first_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(darknet, "STAGES", ((8, 1),))
    monkeypatch.setattr(keras.utils, "get_file", in_folder(tmp_path))
    file, record = (tmp_path / f"darknet53.conv.74{end}" for end in ("", ".sha256"))
    content = darknet_bytes(darknet.darknet53(32).count_params())
    file.write_bytes(content[:-4])
    with pytest.raises(ValueError, match="numbers after the header"):
        build_network("darknet53", 9, 32, weights="pretrained")
    assert not record.exists(), "what did not fit is not what later files are held to"
    file.write_bytes(content)
    for _ in range(2):
        build_network("darknet53", 9, 32, weights="pretrained")
    assert record.read_text() == f"{hashlib.sha256(content).hexdigest()}  darknet53.conv.74\n"
    file.write_bytes(content[:-1] + b"\x00")
    with pytest.raises(ValueError, match=r"as it was first loaded.*Delete it and darknet53"):
        build_network("darknet53", 9, 32, weights="pretrained")


def test_npz_files_are_taken_by_name_and_others_refused(monkeypatch, tmp_path):
    shape = vit.TransformerShape(patch=8, width=24, depth=1, heads=3)
    monkeypatch.setattr(vit, "BASE_8", shape)
    monkeypatch.setattr(bit, "STAGES", ((128, 1),))
    arrays, file = vit_arrays(shape, 17), tmp_path / "B_8.npz"
    np.savez(file, **arrays)
    network = build_network("vit_b8", 9, 32, weights=file)
    kernel = network.get_layer("backbone").get_layer("class_token").get_weights()[0]
    np.testing.assert_array_equal(kernel, arrays["cls"])
    with pytest.raises(ValueError, match="Expected an array 'resnet/"):
        build_network("bit_m_r50x1", 9, 32, weights=file)
    whole = file.read_bytes()
    tampered = whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:]
    for content in (whole[:-100], tampered, b"none"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected a whole \.npz file.*B_8\.npz"):
            build_network("vit_b8", 9, 32, weights=file)
    with pytest.raises(ValueError, match=r"Expected weights as one of \('.keras', '.h5'\)"):
        build_network("vgg16", 9, 32, weights=file)


def write_published_h5(path, layers) -> None:
    """Writes weights as Keras 2 did: a group a layer, names in attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _ in layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.1.3"
        for name, arrays in layers:
            group = file.create_group(name)
            names = [f"{name}/{weight}:0" for weight in arrays]
            group.attrs["weight_names"] = [weight.encode() for weight in names]
            for weight, array in zip(names, arrays.values(), strict=True):
                group.create_dataset(weight, data=array)


def test_vggfaces_layout_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(vggface, "VGG16_BLOCKS", ((4, 2), (6, 1)))
    shapes = {"conv1_1": (3, 3, 3, 4), "conv1_2": (3, 3, 4, 4), "conv2_1": (3, 3, 4, 6)}
    layers = [
        (name, {"kernel": random_like(shape), "bias": random_like(shape[-1])})
        for name, shape in shapes.items()
    ]
    write_published_h5(tmp_path / vggface.VGG16_FILE, layers)
    monkeypatch.setattr(keras.utils, "get_file", in_folder(tmp_path))
    backbone = vggface.vggface_vgg16(32, "pretrained")
    for name, arrays in layers:
        np.testing.assert_array_equal(backbone.get_layer(name).kernel, arrays["kernel"])
        np.testing.assert_array_equal(backbone.get_layer(name).bias, arrays["bias"])


def resnet_layers() -> list[tuple[str, dict[str, np.ndarray]]]:
    """The first stem and one projected unit of VGGFace2's ResNet-50, as Keras 2 listed them."""

    def convolution(name, *shape):
        return name, {"kernel": random_like(shape)}

    def normalisation(name, width):
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        return f"{name}/bn", {part: random_like(width) for part in parts}

    stem, unit = "conv1/7x7_s2", "conv2_1"
    return [
        convolution(stem, 7, 7, 3, 64),
        normalisation(stem, 64),
        convolution(f"{unit}_1x1_reduce", 1, 1, 64, 4),
        normalisation(f"{unit}_1x1_reduce", 4),
        convolution(f"{unit}_3x3", 3, 3, 4, 4),
        normalisation(f"{unit}_3x3", 4),
        convolution(f"{unit}_1x1_increase", 1, 1, 4, 16),
        convolution(f"{unit}_1x1_proj", 1, 1, 64, 16),
        normalisation(f"{unit}_1x1_increase", 16),
        normalisation(f"{unit}_1x1_proj", 16),
    ]


def test_vggface2s_layout_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(vggface, "RESNET50_STAGES", ((4, 1),))
    layers = resnet_layers()
    write_published_h5(tmp_path / vggface.RESNET50_FILE, layers)
    monkeypatch.setattr(keras.utils, "get_file", in_folder(tmp_path))
    backbone = vggface.vggface_resnet50(32, "pretrained")
    convolutions = [x for x in backbone.layers if isinstance(x, keras.layers.Conv2D)]
    kernels = [arrays["kernel"] for _, arrays in layers if "kernel" in arrays]
    for layer, kernel in zip(convolutions, kernels, strict=True):
        np.testing.assert_array_equal(layer.kernel, kernel)


def test_keras_own_weights_go_in_by_either_way(monkeypatch, tmp_path):
    """EfficientNet: Keras adds a layer for published weights; here files and names fit alike."""
    from keras.src.utils import file_utils

    source = keras.applications.EfficientNetB0(include_top=False, weights=None)
    file = tmp_path / "efficientnetb0_notop.h5"
    values = [w + RNG.normal(0, 0.01, w.shape) for w in source.get_weights()]
    names = [layer.name for layer in source.layers if layer.weights]
    layers, start = [], 0
    for name in names:
        weights = source.get_layer(name).weights
        arrays = dict(enumerate(values[start : start + len(weights)]))
        layers.append((name, {f"weight_{number}": array for number, array in arrays.items()}))
        start += len(weights)
    write_published_h5(file, layers)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(file))
    published = build_network("efficientnet_b0", 9, 32, weights="pretrained")
    by_file = build_network("efficientnet_b0", 9, 32, weights=file)
    for one, other in zip(published.weights[:-2], by_file.weights[:-2], strict=True):
        np.testing.assert_array_equal(one, other)
    face = RNG.integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    features = [
        keras.ops.convert_to_numpy(network.get_layer("backbone")(face, training=False))
        for network in (published, by_file)
    ]
    np.testing.assert_allclose(features[0], features[1], atol=1e-5)
    keras.utils.clear_session()
