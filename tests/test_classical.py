"""Classical models: their folders, hybrids, and protocols without leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_val_predict

from builder_tools.cards import file_sha256
from builder_tools.classical import (
    MODELS,
    SAMPLERS,
    DeepModel,
    HogFeatures,
    MainDirections,
    PixelFeatures,
    SoftVoting,
    Stacked,
    cached_features,
    face_model,
    features_key,
    load_model,
    make_features,
    make_pipeline,
    out_of_fold,
    save_model,
    search_params,
    with_probabilities,
)
from builder_tools.classical.cache import is_cached
from builder_tools.classifier import EmotionClassifier
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import paired_gains
from tests.toy_study import three_kinds

EMOTIONS = EmotionSet(("happy", "neutral", "sad"))
RNG = np.random.default_rng(0)


def small(model: str) -> dict:
    """Gives parameters that make a model quick."""
    return {
        "rbf_svm": {"kernel__n_components": 20},
        "fourier_svm": {"kernel__n_components": 20},
        "forest": {"model__n_estimators": 8},
        "boosting": {"model__max_iter": 4, "model__min_samples_leaf": 3},
    }.get(model, {})


def test_neighbours_among_few_numbers_are_stored(tmp_path):
    """There scikit-learn grows a tree by default, which no file without pickle takes."""
    faces, labels = three_kinds(per_class=20)
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
    faces, labels = three_kinds()
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
    faces, labels = three_kinds()
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
    faces, _ = three_kinds(seed=1)
    return faces, np.arange(len(faces)) % 9


def test_every_folder_gives_the_same_in_a_fresh_process(folders):
    faces = np.repeat(three_kinds(2, seed=2)[0][..., None], 3, axis=-1)
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

    from builder_tools.classical.features import FEATURES
    from builder_tools.classifier import SKOPS_FORMAT

    with pytest.raises(ValueError, match="types that are trusted"):
        save_model(Stranger(), tmp_path / "strange", EMOTIONS, input_size=48)
    assert not (tmp_path / "strange").exists()
    stored = {"format": SKOPS_FORMAT, "emotions": [*EMOTIONS], "input_size": 48}
    not_an_estimator = FEATURES["hog"]
    for index, model in enumerate((Stranger(), not_an_estimator)):
        folder = tmp_path / f"forged{index}"
        folder.mkdir()
        skops.io.dump(stored | {"model": model}, folder / "model.skops")
        card = json.loads((folders / "hog" / "card.json").read_text())
        card["sha256"] = {"model.skops": file_sha256(folder / "model.skops")}
        (folder / "card.json").write_text(json.dumps(card))
        with pytest.raises(ValueError, match=rf"trusted types only.*{type(model).__name__}"):
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
    faces, labels = three_kinds(20)
    numbers = PixelFeatures(size_px=8).transform(faces)
    params = search_params("logistic", numbers, labels, candidates=3, n_jobs=1)
    assert set(params) == {"model__C"}
    assert 1e-4 <= params["model__C"] <= 1
    json.dumps(params)
    make_pipeline("logistic", params=params).fit(numbers, labels)
    assert search_params("discriminant", numbers, labels) == {}


def test_features_are_cached_by_content(tmp_path, monkeypatch):
    faces, _ = three_kinds(3)
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


@pytest.mark.parametrize("kept", [lambda whole: whole[:200], lambda whole: b"", lambda whole: b"x"])
def test_damaged_features_are_computed_again(tmp_path, kept):
    faces, _ = three_kinds(3)
    first = cached_features(HogFeatures(), faces, tmp_path, n_jobs=1)
    (file,) = tmp_path.glob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(kept(whole))
    assert not is_cached(HogFeatures(), faces, tmp_path)
    np.testing.assert_array_equal(cached_features(HogFeatures(), faces, tmp_path, n_jobs=1), first)
    assert file.read_bytes() == whole and is_cached(HogFeatures(), faces, tmp_path)


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
