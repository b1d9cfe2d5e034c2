"""Benchmarks measure the models that their cards tell of, and no others."""

import shutil
import sys

import pytest
from conftest import REPOSITORY

keras = pytest.importorskip("keras")
pytest.importorskip("onnxruntime")

sys.path.append(str(REPOSITORY / "benchmarks"))

import int8_forms  # noqa: E402
import precisions  # noqa: E402
import runtimes  # noqa: E402

from builder_tools.cards import CARD_FILE, ModelCard  # noqa: E402


@pytest.fixture
def exchanged(tmp_path):
    """A model folder whose network is not the one that its card tells of."""
    shutil.copy(REPOSITORY / "saved_models" / "fast" / CARD_FILE, tmp_path)
    inputs = keras.Input((48, 48, 3))
    outputs = keras.layers.Dense(9)(keras.layers.GlobalAveragePooling2D()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    return tmp_path


def test_an_exchanged_network_is_not_measured(exchanged, tmp_path):
    with pytest.raises(ValueError, match=r"Expected .*model\.keras to have sha256"):
        runtimes.load_network(str(exchanged), "compact")
    place = tmp_path / "forms"
    place.mkdir()
    with pytest.raises(ValueError, match=r"Expected .*model\.keras to have sha256"):
        precisions.write_forms(exchanged, ModelCard.read(exchanged), None, place)
    (exchanged / "model.onnx").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"Expected .*model\.onnx to have sha256"):
        int8_forms.write_forms(exchanged, tmp_path / "forms", None, {"float32": None})


def test_a_network_as_its_card_tells_is_measured():
    network, size, emotions = runtimes.load_network("fast", "compact")
    assert (size, len(emotions), network.output_shape[-1]) == (48, 9, 9)


def test_a_folder_without_a_network_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.keras"):
        runtimes.load_network(str(tmp_path), "compact")
