"""The labeller and its variants, its file, and the labels it writes."""

import numpy as np
import pytest
from sklearn.base import clone
from toy_study import toy_faces, write_official

from builder_tools import ValenceArousalLabeller
from builder_tools.datasets.ferplus import load_ferplus, nine_class_table
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet
from builder_tools.valence_arousal import (
    LABELLERS,
    AnchorLabeller,
    faces_of,
    labels_by_name,
    labels_for,
    make_labeller,
    read_labels,
    write_labels,
)
from builder_tools.valence_arousal import labeller as labeller_module
from builder_tools.valence_arousal.labeller import class_means
from builder_tools.valence_arousal.orientation import clip_to_disc

QUICK = {"neighbours": 25, "landmarks": 60, "pca": 20}
ANCHORS = NINE_EMOTIONS.anchors


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> ImageTable:
    faces = toy_faces({"train": 12, "valid": 4, "test": 4})
    return nine_class_table(load_ferplus(write_official(tmp_path_factory.mktemp("toy"), faces)))


@pytest.fixture(scope="module")
def train(toy) -> tuple[np.ndarray, np.ndarray]:
    part = toy.split("train")
    return part.resized(48)[np.arange(len(part))], part.labels


@pytest.fixture(scope="module")
def fitted(train) -> ValenceArousalLabeller:
    return ValenceArousalLabeller(**QUICK).fit(*train)


def test_labels_lie_in_the_disc_with_classes_near_their_anchors(train, fitted):
    images, labels = train
    found = fitted.transform(images, labels)
    assert found.shape == (len(images), 2) and found.dtype == np.float64
    assert (np.linalg.norm(found, axis=1) <= 1 + 1e-12).all()
    assert class_means(found, labels, 9) == pytest.approx(ANCHORS, abs=0.06)


def test_no_pull_keeps_the_shape_and_full_pull_leaves_the_anchor(train):
    images, labels = train
    raw = ValenceArousalLabeller(**QUICK, stages=0).fit(images, labels)
    assert (raw.transform(images, labels) == raw.transform(images)).all()
    full = ValenceArousalLabeller(**QUICK, pull=1.0).fit_transform(images, labels)
    assert full == pytest.approx(ANCHORS[labels])


def test_trajectories_lead_from_the_manifold_to_the_label(train, fitted):
    images, labels = train
    way = fitted.trajectory(images[:7], labels[:7])
    assert way.shape == (4, 7, 2)
    assert (way[0] == fitted.transform(images[:7])).all()
    assert (way[-1] == fitted.transform(images[:7], labels[:7])).all()
    far = np.linalg.norm(way - ANCHORS[labels[:7]], axis=2)
    assert (np.diff(far[1:], axis=0) <= 1e-12).all()


def test_orientation_on_images_shrinks_the_plane(train):
    images, labels = train
    on = {way: ValenceArousalLabeller(**QUICK, orient_on=way).fit(images, labels)
          for way in ("classes", "images")}  # fmt: skip
    errors = {way: ((one.oriented(images) - ANCHORS[labels]) ** 2).sum() for way, one in on.items()}
    assert errors["images"] < errors["classes"]
    assert on["images"].orientation_.scale < on["classes"].orientation_.scale


def test_same_seed_same_labels_and_fit_transform_is_both(train):
    images, labels = train
    first = ValenceArousalLabeller(**QUICK).fit_transform(images, labels)
    second = ValenceArousalLabeller(**QUICK).fit(images, labels).transform(images, labels)
    other = ValenceArousalLabeller(**QUICK, random_state=1).fit_transform(images, labels)
    assert (first == second).all() and (first != other).any()


def test_the_exact_run_takes_every_face(train):
    images, labels = train
    exact = ValenceArousalLabeller(**QUICK | {"landmarks": None}).fit(images, labels)
    assert len(exact.landmark_rows_) == len(images)
    assert exact.transform(images) == pytest.approx(
        clip_to_disc(exact.orientation_.apply(exact.reducer_.embedding_)), abs=1e-3
    )


def test_scikit_learn_manners(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "reducer_")
    assert copy.set_params(stages=0).stages == 0
    with pytest.raises(TypeError):
        ValenceArousalLabeller(5)
    with pytest.raises(ValueError, match="not fitted"):
        copy.transform(np.zeros((2, 48, 48), np.uint8))


def test_grey_colour_and_images_of_a_table_give_the_same(toy, train, fitted):
    images, labels = train
    grey = fitted.transform(images[..., 0], labels)
    assert grey == pytest.approx(fitted.transform(images, labels), abs=1e-4)
    lazy = toy.split("train").resized(48)
    assert (fitted.transform(lazy, labels) == fitted.transform(images, labels)).all()


