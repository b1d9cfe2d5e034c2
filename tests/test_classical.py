"""Classical features and models: numbers by hand, scikit-learn's own checks, folders, no leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from builder_tools.assets import asset_path
from builder_tools.cards import file_sha256
from builder_tools.classical import (
    FEATURES,
    MODELS,
    SAMPLERS,
    DeepModel,
    GaborFeatures,
    HogFeatures,
    KeypointFeatures,
    LandmarkFeatures,
    LbpFeatures,
    MainDirections,
    NetworkFeatures,
    PixelFeatures,
    SoftVoting,
    Stacked,
    cached_features,
    face_geometry,
    face_model,
    features_key,
    load_model,
    make_features,
    make_pipeline,
    out_of_fold,
    paired_gains,
    save_model,
    search_params,
    with_probabilities,
)
from builder_tools.classical.landmarks import geometry_names
from builder_tools.classifier import EmotionClassifier
from builder_tools.emotions import EmotionSet
from tests.toy_study import pattern

EMOTIONS = EmotionSet(("happy", "neutral", "sad"))
PER_CLASS = 12
RNG = np.random.default_rng(0)


def toy(per_class: int = PER_CLASS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gives faces `(n, 48, 48)` of three kinds, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    return np.stack([pattern(kind, 48, rng) for kind in labels]), labels


def small(model: str) -> dict:
    """Gives parameters that make a model quick."""
    return {
        "rbf_svm": {"kernel__n_components": 20},
        "fourier_svm": {"kernel__n_components": 20},
        "forest": {"model__n_estimators": 8},
        "boosting": {"model__max_iter": 4, "model__min_samples_leaf": 3},
    }.get(model, {})


def needs_files(features: str) -> None:
    """Skips where a weight file of the features is neither shared nor fetched yet."""
    if FEATURES[features].extra == "dlib":
        pytest.importorskip("dlib")
        name = {"dlib_embedding": "dlib_face_recognition_resnet_model_v1.dat"}.get(
            features,
            f"shape_predictor_{5 if features.endswith('5') else 68}_face_landmarks.dat",
        )
        try:
            asset_path(name, fetch=False)
        except FileNotFoundError as error:
            pytest.skip(f"shared data absent: {error}")


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


@pytest.mark.parametrize("name", ["keypoints", "landmarks5"])
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


def test_network_features_are_those_before_the_last_layer():
    """Their softmax under the network's own last layer gives the network's own answer."""
    import onnx
    from onnx import numpy_helper

    from builder_tools.cards import ModelCard, find_model

    folder = find_model("fast")
    faces, _ = toy(2)
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
        NetworkFeatures(sha256="0" * 64).transform(toy(1)[0])


@pytest.mark.slow  # Keras is loaded
def test_network_features_of_the_registry_and_of_a_keras_file(tmp_path):
    import keras

    with pytest.raises(ValueError, match=r"Expected weights for the network"):
        NetworkFeatures(network="compact_tiny").transform(toy(1)[0])
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    model.save(tmp_path / "toy.keras")
    faces = toy(1)[0]
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


@pytest.mark.slow  # Keras is loaded
def test_network_features_of_two_heads_are_what_enters_both(tmp_path):
    import keras

    from builder_tools.networks.head import Head, with_head

    backbone = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255)], name="backbone"
    )
    model = with_head(backbone, Head(task="both"), 3, name="toy")
    model.save(tmp_path / "toy.keras")
    found = NetworkFeatures(network=str(tmp_path / "toy.keras")).transform(toy(1)[0])
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


def test_neighbours_among_few_numbers_are_stored(tmp_path):
    """There scikit-learn grows a tree by default, which no file without pickle takes."""
    faces, labels = toy(per_class=20)
    describer, learn = make_features("eigenfaces")
    numbers = describer.fit(faces).transform(faces)
    fitted = make_pipeline("neighbours", learn=learn, params={"reduce__n_components": 3}).fit(
        numbers, labels
    )
    save_model(face_model(describer, fitted), tmp_path / "few", EMOTIONS, input_size=48)
    rgb = np.repeat(faces[..., None], 3, axis=-1)
    assert (EmotionClassifier(tmp_path / "few").predict(rgb).argmax(axis=1) == labels).all()


@pytest.mark.parametrize("model", MODELS)
def test_models_contract(model, tmp_path):
    """Fit with SMOTE, rows sum to 1, save, open: the same; toy faces are told apart."""
    faces, labels = toy()
    describer, learn = make_features("hog")
    numbers = describer.fit(faces).transform(faces)
    pipeline = make_pipeline(model, learn=learn, sampler="smote", params=small(model))
    fitted = with_probabilities(model, pipeline, labels).fit(numbers, labels)
    whole = face_model(describer, fitted)
    expected = whole.predict_proba(faces)
    assert expected.shape == (len(faces), 3)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)
    assert (expected.argmax(axis=1) == labels).mean() > 0.9
    save_model(whole, tmp_path / model, EMOTIONS, input_size=48)
    classifier = EmotionClassifier(tmp_path / model)
    rgb = np.repeat(faces[..., None], 3, axis=-1)
    np.testing.assert_allclose(classifier.predict(rgb), expected, atol=1e-5)


def fitted_model(features: str, faces: np.ndarray, labels: np.ndarray):
    describer, learn = make_features(features)
    numbers = describer.fit(faces).transform(faces)
    return face_model(describer, make_pipeline("logistic", learn=learn).fit(numbers, labels))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """A folder a kind of features, and a vote and a stack with the shipped network."""
    root = tmp_path_factory.mktemp("models")
    faces, labels = toy()
    nine = np.arange(len(faces)) % 9
    for name in ("hog", "lbp", "gabor", "eigenfaces", "keypoints", "network", "hog+keypoints"):
        save_model(fitted_model(name, faces, labels), root / name, EMOTIONS, input_size=48)
    deep = DeepModel().pinned()
    emotions = EmotionClassifier("fast").emotions
    members = [("hog", fitted_model("hog", faces, nine)), ("deep", deep)]
    for name, kind in (("vote", SoftVoting), ("stack", Stacked)):
        hybrid = kind(members).fit(*toy_nine())
        save_model(hybrid, root / name, emotions, input_size=48)
    return root


def toy_nine() -> tuple[np.ndarray, np.ndarray]:
    faces, _ = toy(seed=1)
    return faces, np.arange(len(faces)) % 9


def test_every_folder_gives_the_same_in_a_fresh_process(folders):
    faces = np.repeat(toy(2, seed=2)[0][..., None], 3, axis=-1)
    np.save(folders / "faces.npy", faces)
    code = (
        "import sys, json, numpy as np; from pathlib import Path\n"
        "from builder_tools.classifier import EmotionClassifier as C\n"
        "root = Path(sys.argv[1]); faces = np.load(root / 'faces.npy')\n"
        "print(json.dumps({p.name: C(p).predict(faces).tolist()"
        " for p in sorted(root.iterdir()) if p.is_dir()}))\n"
    )
    command = [sys.executable, "-c", code, str(folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 9
    for name, probabilities in found.items():
        own = EmotionClassifier(folders / name).predict(faces)
        np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(probabilities, own, atol=1e-5, err_msg=name)


def test_tampered_files_are_refused(folders):
    file = folders / "hog" / "model.skops"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match="to have sha256"):
            EmotionClassifier(folders / "hog")
        with pytest.raises(ValueError, match="to have sha256"):
            load_model(folders / "hog")
    finally:
        file.write_bytes(content)


class Stranger(ClassifierMixin, BaseEstimator):
    """A type that nobody trusts."""

    classes_ = np.arange(3)


def test_strange_types_are_refused_even_with_the_right_hash(folders, tmp_path):
    import skops.io

    from builder_tools.classifier import SKOPS_FORMAT

    with pytest.raises(ValueError, match="types that are trusted"):
        save_model(Stranger(), tmp_path / "strange", EMOTIONS, input_size=48)
    assert not (tmp_path / "strange").exists()
    folder = tmp_path / "forged"
    folder.mkdir()
    stored = {"format": SKOPS_FORMAT, "emotions": [*EMOTIONS], "input_size": 48}
    skops.io.dump(stored | {"model": Stranger()}, folder / "model.skops")
    card = json.loads((folders / "hog" / "card.json").read_text())
    card["sha256"] = {"model.skops": file_sha256(folder / "model.skops")}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"trusted types only.*Stranger"):
        EmotionClassifier(folder)


def test_the_use_wing_imports_scikit_learn_for_such_models_only(folders):
    code = (
        "import sys; from builder_tools.classifier import EmotionClassifier as C\n"
        "C(); print('sklearn' in sys.modules)\n"
        "C(sys.argv[1]); print('sklearn' in sys.modules, 'tensorflow' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(folders / "hog")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True", "False"], done.stderr


def test_inference_takes_a_classical_model(folders, astronaut):
    from builder_tools import Inference

    with Inference(EmotionClassifier(folders / "hog"), detector="haar") as inference:
        faces = inference.run(astronaut).faces
    assert faces
    assert sum(faces[0].probabilities.values()) == pytest.approx(1)
    assert set(faces[0].probabilities) == set(EMOTIONS)


class Spy(BaseEstimator):
    """A sampler's shape that notes what rows it is given, by their first number."""

    seen: list = []  # noqa: RUF012 - shared by all clones on purpose

    def fit_resample(self, X, y):
        Spy.seen.append(set(X[:, 0].tolist()))
        return X, y

    def fit(self, X, y):
        return self


