"""Networks of another schooling: their files are read right, and what they teach is exact."""

import json
import os
import zipfile

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from builder_tools.assets import asset_path  # noqa: E402
from builder_tools.cards import ModelCard, write_card  # noqa: E402
from builder_tools.datasets.unlabelled import unlabelled_faces  # noqa: E402
from builder_tools.emotions import NINE_EMOTIONS  # noqa: E402
from builder_tools.media import write_image  # noqa: E402
from builder_tools.networks import NETWORKS, build_network, restore_batch_norm  # noqa: E402
from builder_tools.networks.face_expression import (  # noqa: E402
    EMOTIONS,
    face_expression,
    interpolation_matrix,
)
from builder_tools.networks.face_mobilenet import load_published  # noqa: E402
from builder_tools.networks.normalisation import batch_norm_layers  # noqa: E402
from builder_tools.networks.teachers import EXPRESSION_NETWORKS, placed  # noqa: E402
from builder_tools.networks.tensorflow_js import read_tensorflow_js  # noqa: E402
from builder_tools.release.run_record import (  # noqa: E402
    origins_of,
    reservations_of,
    run_record,
    teaching_of,
)
from builder_tools.release.teachers import mean_teacher, reservations  # noqa: E402
from builder_tools.release.words import card_words  # noqa: E402
from builder_tools.training.losses import EmotionLoss  # noqa: E402
from builder_tools.training.matching import MatchingLoss  # noqa: E402

RNG = np.random.default_rng(0)


def need_asset(*names):
    try:
        return [asset_path(name) for name in names]
    except FileNotFoundError:
        pytest.skip(f"{names[0]} is not at hand")


def write_model(folder, listed, content):
    (folder / "m.json").write_text(json.dumps([{"paths": ["m.bin"], "weights": listed}]))
    (folder / "m.bin").write_bytes(content)
    return folder / "m.json", folder / "m.bin"


def test_arrays_of_tensorflow_js_are_read_in_order_and_restored(tmp_path):
    plain = np.array([[1.5, -2.0]], "<f4")
    packed = np.array([0, 10, 255], np.uint8)
    listed = [
        {"name": "a", "shape": [1, 2], "dtype": "float32"},
        {
            "name": "b",
            "shape": [3],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
        },
    ]
    files = write_model(tmp_path, listed, plain.tobytes() + packed.tobytes())
    arrays = read_tensorflow_js(*files)
    np.testing.assert_array_equal(arrays["a"], [[1.5, -2.0]])
    np.testing.assert_allclose(arrays["b"], [-1.0, 4.0, 126.5])


@pytest.mark.parametrize("more", [-1, 1])
def test_bytes_that_do_not_fit_the_manifest_are_refused(tmp_path, more):
    listed = [{"name": "a", "shape": [2], "dtype": "float32"}]
    files = write_model(tmp_path, listed, bytes(8 + more))
    with pytest.raises(ValueError, match=f"Expected 8 bytes of weights.*Received: {8 + more} in"):
        read_tensorflow_js(*files)


PACKED = '[{"weights": [{"name": "a", "shape": [1], "quantization": {"dtype": "uint8"}}]}]'


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '[{"weights": [{"name": "a"}]}]', PACKED])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Expected a TensorFlow\.js manifest"):
        read_tensorflow_js(tmp_path / "m.json", tmp_path / "m.bin")


def test_weights_of_another_network_are_refused(tmp_path):
    listed = [{"name": "a", "shape": [2], "dtype": "float32"}]
    files = write_model(tmp_path, listed, bytes(8))
    backbone = build_network("face_mobilenet", 9, 32).get_layer("backbone")
    with pytest.raises(ValueError, match="Expected the arrays of a face MobileNet"):
        load_published(backbone, *files)
    with pytest.raises(ValueError, match="Expected the arrays of face-api's expression network"):
        face_expression(48, *files)


