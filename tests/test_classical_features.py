"""Features of faces: numbers by hand, scikit-learn's own checks, what is refused."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from builder_tools.assets import asset_path
from builder_tools.cards import find_model
from builder_tools.classical import (
    FEATURES,
    BlendshapeFeatures,
    GaborFeatures,
    HogFeatures,
    KeypointFeatures,
    LandmarkFeatures,
    LbpFeatures,
    MainDirections,
    NetworkFeatures,
    PixelFeatures,
    cached_features,
    face_geometry,
    make_features,
    make_pipeline,
)
from builder_tools.classical.landmarks import geometry_names
from builder_tools.classifier import EmotionClassifier
from tests.toy_study import three_kinds

RNG = np.random.default_rng(0)


def needs_files(features: str) -> None:
    """Skips where a weight file of the features is neither shared nor fetched yet."""
    if FEATURES[features].extra == "geometry":
        pytest.importorskip("ai_edge_litert")
        try:
            asset_path("face_landmarker.task", fetch=False)
        except FileNotFoundError as error:
            pytest.skip(f"the landmarker's file was not fetched yet: {error}")
    if FEATURES[features].extra == "dlib":
        pytest.importorskip("dlib")
        name = {"dlib_embedding": "dlib_face_recognition_resnet_model_v1.dat"}.get(
            features,
            f"shape_predictor_{5 if features.endswith('5') else 68}_face_landmarks.dat",
        )
        try:
            asset_path(name, fetch=False)
        except FileNotFoundError as error:
            pytest.skip(f"dlib's file was not fetched yet: {error}")


@parametrize_with_checks(
    [
        HogFeatures(size_px=16),
        LbpFeatures(size_px=12, grid=2),
        GaborFeatures(size_px=12, wavelengths_px=(4.0,), orientations=2, grid=2),
        PixelFeatures(size_px=4),
        MainDirections(num_directions=3),
    ]
)
def test_estimators_keep_the_rules_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "dlib_embedding"])
def test_features_contract(name, astronaut):
    """Named, clone-able, the same for a stack and for rows, a face alone or among others."""
    needs_files(name)
    head = cv2.resize(astronaut[0:200, 120:330], (48, 48), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(head, cv2.COLOR_RGB2GRAY)
    faces = np.stack([grey, cv2.flip(grey, 1), np.zeros_like(grey)])
    describer, learn = make_features(name)
    found = clone(describer).fit(faces).transform(faces)
    assert (found.dtype, found.shape) == (np.float32, (3, len(describer.get_feature_names_out())))
    assert len(set(describer.get_feature_names_out())) == found.shape[1]
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(describer.transform(faces[:1]), found[:1], rtol=1e-4, atol=1e-4)
    rgb = np.repeat(faces[..., None], 3, axis=-1)
    np.testing.assert_array_equal(describer.transform(rgb), found)
    rows = clone(describer).fit(faces.reshape(3, -1)).transform(faces.reshape(3, -1))
    np.testing.assert_allclose(rows, found, rtol=1e-3, atol=1e-3)
    for _, step in learn:
        found = step.fit_transform(found)
    assert np.isfinite(found).all()


def test_hog_sees_where_and_which_way_an_edge_runs():
    """A vertical edge between columns 3 and 4 of a 16 px face: bins of horizontal gradients."""
    face = np.zeros((1, 16, 16), np.uint8)
    face[:, :, 4:] = 200
    found = HogFeatures(size_px=16).transform(face)[0]
    names = HogFeatures(size_px=16).get_feature_names_out()
    strong = {str(name) for name, value in zip(names, found, strict=True) if value > 0.1}
    assert strong == {
        f"hog_block0_0_cell{row}_0_bin{number}" for row in range(2) for number in (0, 8)
    }


def test_lbp_of_a_blank_face_is_one_code_in_a_cell():
    found = LbpFeatures(size_px=12, grid=4).transform(np.full((1, 12, 12), 90, np.uint8))
    cells = found.reshape(4, 4, 59)[1:3, 1:3].reshape(4, 59)  # those that touch no edge
    assert ((cells > 0).sum(axis=1) == 1).all()
    np.testing.assert_allclose((cells**2).sum(axis=1), 1, rtol=1e-6)


def test_gabor_answers_to_its_own_direction_and_wavelength():
    stripes = 127 + 100 * np.cos(2 * np.pi * np.arange(48) / 6)
    face = np.tile(stripes, (48, 1)).astype(np.uint8)[None]
    describer = GaborFeatures(wavelengths_px=(4.0, 6.0, 13.0), orientations=4, grid=2)
    energy = describer.transform(face).reshape(3, 4, 4).mean(axis=2)
    assert np.unravel_index(energy.argmax(), energy.shape) == (1, 0)
    across = describer.transform(face.transpose(0, 2, 1)).reshape(3, 4, 4).mean(axis=2)
    assert np.unravel_index(across.argmax(), across.shape) == (1, 2)


def test_geometry_by_hand():
    """Six points: eyes 4 apart, nose 2 below their middle, mouth 4 below, ears 1 outside."""
    points = np.array([(0, 0), (4, 0), (2, 2), (2, 4), (-1, 0), (5, 0)], float)
    found = dict(zip(geometry_names(6), face_geometry(points), strict=True))
    assert found["x_nose"] == pytest.approx(0)
    assert found["y_nose"] == pytest.approx(0.5)
    assert found["distance_eye_left_eye_right"] == pytest.approx(1)
    assert found["distance_nose_mouth"] == pytest.approx(0.5)
    assert found["angle_eye_left_nose_eye_right"] == pytest.approx(np.pi / 2)


def test_geometry_forgets_place_size_and_tilt():
    points = RNG.uniform(0, 100, (68, 2))
    turn = np.deg2rad(30)
    turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    np.testing.assert_allclose(face_geometry(points), face_geometry(3 * turned + 7), atol=1e-9)
    assert np.isnan(face_geometry(np.zeros((5, 2)))).all()


@pytest.mark.parametrize("name", ["keypoints", "landmarks5", "blendshapes"])
def test_faces_without_points_are_imputed_and_marked(name, astronaut):
    """A grey wall has no points: NaN and found = 0; the pipeline fills in, and drops nobody."""
    needs_files(name)
    head = cv2.resize(astronaut[0:200, 120:330], (96, 96))
    wall = np.full_like(head, 128)
    faces = np.stack([head, wall, head[:, ::-1], wall, head, wall])
    describer, learn = make_features(name)
    found = describer.transform(faces)
    names = list(describer.get_feature_names_out())
    np.testing.assert_array_equal(found[:, names.index("found")], [1, 0, 1, 0, 1, 0])
    assert np.isnan(found[1, :-1]).all()
    assert np.isfinite(found[0]).all()
    model = make_pipeline("logistic", learn=learn, params={"model__C": 100})
    model.fit(found, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(model.predict(found), [0, 1, 0, 1, 0, 1])


def test_blendshapes_of_a_smile_and_the_turn_of_the_head(astronaut):
    needs_files("blendshapes")
    head = cv2.resize(astronaut[66:185, 165:284], (48, 48))
    for describer in (BlendshapeFeatures(), BlendshapeFeatures(pose=False)):
        names = list(describer.get_feature_names_out())
        found = dict(zip(names, describer.transform(head[None])[0], strict=True))
        assert found["mouthSmileLeft"] > 0.7 and found["found"] == 1
        assert len(names) == (57 if describer.pose else 54)
    pose = BlendshapeFeatures().transform(np.stack([head, head[:, ::-1]]))[:, -4:-1]
    assert pose[0] * (-1, 1, -1) == pytest.approx(pose[1], abs=4)


def test_network_features_are_those_before_the_last_layer():
    """Their softmax under the network's own last layer gives the network's own answer."""
    import onnx
    from onnx import numpy_helper

    from builder_tools.cards import ModelCard, find_model

    folder = find_model("fast")
    faces, _ = three_kinds(2)
    found = NetworkFeatures().transform(faces)
    graph = onnx.load(folder / ModelCard.read(folder).file).graph
    arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    last = next(node for node in reversed(graph.node) if node.op_type == "Gemm")
    weights, bias = (arrays[name] for name in last.input[1:3])
    transposed = any(a.name == "transB" and a.i for a in last.attribute)
    logits = found @ (weights.T if transposed else weights) + bias
    logits = logits / ModelCard.read(folder).temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rgb = np.repeat(faces[..., None], 3, axis=-1)
    np.testing.assert_allclose(EmotionClassifier("fast").predict(rgb), expected, atol=1e-4)


def test_network_features_refuse_another_network():
    with pytest.raises(ValueError, match="has changed since"):
        NetworkFeatures(sha256="0" * 64).transform(three_kinds(1)[0])


@pytest.mark.slow  # Keras is loaded
def test_network_features_of_the_registry_and_of_a_keras_file(tmp_path):
    import keras

    with pytest.raises(ValueError, match=r"Expected weights for the network"):
        NetworkFeatures(network="compact_tiny").transform(three_kinds(1)[0])
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    model.save(tmp_path / "toy.keras")
    faces = three_kinds(1)[0]
    describer = NetworkFeatures(network=str(tmp_path / "toy.keras")).pinned()
    small_faces = np.stack(
        [cv2.resize(face, (8, 8), interpolation=cv2.INTER_AREA) for face in faces]
    )
    expected = np.repeat(small_faces[..., None], 3, axis=-1).reshape(3, -1) / 255
    np.testing.assert_allclose(describer.transform(faces), expected, atol=1e-6)
    model.layers[-1].set_weights([2 * each + 1 for each in model.layers[-1].get_weights()])
    model.save(tmp_path / "toy.keras")
    with pytest.raises(ValueError, match="has changed since"):
        describer.transform(faces)


def test_features_of_a_replaced_model_are_those_of_the_new_one(tmp_path):
    """In one process, and in the cache, whose keys follow the file."""
    faces, folder = three_kinds(1)[0], tmp_path / "model"
    expected = [
        NetworkFeatures(network=name).transform(faces)
        for name in (str(find_model("tiny")), str(find_model("fast")))
    ]
    for name, vectors in zip(("tiny", "fast"), expected, strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(find_model(name), folder)
        found = cached_features(NetworkFeatures(network=str(folder)), faces, tmp_path / "kept")
        np.testing.assert_array_equal(found, vectors)
        assert len(NetworkFeatures(network=str(folder)).get_feature_names_out()) == len(vectors[0])


@pytest.mark.slow  # Keras is loaded
def test_network_features_of_two_heads_are_what_enters_both(tmp_path):
    import keras

    from builder_tools.networks.head import Head, with_head

    backbone = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)], name="backbone"
    )
    model = with_head(backbone, Head(task="both"), 3, name="toy")
    model.save(tmp_path / "toy.keras")
    found = NetworkFeatures(network=str(tmp_path / "toy.keras")).transform(three_kinds(1)[0])
    assert found.shape == (3, 3)  # the mean of each channel
    np.testing.assert_allclose(found[:, 0], found[:, 1])


@pytest.mark.parametrize(
    ("describer", "faces", "message"),
    [
        (HogFeatures(size_px=20), np.zeros((1, 8, 8), np.uint8), "multiple of cell_px"),
        (HogFeatures(), np.zeros((1, 8, 8), np.float32), "dtype=float32"),
        (LbpFeatures(grid=0), np.zeros((1, 8, 8), np.uint8), "grid above 0"),
        (KeypointFeatures(margin=2), np.zeros((1, 8, 8), np.uint8), "margin in"),
        (LandmarkFeatures(num_points=7), np.zeros((1, 8, 8), np.uint8), "5 or 68"),
        (PixelFeatures(), np.zeros((1, 8, 8, 4), np.uint8), r"shape=\(1, 8, 8, 4\)"),
    ],
)
def test_bad_options_and_faces_are_refused(describer, faces, message):
    with pytest.raises(ValueError, match=message):
        describer.transform(faces)


@pytest.mark.parametrize("name", ["nothing", "hog+hog", "hog+nothing", "hog+eigenfaces"])
def test_unknown_features_are_refused(name):
    with pytest.raises(ValueError, match="Expected features"):
        make_features(name)