@pytest.mark.parametrize("model", ["logistic", "linear_svm"])
def test_samplers_see_training_folds_only(model):
    """Each outer fold's held-out rows, and each calibration fold's, never reach the sampler."""
    Spy.seen = []
    rows = np.column_stack([np.arange(60), RNG.normal(size=(60, 3))])
    labels = np.tile([0, 1], 30)
    pipeline = make_pipeline(model).set_params(sample=Spy(), scale="passthrough")
    whole = with_probabilities(model, pipeline, labels)
    cross_val_predict(whole, rows, labels, cv=3, method="predict_proba")
    outer = 40
    sizes = sorted(len(seen) for seen in Spy.seen)
    inner = sorted([26, 27, 27]) if model == "linear_svm" else []
    assert sizes == sorted([*(3 * inner), *(3 * [outer])])


def test_smote_makes_rows_in_fit_only_and_small_classes_do():
    rows = RNG.normal(size=(50, 4)).astype(np.float32)
    labels = np.array([0] * 40 + [1] * 7 + [2] * 2 + [3])
    for name in ("repeat", "smote", "borderline_smote"):
        balanced, found = SAMPLERS[name](0).fit_resample(rows, labels)
        np.testing.assert_array_equal(np.bincount(found), [40, 10, 10, 10], err_msg=name)
        assert len(balanced) == 70
    model = make_pipeline("neighbours", sampler="smote").fit(rows[:49], labels[:49])
    assert model.predict_proba(rows).shape == (50, 3)


