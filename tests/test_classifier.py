"""The classifier on toy ONNX networks: sizes, batches, refusals, and a light import."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from builder_tools.cards import ModelCard, file_sha256, write_card
from builder_tools.classifier import CHUNK_FACES, EmotionClassifier
from builder_tools.media import resize_faces, write_image

SIZE = 8
EMOTIONS = ("happy", "neutral", "sad")
RNG = np.random.default_rng(0)


def save_toy(folder, *, emotions=EMOTIONS, named=None, outputs=3, size=SIZE, weight=None):
    """Writes a one-layer softmax network and a card for it."""
    weights = np.random.default_rng(1).normal(0, 2e-3, (SIZE * SIZE * 3, outputs))
    if weight is not None:
        weights[0] = weight
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["faces"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
        ],
        "toy",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, [None, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, outputs])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    if named is not None:
        helper.set_model_props(model, {"emotions": json.dumps(named)})
    onnx.save(model, folder / "model.onnx")
    sha256 = {"model.onnx": file_sha256(folder / "model.onnx")}
    write_card(folder, ModelCard("toy", "model.onnx", emotions, size, "none", sha256=sha256))
    return folder


def faces(n, height=SIZE, width=SIZE):
    return RNG.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_toy(tmp_path_factory.mktemp("toy"), named=EMOTIONS)


@pytest.fixture(scope="module")
def classifier(folder):
    return EmotionClassifier(folder)


def test_emotions_and_card(classifier):
    assert tuple(classifier.emotions) == EMOTIONS
    assert classifier.card.name == "toy"


def test_probabilities_of_known_faces(classifier):
    """All-black faces have zero logits, so every class gets a third."""
    found = classifier.predict(np.zeros((2, SIZE, SIZE, 3), np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.full((2, 3), 1 / 3), atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, CHUNK_FACES, 2 * CHUNK_FACES + 3])
def test_batches_do_not_change_results(classifier, n):
    batch = faces(n, 11, 9)
    together = classifier.predict(batch)
    alone = np.concatenate([classifier.predict(face[None]) for face in batch])
    assert together.shape == (n, 3)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_lists_of_different_sizes(classifier):
    mixed = [faces(1, *side)[0] for side in ((SIZE, SIZE), (40, 30), (3, 5), (1, 1))]
    found = classifier.predict(mixed)
    alone = np.concatenate([classifier.predict(face[None]) for face in mixed])
    np.testing.assert_allclose(found, alone, atol=1e-6)


@pytest.mark.parametrize("empty", [[], np.zeros((0, 9, 9, 3), np.uint8), np.array([])])
def test_no_faces_give_no_rows(classifier, empty):
    found = classifier.predict(empty)
    assert (found.shape, found.dtype) == ((0, 3), np.float32)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((1, SIZE, SIZE, 3), np.int32), "dtype=int32"),
        (np.full((2, SIZE, SIZE, 3), np.nan), "values of nan"),
        (np.zeros((2, SIZE, SIZE, 2), np.uint8), r"shape \(2, 8, 8, 2\)"),
        (np.zeros((1, 0, SIZE, 3), np.uint8), r"shape \(1, 0, 8, 3\)"),
        (np.zeros((1, 1, SIZE, SIZE, 3), np.uint8), r"shape \(1, 1, 8, 8, 3\)"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8)], r"Face 1: .*\(4, 4, 2\)"),
        ([np.zeros((4, 4, 3), np.uint8), b"no image at all"], "Face 1: Cannot read bytes"),
        ([3.5], "Face 0: Expected a path.*float"),
    ],
)
def test_bad_faces_are_refused(classifier, bad, message):
    with pytest.raises(ValueError, match=message):
        classifier.predict(bad)


class Tensor:
    """Like a tensor of some framework: no array, but says how to become one."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype)

    @property
    def shape(self):
        return self._values.shape


def test_faces_of_all_kinds_give_the_same(classifier, tmp_path):
    face = faces(1)[0]
    path = write_image(tmp_path / "face.png", face)
    expected = classifier.predict(face[None])
    same = [
        face,
        [face],
        face[None] / 255,
        face.astype(float),
        face.astype(np.uint16) * 257,
        np.dstack([face, np.full((SIZE, SIZE), 255, np.uint8)]),
        Tensor(face),
        Tensor(face[None]),
        path,
        str(path),
        [path],
        path.read_bytes(),
        bytearray(path.read_bytes()),
        memoryview(path.read_bytes()),
        io.BytesIO(path.read_bytes()),
        Image.fromarray(face),
        (face for face in [face]),
    ]
    for number, given in enumerate(same):
        found = classifier.predict(given)
        assert found.shape == (1, 3), number
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=str(number))
    grey = np.repeat(face[..., :1], 3, axis=2)
    expected = classifier.predict(np.stack([grey, grey]))
    for given in (np.stack([face[..., 0]] * 2), [face[..., 0], face[..., :1]]):
        np.testing.assert_array_equal(classifier.predict(given), expected)