def test_resizing_without_half_pixel_centres():
    """Two pixels to four: sources 0, 0.5, 1, 1.5, and the last pixel repeats."""
    expected = [[1, 0], [0.5, 0.5], [0, 1], [0, 1]]
    np.testing.assert_allclose(interpolation_matrix(2, 4), expected)
    np.testing.assert_allclose(interpolation_matrix(112, 112), np.eye(112))


@pytest.mark.slow
def test_the_expression_network_gives_probabilities_at_any_size():
    files = need_asset("face_expression_model-weights_manifest.json", "face_expression_model.bin")
    network = face_expression(48, *files)
    assert network.count_params() == 323_687
    faces = RNG.uniform(0, 255, (2, 48, 48, 3)).astype(np.float32)
    found = network.predict(faces, verbose=0)
    assert found.shape == (2, len(EMOTIONS))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    matrix = interpolation_matrix(48, 112)
    large = np.einsum("ah,nhwc,bw->nabc", matrix, faces, matrix)
    at_once = face_expression(112, *files).predict(large.astype(np.float32), verbose=0)
    np.testing.assert_allclose(found, at_once, atol=1e-4)


@pytest.mark.slow
def test_published_face_weights_keep_their_answers_when_statistics_are_measured():
    need_asset("faceres-deep.json", "faceres-deep.bin")
    backbone = build_network("face_mobilenet", 9, weights="pretrained").get_layer("backbone")
    assert NETWORKS["face_mobilenet"].folded
    faces = RNG.uniform(0, 255, (16, 64, 64, 3)).astype(np.float32)
    before = backbone.predict(faces, verbose=0)
    restore_batch_norm(backbone, faces)
    np.testing.assert_allclose(backbone.predict(faces, verbose=0), before, atol=1e-4)
    trained = keras.ops.convert_to_numpy(backbone(faces, training=True))
    # By the statistics of the same faces training and use agree.
    np.testing.assert_allclose(trained, before, atol=5e-2)


def test_restored_normalisation_has_the_statistics_of_what_it_sees():
    inputs = keras.Input((4, 4, 1))
    backbone = keras.Model(inputs, keras.layers.BatchNormalization(epsilon=1e-3)(inputs))
    values = ([2], [1], [0], [1])
    next(batch_norm_layers(backbone)).set_weights([np.array(v, np.float32) for v in values])
    faces = RNG.normal(5, 3, (64, 4, 4, 1)).astype(np.float32)
    before = backbone.predict(faces, verbose=0)
    restore_batch_norm(backbone, faces)
    _, _, mean, variance = next(batch_norm_layers(backbone)).get_weights()
    assert mean == pytest.approx(faces.mean(), rel=1e-3)
    assert variance == pytest.approx(faces.var(), rel=1e-3)
    np.testing.assert_allclose(backbone.predict(faces, verbose=0), before, atol=1e-4)


def test_what_targets_leave_open_is_filled_by_the_teacher():
    """-log of student 0.5 and 0.25: a row at 0.7 gets 0.3 of the teacher, a row of zeros all."""
    student = np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)
    teacher = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    targets = np.array([[0.7, 0.0], [0.0, 0.0]], np.float32)
    loss = MatchingLoss(EmotionLoss()).call(targets, np.concatenate([student, teacher], axis=1))
    expected = [0.7 * np.log(2) + 0.3 * np.log(2), np.log(4)]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)


def test_a_teacher_of_fewer_classes_is_put_in_order():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs), name="two")
    wide = placed(model, ("sad", "happy"), ("happy", "neutral", "sad"))
    np.testing.assert_allclose(wide.predict(np.array([[0.2, 0.8]]), verbose=0), [[0.8, 0, 0.2]])
    with pytest.raises(ValueError, match=r"also knows \['sad'\]"):
        placed(model, ("sad", "happy"), ("happy", "neutral"))