def test_out_of_fold_predictions_come_from_models_that_did_not_see_the_row():
    """One neighbour knows its own rows by heart: in-sample always right, out of fold not."""
    rows, labels = RNG.normal(size=(90, 2)), RNG.integers(0, 2, 90)
    model = make_pipeline("neighbours", params={"model__n_neighbors": 1, "reduce": "passthrough"})
    assert (model.fit(rows, labels).predict(rows) == labels).all()
    found = out_of_fold(model, rows, labels, n_jobs=1)
    assert 0.25 < (found.argmax(axis=1) == labels).mean() < 0.75


def test_search_gives_parameters_that_the_pipeline_takes():
    faces, labels = toy(20)
    numbers = PixelFeatures(size_px=8).transform(faces)
    params = search_params("logistic", numbers, labels, candidates=3, n_jobs=1)
    assert set(params) == {"model__C"}
    assert 1e-4 <= params["model__C"] <= 1
    json.dumps(params)
    make_pipeline("logistic", params=params).fit(numbers, labels)
    assert search_params("discriminant", numbers, labels) == {}


def test_features_are_cached_by_content(tmp_path, monkeypatch):
    faces, _ = toy(3)
    first = cached_features(HogFeatures(), faces, tmp_path, n_jobs=1)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    monkeypatch.setattr(HogFeatures, "_describe", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(cached_features(HogFeatures(), faces, tmp_path), first)
    changed = faces.copy()
    changed[0, 0, 0] ^= 1
    keys = {
        features_key(HogFeatures(), faces),
        features_key(HogFeatures(), changed),
        features_key(HogFeatures(orientations=8), faces),
        features_key(PixelFeatures(), faces),
    }
    assert len(keys) == 4
    with pytest.raises(ValueError, match="learns nothing"):
        cached_features(MainDirections(), faces, tmp_path)


def test_voting_finds_the_better_member_and_stacking_its_inverse():
    """One member is right, one says nothing; then one is always wrong, which a stack can use."""
    labels = np.tile([0, 1, 2], 40)
    right = np.full((120, 3), 0.05)
    right[np.arange(120), labels] = 0.9
    nothing = np.full((120, 3), 1 / 3)
    vote = SoftVoting([]).fit_probabilities(np.stack([right, nothing]), labels)
    np.testing.assert_allclose(vote.weights_, [1, 0], atol=1e-3)
    wrong = np.roll(right, 1, axis=1)
    stack = Stacked([]).fit_probabilities(np.stack([wrong, nothing]), labels)
    found = stack.combine(np.stack([wrong, nothing]))
    assert (found.argmax(axis=1) == labels).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_paired_gains_by_hand():
    """Four faces; the model is right on three, the other on one: half of the faces more."""
    truth, own, base = [0, 0, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0]
    found = paired_gains(truth, own, base, 2)
    assert found["accuracy"].value == pytest.approx(0.5)
    assert found["mean_recall"].value == pytest.approx(0.75 - 0.25)
    assert found["accuracy"].low <= 0.5 <= found["accuracy"].high
    same = paired_gains(truth, own, own, 2)["macro_f1"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="as many true labels"):
        paired_gains(truth, own, base[:2], 2)