def test_floats_of_a_batch_have_one_range(classifier):
    """A dark face beside a bright one is dark, not stretched by itself."""
    batch = np.stack([np.full((SIZE, SIZE, 3), 1.0), np.full((SIZE, SIZE, 3), 200.0)])
    found = classifier.predict(batch)
    np.testing.assert_array_equal(found, classifier.predict(batch.astype(np.uint8)))


def test_flip_average_is_the_mean_of_both_sides(folder, classifier):
    batch = faces(5)
    both = [classifier.predict(batch), classifier.predict(batch[:, :, ::-1])]
    averaging = EmotionClassifier(folder, flip_average=True)
    np.testing.assert_allclose(averaging.predict(batch), np.mean(both, axis=0), atol=1e-6)


def test_the_card_says_whether_to_average_unless_asked(folder, tmp_path):
    model = shutil.copytree(folder, tmp_path / "averaging")
    write_card(model, dataclasses.replace(ModelCard.read(model), flip_average=True))
    batch = faces(3)
    for asked, same_as in ((None, True), (True, True), (False, False)):
        expected = EmotionClassifier(folder, flip_average=same_as).predict(batch)
        found = EmotionClassifier(model, flip_average=asked).predict(batch)
        np.testing.assert_array_equal(found, expected)


def test_resizing_averages_when_shrinking():
    """Columns 0, 200 average to 100; nearest or linear sampling would not, at a factor of 4."""
    striped = np.zeros((1, 16, 16, 3), np.uint8)
    striped[:, :, ::2] = 200
    np.testing.assert_array_equal(resize_faces(striped, 4), np.full((1, 4, 4, 3), 100))


def test_threads_give_the_same_answers(folder, classifier):
    batch = faces(9)
    found = EmotionClassifier(folder, threads=np.int64(2)).predict(batch)
    np.testing.assert_allclose(found, classifier.predict(batch), atol=1e-6)
    with pytest.raises(ValueError, match="threads >= 1"):
        EmotionClassifier(folder, threads=0)