def test_teachers_of_one_kind_answer_together(tmp_path):
    """The weighted mean of two networks of one name, one of a run that saw other sizes."""
    one, two = (build_network("compact_tiny", 3) for _ in range(2))
    (tmp_path / "run").mkdir()
    one.save(tmp_path / "one.keras")
    two.save(tmp_path / "run/last.keras")
    (tmp_path / "run/config.json").write_text(json.dumps({"stages": [{"size": 32}]}))
    names = [str(tmp_path / "one.keras"), str(tmp_path / "run/last.keras")]
    teacher = mean_teacher(names, [3, 1], ("a", "b", "c"), 16)
    faces = RNG.uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    large = keras.layers.Resizing(32, 32, antialias=True)(faces)
    expected = 0.75 * one.predict(faces, verbose=0) + 0.25 * two.predict(large, verbose=0)
    np.testing.assert_allclose(teacher.predict(faces, verbose=0), expected, atol=1e-5)
    assert not teacher.trainable_variables


def write_faces(folder, count):
    folder.mkdir(parents=True)
    faces = RNG.integers(0, 256, (count, 20, 20), np.uint8)
    for number, face in enumerate(faces):
        write_image(folder / f"{number}.png", np.repeat(face[..., None], 3, axis=-1))
    return faces


def test_unlabelled_faces_of_folders_and_zips_come_in_order_and_grey(tmp_path, caplog):
    faces = write_faces(tmp_path / "faces/deep", 3)
    (tmp_path / "faces/deep/2.png").rename(tmp_path / "faces/deep/2 without suffix")
    (tmp_path / "faces/notes.txt").write_text("no image")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.write(tmp_path / "faces/deep/1.png", "some/1")
        archive.writestr("labels.csv", "path,emotion")
    found = unlabelled_faces(
        [str(tmp_path / "faces"), str(tmp_path / "faces.zip")], size_px=20, grey=True
    )
    np.testing.assert_array_equal(found, np.concatenate([faces, faces[1:2]]))
    assert "notes.txt" in caplog.text and "labels.csv" in caplog.text


def test_places_without_faces_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.png").write_bytes(b"no image")
    (tmp_path / "words.zip").write_text("no zip")
    for place, error, words in (
        ("empty", ValueError, "no image there"),
        ("broken", ValueError, "a.png"),
        ("words.zip", ValueError, "neither"),
        ("absent", FileNotFoundError, "not there"),
    ):
        with pytest.raises(error, match=words):
            unlabelled_faces([str(tmp_path / place)], size_px=20, grey=True)


def test_images_that_cannot_be_read_are_all_named(tmp_path):
    folder = tmp_path / "faces"
    write_faces(folder, 3)
    (folder / "0.png").write_bytes(b"no image")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    place = tmp_path / "faces.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("a.png", (folder / "1.png").read_bytes())
        archive.writestr("folder.png/", "")
        archive.writestr("__MACOSX/._a.png", "what macOS adds")
    faces = unlabelled_faces([str(place)], size_px=8, grey=True)
    assert len(faces) == 1
    content = bytearray(place.read_bytes())
    content[60] ^= 0xFF
    place.write_bytes(content)
    with pytest.raises(ValueError, match="none of these 3:") as refused:
        unlabelled_faces([str(folder), str(place)], size_px=8, grey=True)
    assert all(name in str(refused.value) for name in ("0.png", "gone.png", "a.png"))


def test_what_is_not_known_of_a_teacher_is_said_of_its_pupils_pupils():
    word = EXPRESSION_NETWORKS["face_expression"].reservation
    taught = {"teachers": ["face_expression (9a9840f2cf1f)", "fast (000000000000)"]}
    later = {"teachers": ["run/last.keras (1)"], "taught_by": {"run/last.keras (1)": taught}}
    assert reservations({"teachers": ["fast (000000000000)"]}) == []
    assert reservations(taught) == reservations(later) == [word]
    assert card_words(True, reservations=[word])["limits"].endswith(word)