@pytest.mark.parametrize("manifold", ["isomap", "pca"])
def test_a_saved_labeller_gives_the_same_labels(train, tmp_path, manifold):
    images, labels = train
    fitted = ValenceArousalLabeller(**QUICK, manifold=manifold, pull=0.3).fit(images, labels)
    loaded = ValenceArousalLabeller.load(fitted.save(tmp_path / "new" / "one.npz"))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.transform(images, labels) == pytest.approx(fitted.transform(images, labels))
    assert loaded.clipped_share_ == fitted.clipped_share_
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.npz"]


def test_loading_runs_nothing_of_the_file(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    np.savez(tmp_path / "bad.npz", about=np.array([Bomb()], dtype=object))
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    for name in ("bad.npz", "text.npz", "other.npz"):
        with pytest.raises(ValueError, match="Expected a saved labeller"):
            ValenceArousalLabeller.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(FileNotFoundError, match="Nothing is at"):
        ValenceArousalLabeller.load(tmp_path / "none.npz")


def _with(images, row, value):
    changed = images.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x, y: (x[y == 4], y[y == 4]), {"neighbours": 3}, "two classes"),
        (
            lambda x, y: (x[(y == 5) | (y == 8)], y[(y == 5) | (y == 8)]),
            {"neighbours": 12},
            "two classes",
        ),
        (lambda x, y: (x[::22], y[::22]), {}, r"more faces than neighbours \(25\)"),
        (lambda x, y: (_with(x, 3, 77), y), {}, "1 of one single grey, the first at row 3"),
        (lambda x, y: (np.full(x.shape, np.nan), y), {}, "float64, with NaN"),
        (lambda x, y: (x / 255.0, y), {}, "uint8"),
        (lambda x, y: (x[0], y), {}, "labels"),
        (lambda x, y: (x[0, 0], y), {}, r"\(n, H, W\)"),
        (lambda x, y: (x[:0], y[:0]), {}, "at least one face"),
        (lambda x, y: (x, y[:-1]), {}, "one a face"),
        (lambda x, y: (x, y.astype(float)), {}, "whole-number"),
        (lambda x, y: (x, y - 1), {}, r"0...8"),
        (lambda x, y: (x, y), {"manifold": "tsne"}, "manifold of"),
        (lambda x, y: (x, y), {"orient_on": "x"}, "orient_on of"),
        (lambda x, y: (x, y), {"neighbours": 1}, "neighbours >= 2"),
        (lambda x, y: (x, y), {"pull": 1.5}, "pull in"),
        (lambda x, y: (x, y), {"stages": -1}, "stages >= 0"),
        (lambda x, y: (x, y), {"stages": 1.5}, "stages >= 0, a whole number"),
        (lambda x, y: (x, y), {"random_state": -1}, "random_state in"),
        (lambda x, y: (x, y), {"n_jobs": 0}, "n_jobs as None"),
        (lambda x, y: (x, y), {"pull": "0.5"}, r"pull in \[0, 1\].*'0.5'"),
        (lambda x, y: (x, y), {"landmarks": "all"}, "landmarks >= 2, a whole number.*'all'"),
    ],
)
def test_wrong_input_is_named(train, change, options, message):
    images, labels = change(*train)
    with pytest.raises(ValueError, match=message):
        ValenceArousalLabeller(**QUICK | options).fit(images, labels)


def test_classes_of_other_words_only_are_named(train, recwarn):
    images, labels = train
    emotions = EmotionSet(("awake", "Happy", "tired"))
    placed = r"\['Happy'\] with a place, \['awake', 'tired'\] without"
    with pytest.raises(ValueError, match=placed):
        ValenceArousalLabeller(**QUICK, emotions=emotions).fit(images, labels % 3)
    assert not recwarn


def test_a_class_that_fit_has_not_seen_is_refused(train):
    images, labels = train
    seen = labels != 4
    fitted = ValenceArousalLabeller(**QUICK).fit(images[seen], labels[seen])
    with pytest.raises(ValueError, match="'happy'"):
        fitted.transform(images, labels)
    assert np.isfinite(fitted.transform(images)).all()


def test_emotions_without_an_anchor_stay_where_they_are(train):
    images, labels = train
    emotions = EmotionSet([*NINE_EMOTIONS.names[:8], "ahegao"])
    fitted = ValenceArousalLabeller(**QUICK, emotions=emotions).fit(images, labels)
    found = fitted.transform(images, labels)
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="ahegao"):
        AnchorLabeller(emotions=emotions).fit()