def test_tampered_file_is_refused(tmp_path):
    save_toy(tmp_path)
    with open(tmp_path / "model.onnx", "ab") as file:
        file.write(b"\0")
    with pytest.raises(ValueError, match=r"model\.onnx to have sha256"):
        EmotionClassifier(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": 4}, "Expected classes 3 .* Received: 4"),
        ({"size": 48}, r"Expected input size \(48, 48, 3\) .* Received: \(8, 8, 3\)"),
        ({"named": ("sad", "neutral", "happy")}, "Expected class order"),
    ],
)
def test_file_that_contradicts_its_card_is_refused(tmp_path, changes, message):
    save_toy(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        EmotionClassifier(tmp_path)


def test_unknown_suffix_is_refused(tmp_path):
    write_card(tmp_path, ModelCard("toy", "model.pt", EMOTIONS, SIZE, "none"))
    with pytest.raises(ValueError, match=r"'\.onnx', '\.tflite'.*Received: 'model\.pt'"):
        EmotionClassifier(tmp_path)


def test_import_and_use_stay_light(folder):
    code = (
        "import sys, numpy\n"
        "from builder_tools.classifier import EmotionClassifier\n"
        f"found = EmotionClassifier({str(folder)!r}).predict("
        "numpy.zeros((1, 20, 20, 3), numpy.uint8))\n"
        "assert found.shape == (1, 3)\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib', 'onnx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_reported_to_the_runtimes_maker(folder, tmp_path):
    code = f"from builder_tools.classifier import EmotionClassifier as C; C({str(folder)!r})"
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment.pop("XDG_CACHE_HOME", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_decisions_that_are_not_there_are_refused(tmp_path):
    folder = save_toy(tmp_path)
    with pytest.raises(ValueError, match="balanced decision in its card"):
        EmotionClassifier(folder, decision="balanced")
    with pytest.raises(ValueError, match=r"Expected decision of \['natural', 'balanced'\]"):
        EmotionClassifier(folder, decision="fair")


def test_temperature_of_the_card_is_applied(tmp_path):
    folder = save_toy(tmp_path)
    face = np.full((1, SIZE, SIZE, 3), 60, np.uint8)
    plain = EmotionClassifier(folder).predict(face)
    write_card(folder, dataclasses.replace(ModelCard.read(folder), temperature=2.0))
    root = np.sqrt(plain)
    found = EmotionClassifier(folder).predict(face)
    np.testing.assert_allclose(found, root / root.sum(), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".onnx", ".skops", ".tflite"])
@pytest.mark.parametrize("content", [b"", b"no model at all" * 40, b"PK\x03\x04" + bytes(90)])
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, suffix, content):
    """Its hash is right: whoever damaged it wrote the card, too."""
    if suffix != ".onnx":
        pytest.importorskip({".skops": "skops", ".tflite": "ai_edge_litert"}[suffix])
    file = tmp_path / f"model{suffix}"
    file.write_bytes(content)
    card = ModelCard("toy", file.name, EMOTIONS, SIZE, "", sha256={file.name: file_sha256(file)})
    write_card(tmp_path, card)
    with pytest.raises(ValueError, match="Expected a model"):
        EmotionClassifier(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_gives_no_numbers_is_refused(tmp_path, value):
    folder = save_toy(tmp_path, weight=value)
    with pytest.raises(ValueError, match=r"Expected numbers from the model 'toy'.*weights"):
        EmotionClassifier(folder).predict(faces(1))


def test_weights_outside_the_hashed_file_are_refused(tmp_path, monkeypatch):
    save_toy(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    external = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    onnx.save(model, tmp_path / "model.onnx", **external)
    sha256 = {"model.onnx": file_sha256(tmp_path / "model.onnx")}
    write_card(tmp_path, ModelCard("toy", "model.onnx", EMOTIONS, SIZE, "none", sha256=sha256))
    monkeypatch.chdir(tmp_path)  # where a file given as bytes would have its weights sought
    with pytest.raises(ValueError, match=r"Expected a model in .*External data"):
        EmotionClassifier(tmp_path)


class _Session:
    """Stands in for ONNX Runtime's on a machine with a GPU, or with one that does not work."""

    works = True

    def __init__(self, *arguments, providers, **options):
        self._session = _Session.made(*arguments, providers=["CPUExecutionProvider"], **options)
        self._providers = providers if self.works else ["CPUExecutionProvider"]

    def get_providers(self):
        return self._providers

    def __getattr__(self, name):
        return getattr(self._session, name)


@pytest.fixture
def gpu(monkeypatch):
    import onnxruntime

    monkeypatch.setattr(_Session, "made", onnxruntime.InferenceSession, raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", _Session)
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)


@pytest.mark.parametrize(("device", "used"), [("cpu", "cpu"), ("cuda", "cuda"), ("auto", "cuda")])
def test_a_gpu_is_used_if_it_is_asked_for(gpu, device, used):
    assert EmotionClassifier(device=device)._runtime.device == used


def test_a_gpu_that_cannot_be_used_is_told_or_done_without(gpu, monkeypatch):
    monkeypatch.setattr(_Session, "works", False)
    with pytest.raises(RuntimeError, match=r"could not use one here.*device='cpu'"):
        EmotionClassifier(device="cuda")
    assert EmotionClassifier(device="auto")._runtime.device == "cpu"


def test_devices_are_named():
    with pytest.raises(ValueError, match=r"device to be one of \['cpu', 'cuda', 'auto'\].*'tpu'"):
        EmotionClassifier(device="tpu")
    with pytest.raises(ImportError, match="onnxruntime-gpu"):
        EmotionClassifier(device="cuda")


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        (5, {}, TypeError, "name of a model or a folder. Received: int"),
        (EmotionClassifier, {}, TypeError, "Received: type"),
        ("fast", {"threads": "2"}, ValueError, "a whole number. Received: '2'"),
        ("fast", {"threads": 1.5}, ValueError, "a whole number. Received: 1.5"),
        ("fast", {"flip_average": "yes"}, ValueError, "True, False or None. Received: 'yes'"),
    ],
)
def test_options_of_another_type_are_refused(path, options, error, message):
    with pytest.raises(error, match=message):
        EmotionClassifier(path, **options)


def test_faces_of_a_generator_that_fills_one_array_again(classifier):
    def filled_again():
        kept = np.empty_like(faces[0])
        for face in faces:
            kept[:] = face
            yield kept

    faces = RNG.integers(0, 256, (5, 12, 12, 3), np.uint8)
    np.testing.assert_array_equal(classifier.predict(filled_again()), classifier.predict(faces))