def test_teachers_tell_what_those_they_are_made_of_were_taught(tmp_path):
    """A mean of models, and one that began from another: their pupils' cards said nothing."""
    word = EXPRESSION_NETWORKS["face_expression"].reservation
    taught = {"teaching": {"teachers": ["face_expression (9a9840f2cf1f)"]}}
    begun = {"teaching": {}, "config": {"weights": "run/last.keras"}, "begun_from": taught}
    for number, training in enumerate(
        (
            {"members": [{"name": "one", "teaching": {}}, {"name": "other", **taught}]},
            {"members": [{"name": "one", **begun}]},
            begun,
            {"config": {"weights": None}, **taught},
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = {"model.onnx": "0" * 64, "model.keras": "1" * 64}
        names = NINE_EMOTIONS.names
        write_card(
            folder,
            ModelCard("mean", "model.onnx", names, 48, "", training=training, sha256=files),
        )
        found = {"teachers": ["mean (1)"], "taught_by": {"mean (1)": teaching_of(str(folder))}}
        assert reservations(found) == [word]
    assert reservations(teaching_of(str(folder / "model.keras"))) == [word]


def test_what_a_run_began_from_is_in_its_record(tmp_path):
    def write(name: str, weights: str, **teaching) -> None:
        (tmp_path / name).mkdir()
        config = {"network": "face_mobilenet", "weights": weights, "seed": 3, "commit": "abc"}
        (tmp_path / name / "config.json").write_text(json.dumps({**config, "machine": "a box"}))
        (tmp_path / name / "history.csv").write_text("epoch,seconds\n0,60\n1,90\n")
        (tmp_path / name / "teaching.json").write_text(json.dumps(teaching))

    write("first", "pretrained", teachers=["face_expression (9a9840f2cf1f)"])
    write("second", str(tmp_path / "first/last.keras"))
    record = run_record(tmp_path / "second")
    assert record["config"]["weights"] == "first/last.keras", "no folder of this machine"
    assert record["begun_from"]["config"]["weights"] == "pretrained"
    assert record["budget"] == {"epochs": 2, "minutes": 2.5, "machine": "a box"}
    (told,) = reservations_of([record])
    assert told == EXPRESSION_NETWORKS["face_expression"].reservation
    (origin,) = origins_of([record])
    assert "VGGFace2, CC BY-SA 4.0" in card_words(True, origins=[origin])["licence"]


def test_a_record_names_files_of_weights_but_not_where_they_are(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,seconds\n0,60\n")
    for weights, told in (
        ("/home/ann/bit.npz", "bit.npz"),
        ("/home/ann/darknet53.conv.74", "darknet53.conv.74"),
        ("/home/ann/plain.keras", "plain.keras"),
        ("pretrained", "pretrained"),
        (None, None),
    ):
        config = {"network": "compact", "weights": weights, "seed": 3, "commit": "abc"}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert run_record(tmp_path)["config"]["weights"] == told


def test_a_run_that_began_from_a_model_says_what_its_card_says(tmp_path):
    taught = {"teachers": ["face_expression (9a9840f2cf1f)"]}
    card = ModelCard(
        "fast",
        "model.onnx",
        NINE_EMOTIONS.names,
        48,
        "none",
        training={"config": {"network": "compact", "weights": None}, "teaching": taught},
        sha256={"model.onnx": "0" * 64, "model.keras": "1" * 64},
    )
    for name in ("fast", "run"):
        (tmp_path / name).mkdir()
    write_card(tmp_path / "fast", card)
    config = {"network": "compact", "seed": 3, "commit": "abc"}
    for file, told in (("model.keras", card.training), ("other.keras", None)):
        weights = str(tmp_path / "fast" / file)
        (tmp_path / "run/config.json").write_text(json.dumps({**config, "weights": weights}))
        (tmp_path / "run/history.csv").write_text("epoch,seconds\n0,60\n")
        record = run_record(tmp_path / "run")
        assert record.get("begun_from") == told
    (tmp_path / "run/config.json").write_text(
        json.dumps({**config, "weights": str(tmp_path / "fast/model.keras")})
    )
    (told,) = reservations_of([run_record(tmp_path / "run")])
    assert told == EXPRESSION_NETWORKS["face_expression"].reservation
