"""Networks published for other frameworks: files are read right, and hostile ones refused.

Small files are written in the published layouts; the real ones are used where they are at hand.
"""

import json
import os
import pickle
import pickletools
import struct
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.assets import ASSETS, asset_path  # noqa: E402
from builder_tools.networks import (  # noqa: E402
    NETWORKS,
    build_network,
    efficientnet_lite,
    face_resnet,
    restore_batch_norm,
)
from builder_tools.networks.pytorch_file import MAGIC, VERSION, read_pytorch  # noqa: E402

RNG = np.random.default_rng(0)
EFFICIENTNET, FACES = efficientnet_lite.FILE, (face_resnet.MANIFEST_FILE, face_resnet.DATA_FILE)
MACHINE = {"protocol_version": VERSION, "little_endian": True}


class Stored:
    def __init__(self, array, key):
        self.array, self.key = array, key

    def __reduce__(self):
        steps = tuple(step // self.array.itemsize for step in self.array.strides)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        storage = ("storage", sys.modules["torch"].FloatStorage, self.key, "cpu", self.array.size)
        return rebuild, (Reference((*storage, None)), 0, self.array.shape, steps, False, None)


class Reference:
    def __init__(self, pid):
        self.pid = pid


class Pickler(pickle.Pickler):
    def persistent_id(self, what):
        return what.pid if isinstance(what, Reference) else None


@pytest.fixture
def write_pytorch(tmp_path, monkeypatch):
    """Writes float32 arrays as PyTorch did before 1.6."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild(*_): ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild

    def write(arrays, file=tmp_path / "toy.pth"):
        stored = {name: Stored(array, str(n)) for n, (name, array) in enumerate(arrays.items())}
        keys = [each.key for each in stored.values()]
        with monkeypatch.context() as patch, file.open("wb") as out:
            patch.setitem(sys.modules, "torch", torch)
            patch.setitem(sys.modules, "torch._utils", utils)
            for part in (MAGIC, VERSION, MACHINE, OrderedDict(stored), keys):
                Pickler(out, 2).dump(part)
            for array in arrays.values():
                out.write(struct.pack("<q", array.size) + array.ravel("K").tobytes())
        return file

    return write


def random_like(shape) -> np.ndarray:
    return RNG.uniform(0.5, 1, size=shape).astype(np.float32)


def test_tensors_are_read_whatever_their_strides(write_pytorch):
    upright = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = read_pytorch(write_pytorch({"a": upright, "b": upright.T, "c": upright[0, 0:1]}))
    assert list(found) == ["a", "b", "c"]
    np.testing.assert_array_equal(found["a"], upright)
    np.testing.assert_array_equal(found["b"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["c"], [0])


@pytest.mark.parametrize(
    "called",
    [b"cos\nsystem\n(S'touch %s'\ntR.", b'cbuiltins\neval\n(S\'open("%s", "w")\'\ntR.'],
)
@pytest.mark.parametrize("place", range(5))
def test_a_hostile_pickle_is_refused_before_anything_is_called(tmp_path, called, place):
    victim, file = tmp_path / "victim", tmp_path / "hostile.pth"
    parts = [pickle.dumps(part, 2) for part in (MAGIC, VERSION, MACHINE, {}, [])]
    parts[place] = called % os.fsencode(victim)
    file.write_bytes(b"".join(parts))
    with pytest.raises(ValueError, match=r"Received: .*hostile\.pth \(it asks for \w+\.\w+, which"):
        read_pytorch(file)
    assert not victim.exists()


def test_tensors_that_reach_outside_their_storage_are_refused(write_pytorch):
    """The toy's shape (2, 3), the only such tuple, becomes (2, 9) or (-1, 3)."""
    file = write_pytorch({"a": np.zeros((2, 3), np.float32)})
    content = file.read_bytes()
    shape = pickletools.optimize(pickle.dumps((2, 3), 2))[2:-1]
    assert content.count(shape) == 1
    for other in (b"K\x02K\x09\x86", b"J\xff\xff\xff\xffK\x03\x86"):
        file.write_bytes(content.replace(shape, other))
        with pytest.raises(ValueError, match="a tensor"):
            read_pytorch(file)


def test_a_cut_longer_or_other_file_is_refused(write_pytorch):
    file = write_pytorch({"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.float32)})
    content = file.read_bytes()
    cuts = [content[:length] for length in range(0, len(content), 7)]
    for other in (*cuts, content[:-1], content + b"x", b"PK\x03\x04" + content):
        file.write_bytes(other)
        with pytest.raises(ValueError, match=r"Expected a whole file of tensors.*toy\.pth"):
            read_pytorch(file)


def test_efficientnet_lites_layout_is_read(monkeypatch, write_pytorch):
    """Kernels come output channels first, those of depthwise convolutions as (c, 1, k, k)."""
    monkeypatch.setattr(efficientnet_lite, "STAGES", ((1, 3, 1, 1, 16), (1, 5, 2, 6, 24)))
    monkeypatch.setattr(efficientnet_lite, "HEAD", 32)
    shapes = {
        "_conv_stem": (32, 3, 3, 3),
        "_bn0": 32,
        "_blocks.0._depthwise_conv": (32, 1, 3, 3),
        "_blocks.0._bn1": 32,
        "_blocks.0._project_conv": (16, 32, 1, 1),
        "_blocks.0._bn2": 16,
        "_blocks.1._expand_conv": (96, 16, 1, 1),
        "_blocks.1._bn0": 96,
        "_blocks.1._depthwise_conv": (96, 1, 5, 5),
        "_blocks.1._bn1": 96,
        "_blocks.1._project_conv": (24, 96, 1, 1),
        "_blocks.1._bn2": 24,
        "_conv_head": (32, 24, 1, 1),
        "_bn1": 32,
        "_fc": (1000, 32),
    }
    arrays = {f"{name}.weight": random_like(shape) for name, shape in shapes.items()}
    for name in (name for name in shapes if "bn" in name):
        for part in ("bias", "running_mean", "running_var"):
            arrays[f"{name}.{part}"] = random_like(shapes[name])
    file = write_pytorch(arrays)
    network = build_network("efficientnet_lite0", 9, 32, weights=file)
    backbone = network.get_layer("backbone")
    stem, depthwise = (backbone.get_layer(n) for n in ("stem_conv", "block_1_depthwise_conv"))
    np.testing.assert_array_equal(stem.kernel, arrays["_conv_stem.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(
        keras.ops.squeeze(depthwise.kernel, -1),
        arrays["_blocks.1._depthwise_conv.weight"][:, 0].transpose(1, 2, 0),
    )
    variance = backbone.get_layer("head_bn").moving_variance
    np.testing.assert_array_equal(variance, arrays["_bn1.running_var"])
    del arrays["_bn1.running_var"]
    with pytest.raises(ValueError, match=r"Expected an array '_bn1\.running_var'"):
        efficientnet_lite.load_published(backbone, write_pytorch(arrays))


def face_resnet_arrays() -> dict[str, np.ndarray]:
    """One plain and one halving unit."""
    convolutions = {
        "conv32_down": (7, 7, 3, 32),
        "conv32_1/conv1": (3, 3, 32, 32),
        "conv32_1/conv2": (3, 3, 32, 32),
        "conv64_down/conv1": (3, 3, 32, 64),
        "conv64_down/conv2": (3, 3, 64, 64),
    }
    arrays = {}
    for name, shape in convolutions.items():
        arrays[f"{name}/conv/filters"] = RNG.normal(0, 0.1, shape).astype("<f4")
        for part in ("conv/bias", "scale/weights", "scale/biases"):
            arrays[f"{name}/{part}"] = random_like(shape[-1])
    return arrays


def write_json(folder, arrays):
    listed = [{"name": n, "shape": list(a.shape), "dtype": "float32"} for n, a in arrays.items()]
    (folder / "toy.json").write_text(json.dumps([{"paths": ["toy.bin"], "weights": listed}]))
    (folder / "toy.bin").write_bytes(b"".join(a.tobytes() for a in arrays.values()))
    return folder / "toy.json"


def test_dlibs_face_network_is_read_and_its_scales_become_normalisations(monkeypatch, tmp_path):
    """The halving unit by its published rule: zeros for new channels and for missing rows."""
    monkeypatch.setattr(face_resnet, "STAGES", ((32, ("1",)), (64, ("down",))))
    arrays = face_resnet_arrays()
    file = write_json(tmp_path, arrays)
    backbone = build_network("face_resnet", 9, 103, weights=file).get_layer("backbone")
    faces = RNG.uniform(0, 255, (4, 103, 103, 3)).astype(np.float32)
    before = backbone.predict(faces, verbose=0)
    assert before.shape == (4, 12, 12, 64)

    def scaled(x, name, stride=1, padding="same"):
        x = keras.ops.conv(x, arrays[f"{name}/conv/filters"], stride, padding)
        x = x + arrays[f"{name}/conv/bias"]
        return x * arrays[f"{name}/scale/weights"] + arrays[f"{name}/scale/biases"]

    relu = keras.ops.relu
    x = (faces - np.float32([122.782, 117.001, 104.298])) / 255
    x = keras.ops.max_pool(relu(scaled(x, "conv32_down", 2, "valid")), 3, 2, "valid")
    x = relu(x + scaled(relu(scaled(x, "conv32_1/conv1")), "conv32_1/conv2"))
    y = scaled(relu(scaled(x, "conv64_down/conv1", 2, "valid")), "conv64_down/conv2")
    y = np.pad(y, ((0, 0), (0, 1), (0, 1), (0, 0)))
    shortcut = np.pad(keras.ops.average_pool(x, 2, 2, "valid"), ((0, 0),) * 3 + ((0, 32),))
    np.testing.assert_allclose(before, np.maximum(y + shortcut, 0), rtol=1e-4, atol=1e-3)
    restore_batch_norm(backbone, faces)
    np.testing.assert_allclose(backbone.predict(faces, verbose=0), before, rtol=1e-4, atol=1e-3)


def test_json_of_another_network_or_without_its_bytes_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(face_resnet, "STAGES", ((32, ("1",)), (64, ("down",))))
    file = write_json(tmp_path, face_resnet_arrays())
    with pytest.raises(ValueError, match="Expected the arrays of a face MobileNet"):
        build_network("face_mobilenet", 9, 32, weights=file)
    file = write_json(tmp_path, {"conv32_down/conv/filters": np.zeros((7, 7, 3, 8), "<f4")})
    with pytest.raises(ValueError, match=r"arrays of dlib's face network.*\(7, 7, 3, 8\), None"):
        build_network("face_resnet", 9, 103, weights=file)
    (tmp_path / "toy.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"beside it.*toy\.bin"):
        build_network("face_resnet", 9, 103, weights=file)


@pytest.mark.parametrize("name", [EFFICIENTNET, *FACES])
def test_files_of_pretrained_networks_tell_licence_and_package(name):
    asset = ASSETS[name]
    assert asset.package and asset.member.endswith(name) and len(asset.sha256) == 64
    assert asset.licence.startswith(("Apache-2.0", "CC0-1.0")) and asset.extra == "study"


def need_asset(*names):
    for name in names:
        try:
            asset_path(name, fetch=False)
        except FileNotFoundError:
            pytest.skip(f"{name} was not fetched yet")


@pytest.mark.slow
def test_efficientnet_lite_knows_coffee():
    need_asset(EFFICIENTNET)
    data = pytest.importorskip("skimage.data")
    image = data.coffee()[:, 100:500].astype(np.float32)[None]
    backbone = build_network("efficientnet_lite0", 9, weights="pretrained").get_layer("backbone")
    small = keras.ops.image.resize(image, (224, 224), antialias=True)
    features = keras.ops.convert_to_numpy(backbone(small, training=False)).mean(axis=(1, 2))
    arrays = read_pytorch(asset_path(EFFICIENTNET))
    logits = features @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    assert logits.argmax() == 967, "espresso"


@pytest.mark.slow
def test_published_face_resnet_keeps_its_answers_when_statistics_are_measured():
    need_asset(*FACES)
    backbone = build_network("face_resnet", 9, weights="pretrained").get_layer("backbone")
    assert NETWORKS["face_resnet"].folded
    faces = RNG.uniform(0, 255, (16, 150, 150, 3)).astype(np.float32)
    before = backbone.predict(faces, verbose=0)
    restore_batch_norm(backbone, faces)
    np.testing.assert_allclose(backbone.predict(faces, verbose=0), before, atol=1e-4)