@pytest.mark.parametrize("name", sorted(set(LABELLERS) - {"umap", "isomap-network"}))
def test_every_labeller_labels_a_table(toy, name):
    options = {} if name in ("anchor", "votes") else {**QUICK}
    train = toy.split("train")
    labeller = make_labeller(name, emotions=train.emotions, **options)
    found = labeller.fit_transform(faces_of(train), labels_for(name, train))
    assert found.shape == (len(train), 2) and (np.linalg.norm(found, axis=1) <= 1 + 1e-9).all()


def test_umap_labels_and_cannot_be_saved(train, tmp_path, monkeypatch):
    """Interpreted: to compile UMAP takes half a minute, these few faces a second."""
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    pytest.importorskip("umap")
    few = slice(None, None, 4)
    fitted = make_labeller("umap", **QUICK | {"neighbours": 5}).fit(train[0][few], train[1][few])
    assert np.isfinite(fitted.transform(train[0][:9])).all()
    with pytest.raises(ValueError, match="only pickle"):
        fitted.save(tmp_path / "umap.npz")
    assert not list(tmp_path.iterdir())


def test_features_of_a_network(train, tmp_path):
    import keras
    from toy_study import tiny_backbone

    images, labels = train
    backbone = tiny_backbone(24)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    outputs = keras.layers.Dense(9, activation="softmax")(pooled)
    file = tmp_path / "tiny.keras"
    keras.Model(backbone.input, outputs).save(file)
    fitted = make_labeller("isomap-network", **QUICK, network=str(file)).fit(images, labels)
    assert fitted.points(images[:5]).shape == (5, 16)
    saved = fitted.save(tmp_path / "one.npz")
    loaded = ValenceArousalLabeller.load(saved)
    assert loaded.transform(images[:5]) == pytest.approx(fitted.transform(images[:5]), abs=1e-6)
    keras.Model(backbone.input, keras.layers.Dense(9)(pooled)).save(file)
    with pytest.raises(ValueError, match="has changed"):
        ValenceArousalLabeller.load(saved)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny\.keras"):
        ValenceArousalLabeller.load(saved)


def test_fitting_asks_a_network_once_about_each_face(train, monkeypatch):
    images, labels = train
    asked = []

    def vectors(faces):
        asked.append(len(faces))
        return faces.reshape(len(faces), 24, -1).mean(axis=2, dtype=np.float32)

    monkeypatch.setattr(labeller_module, "network_vectors", lambda _: vectors)
    monkeypatch.setattr(labeller_module, "keras_file", lambda _: __file__)
    monkeypatch.setattr(labeller_module, "file_sha256", str)
    fitted = make_labeller("isomap-network", **QUICK).fit(images, labels)
    assert sum(asked) == len(images) and fitted.axes_.shape == (20, 24)


def test_options_a_labeller_has_not_are_named():
    with pytest.raises(ValueError, match=r"'anchor'.*neighbours"):
        make_labeller("anchor", neighbours=5)
    with pytest.raises(ValueError, match="Expected one of"):
        make_labeller("magic")


def test_labels_find_their_images_again(toy, tmp_path):
    train = toy.split("train")
    labeller = make_labeller("isomap", emotions=train.emotions, **QUICK)
    labels = labeller.fit_transform(faces_of(train), train.labels)
    path = write_labels(tmp_path / "new" / "labels.csv", train, labels)
    read = read_labels(path)
    assert list(read) == ["name", "path", "split", "emotion", "valence", "arousal"]
    assert read["emotion"].tolist() == train.table["emotion"].tolist()
    backwards = train.rows(np.arange(len(train)) % 2 == 0)
    assert labels_by_name(read.iloc[::-1], backwards) == pytest.approx(labels[::2], abs=1e-5)
    with pytest.raises(ValueError, match=r"36 have none, the first is 'fer"):
        labels_by_name(read, toy.split("valid"))


def test_wrong_labels_are_not_written_or_read(toy, tmp_path):
    train, path = toy.split("train"), tmp_path / "labels.csv"
    with pytest.raises(ValueError, match="1 values not finite"):
        labels = np.zeros((len(train), 2))
        labels[4, 1] = np.nan
        write_labels(path, train, labels)
    assert not list(tmp_path.iterdir())
    head = "name,path,split,emotion,valence,arousal\n"
    for text, message in {
        "name,valence\na,0\n": "Missing",
        head + "a,,train,happy,0.5,0.1\na,,train,happy,0.5,0.1\n": "row 3",
        head + "a,,train,happy,0.9,0.9\n": "row 2",
        head + "a,,train,happy,,0.9\n": "row 2",
        head + "a,,train,happy,x,0.9\n": "row 2",
        "": "Expected the columns",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_labels(path)
    with pytest.raises(FileNotFoundError):
        read_labels(tmp_path / "none.csv")
