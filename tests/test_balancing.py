"""Balancing arrays: counts and provenance worked by hand, draws compared with imbalanced-learn."""

import logging
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("imblearn")
pytest.importorskip("keras")

from imblearn.over_sampling import SMOTE, BorderlineSMOTE
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator as sampler_checks
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import estimator_checks_generator as estimator_checks

from builder_tools.balancing import BALANCERS, FaceSampler, FaceSMOTE, carry_targets
from builder_tools.balancing.making import interpolate
from builder_tools.balancing.neighbours import nearest_others
from builder_tools.balancing.plan import Shares, plan_made

pytestmark = pytest.mark.slow


def faces(sizes=(12, 30, 5), side=6, channels=None, seed=0):
    """Gives noise images and labels 0, 1, 2, ... shuffled."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    shape = (len(labels), side, side) if channels is None else (len(labels), side, side, channels)
    return rng.integers(0, 256, shape, dtype=np.uint8), labels


class Darker:
    """An augmentation that can be told: one less, and it counts what it saw."""

    def __init__(self):
        self.seen = 0

    def __call__(self, images, training=False):
        assert training and images.dtype == np.float32 and images.ndim == 4
        self.seen += len(images)
        return images - 1.0


@pytest.mark.parametrize(("channels", "space"), [(None, "pixel"), (3, "pixel"), (None, "pca")])
def test_every_class_is_brought_to_the_number(channels, space):
    images, labels = faces(channels=channels)
    smote = FaceSMOTE(smote_value=20, gen_model=Darker(), space=space)
    made, found = smote.fit_resample(images, labels)
    assert made.dtype == np.uint8 and made.shape == (60, *images.shape[1:])
    np.testing.assert_array_equal(np.bincount(found), [20, 20, 20])
    origins = smote.provenance_.groupby(["label", "origin"]).size().to_dict()
    # 8 are missing of class 0 (half of them 4), 15 of class 2 (7.5 rounds to the even 8).
    assert origins == {
        (0, "original"): 12, (0, "interpolated"): 4, (0, "augmented"): 4,
        (1, "original"): 20,
        (2, "original"): 5, (2, "interpolated"): 8, (2, "augmented"): 7,
    }  # fmt: skip


def test_modify_coef_is_the_share_that_is_interpolated():
    images, labels = faces((10, 110))
    smote = FaceSMOTE(modify_coef=0.3, gen_model=Darker())
    smote.fit_resample(images, labels)
    counts = smote.provenance_["origin"].value_counts()
    assert (counts["interpolated"], counts["augmented"]) == (30, 70)


def test_images_are_what_their_provenance_says():
    images, labels = faces()
    smote = FaceSMOTE(smote_value=25, gen_model=Darker())
    made, found = smote.fit_resample(images, labels)
    table = smote.provenance_
    assert table["row"].tolist() == list(range(len(made)))
    np.testing.assert_array_equal(found, table["label"])
    np.testing.assert_array_equal(labels[table["parent"]], table["label"])
    for row in table.itertuples():
        parent = images[row.parent].astype(float)
        if row.origin == "original":
            expected = parent
        elif row.origin == "augmented":
            expected = np.maximum(parent - 1, 0)
        else:
            assert row.neighbour != row.parent and labels[row.neighbour] == row.label
            expected = (1 - row.weight) * parent + row.weight * images[row.neighbour]
        np.testing.assert_allclose(made[row.row], expected, atol=0.51)
    kept = table.loc[table["origin"] == "original", "parent"]
    assert kept.is_monotonic_increasing and set(kept[labels[kept] != 1]) == set(
        np.flatnonzero(labels != 1)
    )


def test_neighbours_are_among_the_nearest():
    images, labels = faces((30, 60))
    smote = FaceSMOTE(modify_coef=1, train_part=0, k_neighbors=2)
    smote.fit_resample(images, labels)
    made = smote.provenance_.query("origin == 'interpolated'")
    rows = np.flatnonzero(labels == 0)
    flat = images[rows].reshape(len(rows), -1).astype(float)
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    nearest = rows[np.argsort(distance, axis=1)[:, 1:3]]
    for parent, neighbour in made[["parent", "neighbour"]].to_numpy():
        assert neighbour in nearest[np.searchsorted(rows, parent)]
    assert len(made["parent"].unique()) > 15


def test_a_twin_is_a_neighbour_and_one_is_never_ones_own():
    places = np.array([[0.0], [0.0], [1.0], [5.0]])
    np.testing.assert_array_equal(nearest_others(places, 1).ravel(), [1, 0, 0, 2])


def test_held_out_originals_are_nobodys_parents():
    images, labels = faces((10, 40))
    smote = FaceSMOTE(train_part=0.4, gen_model=Darker())
    made, _ = smote.fit_resample(images, labels)
    table = smote.provenance_
    new = table[table["origin"] != "original"]
    parents = set(new["parent"]) | set(new["neighbour"]) - {-1}
    assert len(parents) == 6 and len(made) == 80
    assert set(np.flatnonzero(labels == 0)) <= set(
        table.loc[table["origin"] == "original", "parent"]
    )


def test_augmentation_takes_parents_in_turn():
    images, labels = faces((10, 40))
    model = Darker()
    smote = FaceSMOTE(modify_coef=0, train_part=0, gen_model=model)
    smote.fit_resample(images, labels)
    assert model.seen == 30
    uses = smote.provenance_.query("origin == 'augmented'")["parent"].value_counts()
    assert uses.tolist() == [3] * 10


def test_uint8_does_not_wrap_around():
    dark, bright = np.full((2, 3, 3), 100, np.uint8), np.full((2, 3, 3), 109, np.uint8)
    found = interpolate(dark, bright, np.array([0.5, 1.0]))
    assert found.dtype == np.uint8 and found[0, 0, 0] == 104 and found[1, 0, 0] == 109
    np.testing.assert_array_equal(interpolate(bright, dark, np.array([0.5, 1.0]))[1], dark[0])
    images = np.concatenate([np.full((6, 4, 4), v, np.uint8) for v in (100, 109)])
    images[:6] += np.arange(6, dtype=np.uint8)[:, None, None]
    labels = np.repeat([0, 1], [6, 6])
    made, found = FaceSMOTE(smote_value=50, modify_coef=1).fit_resample(images, labels)
    assert made[found == 0].min() >= 100 and made[found == 0].max() <= 105


def test_the_seed_decides_and_other_classes_do_not():
    images, labels = faces((12, 30, 8))
    options = {"smote_value": 20}

    def result(seed, rows=slice(None)):
        return FaceSMOTE(random_state=seed, **options).fit_resample(images[rows], labels[rows])

    one, same, other = result(3), result(3), result(4)
    np.testing.assert_array_equal(one[0], same[0])
    assert not np.array_equal(one[0], other[0])
    alone = result(3, labels != 1)
    np.testing.assert_array_equal(one[0][one[1] == 2], alone[0][alone[1] == 2])


def test_it_draws_what_smote_draws():
    images, labels = faces((15, 40, 25))
    rows = images.reshape(len(images), -1)
    expected, order = SMOTE(random_state=7).fit_resample(rows.astype(np.float32), labels)
    found, own = FaceSMOTE(modify_coef=1, train_part=0, random_state=7).fit_resample(images, labels)
    np.testing.assert_array_equal(own, order)
    np.testing.assert_allclose(found.reshape(len(found), -1), expected, atol=0.501)


def test_it_draws_what_borderline_smote_draws():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [40, 80])
    rows = (rng.normal(0, 1, (120, 2)) + labels[:, None]).astype(np.float32)
    options = {"random_state": 5, "k_neighbors": 4}
    expected, _ = BorderlineSMOTE(**options).fit_resample(rows, labels)
    found, _ = FaceSampler(kind="borderline", **options).fit_resample(rows, labels)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_adasyn_makes_more_where_other_classes_are_near():
    """Five lonely faces, and one amid the other class: all are made of that one."""
    places = np.array([0, 1, 2, 3, 4, 200, 199, 198, 201, 202, 203, 204, 205, 206, 207])
    images = np.repeat(np.repeat(places[:, None, None], 2, 1), 2, 2).astype(np.uint8)
    labels = np.repeat([0, 1], [6, 9])
    smote = FaceSMOTE(kind="adasyn", k_neighbors=3, modify_coef=1, train_part=0, smote_value=12)
    _, found = smote.fit_resample(images, labels)
    assert np.bincount(found).tolist() == [12, 12]
    made = smote.provenance_.query("origin == 'interpolated' and label == 0")
    assert set(made["parent"]) == {5} and set(made["neighbour"]) <= {2, 3, 4}


def test_without_a_border_all_are_parents(caplog):
    images = np.concatenate([np.full((6, 3, 3), 0, np.uint8), np.full((30, 3, 3), 255, np.uint8)])
    images += np.arange(36, dtype=np.uint8)[:, None, None] % 6 * np.uint8(1)
    labels = np.repeat([0, 1], [6, 30])
    images[labels == 1] = 200
    smote = FaceSMOTE(kind="adasyn", k_neighbors=2, modify_coef=1, smote_value=30)
    with caplog.at_level(logging.WARNING):
        _, found = smote.fit_resample(images, labels)
    assert np.bincount(found).tolist() == [30, 30]
    assert "border" in caplog.text


def test_neighbours_in_an_embedding():
    """Brightness alone decides there; the mix is still one of pixels."""
    images, labels = faces((8, 20))
    images[labels == 0] = np.sort(images[labels == 0], axis=0)
    seen = []

    def embed(batch):
        seen.append(batch.shape)
        return batch.reshape(len(batch), -1).mean(axis=1, keepdims=True)

    smote = FaceSMOTE(space="embedding", embed=embed, k_neighbors=1, modify_coef=1, train_part=0)
    made, _ = smote.fit_resample(images, labels)
    assert seen == [(8, 6, 6)]
    brightness = images.reshape(len(images), -1).mean(axis=1)
    own = np.flatnonzero(labels == 0)
    for row in smote.provenance_.query("origin == 'interpolated'").itertuples():
        gaps = {o: abs(brightness[o] - brightness[row.parent]) for o in own if o != row.parent}
        assert row.neighbour == min(gaps, key=gaps.get)
        mix = (1 - row.weight) * images[row.parent] + row.weight * images[row.neighbour]
        np.testing.assert_allclose(made[row.row], mix, atol=0.51)


def test_targets_are_mixed_as_the_pixels_are():
    images, labels = faces((8, 20))
    smote = FaceSMOTE(gen_model=Darker())
    smote.fit_resample(images, labels)
    soft = np.random.default_rng(1).dirichlet([1, 1, 1], len(labels)).astype(np.float32)
    found = smote.carry_targets(soft)
    np.testing.assert_array_equal(found, carry_targets(smote.provenance_, soft))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    for row in smote.provenance_.itertuples():
        other = soft[row.neighbour] if row.origin == "interpolated" else soft[row.parent]
        expected = (1 - row.weight) * soft[row.parent] + row.weight * other
        np.testing.assert_allclose(found[row.row], expected, atol=1e-6)


def test_few_images_shrink_the_neighbourhood_with_a_message(caplog):
    images, labels = faces((3, 20))
    with caplog.at_level(logging.WARNING):
        FaceSMOTE(modify_coef=1, train_part=0).fit_resample(images, labels)
    assert "class 0: 3 images to choose from, so k_neighbors is 2 instead of 5" in caplog.text


def test_shares_in_a_small_type_reckon_as_plain_numbers():
    shares = Shares(np.float32(0.25), np.float16(0.5))
    plan = plan_made(0, np.arange(100), 70_000, shares, seed=0)
    assert (len(plan.parents), plan.num_interpolated) == (75, 35_000)


def test_one_image_can_be_augmented_but_not_interpolated():
    images, labels = faces((1, 4))
    with pytest.raises(ValueError, match=r"at least 2 images of class 0 .*Try a lower train_part"):
        FaceSMOTE().fit_resample(images, labels)
    _, found = FaceSMOTE(modify_coef=0, gen_model=Darker()).fit_resample(images, labels)
    assert np.bincount(found).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smote_value": 0}, "smote_value=0"),
        ({"smote_value": 2.5}, "smote_value=2.5"),
        ({"modify_coef": 1.1}, r"modify_coef in \[0, 1\]\. Received: 1\.1"),
        ({"train_part": -0.1}, r"train_part in \[0, 1\]\. Received: -0\.1"),
        ({"train_part": 1.0}, "Expected at least 2 images of class 0"),
        ({"train_part": 1.0, "modify_coef": 0}, "Expected at least 1 image of class 0"),
        ({"k_neighbors": 0}, "k_neighbors >= 1"),
        ({"k_neighbors": "3"}, "k_neighbors >= 1, a whole number.*'3'"),
        ({"modify_coef": "0.5"}, "modify_coef in"),
        ({"space": "voxel"}, "'voxel'"),
        ({"kind": "svm"}, "'svm'"),
        ({"space": "embedding"}, "embed=None"),
        ({"space": "embedding", "embed": lambda x: x[:3]}, "finite features"),
        ({"gen_model": lambda x, training: x[:, :2]}, "gen_model to give finite images"),
    ],
)
def test_wrong_settings_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        FaceSMOTE(**options).fit_resample(*faces())


def test_wrong_images_are_explained():
    images, labels = faces()
    for wrong in (images / 255, images[0], images[..., None], images.astype(np.int64)):
        with pytest.raises(ValueError, match="uint8"):
            FaceSMOTE().fit_resample(wrong, labels)
    for wrong in (labels[:-1], np.empty((0,))):
        with pytest.raises(ValueError, match="one label an image"):
            FaceSMOTE().fit_resample(images, wrong)
    with pytest.raises(ValueError, match="at least one image"):
        FaceSMOTE().fit_resample(images[:0], labels[:0])


def test_it_has_scikit_learns_manners():
    smote = FaceSMOTE(smote_value=7, space="pca")
    assert clone(smote).get_params() == smote.get_params()
    assert FaceSMOTE(smote_value=-1).smote_value == -1, "checked when used"
    names = ["sad", "happy", "happy", "happy", "sad"]
    made, found = FaceSMOTE(train_part=0, modify_coef=1).fit_resample(faces((2, 3))[0], names)
    assert sorted(found) == ["happy"] * 3 + ["sad"] * 3 and len(made) == 6


def test_the_default_model_augments_grey_and_colour(astronaut):
    head = astronaut[40:168, 160:288]
    images = np.stack([head, head[:, ::-1], np.roll(head, 4, 1), head[::-1]])
    labels = np.array([0, 0, 0, 1])
    for batch in (images, images[..., 1]):
        options = {"modify_coef": 0, "random_state": 2}
        made, _ = FaceSMOTE(**options).fit_resample(batch, labels)
        again, _ = FaceSMOTE(**options).fit_resample(batch, labels)
        np.testing.assert_array_equal(made, again)
        assert made.shape == (6, *batch.shape[1:])
        assert (np.abs(made[4:].astype(int) - batch[3]).mean() > 3).all()


@pytest.mark.parametrize("name", BALANCERS)
def test_ready_strategies(name):
    images, labels = faces((12, 30, 6))
    options = {"embed": lambda x: x[:, 0].astype(float)} if name == "embedding_smote" else {}
    made, found, table = BALANCERS[name](images, labels, count=20, seed=1, **options)
    expected = [12, 30, 6] if name == "none" else [20, 20, 20]
    assert np.bincount(found).tolist() == expected
    assert len(made) == len(found) == len(table)
    np.testing.assert_array_equal(found, table["label"])
    again = BALANCERS[name](images, labels, count=20, seed=1, **options)
    np.testing.assert_array_equal(made, again[0])
    origins = {
        "none": {"original"},
        "random_oversampling": {"original", "copied"},
        "augmentation_smote": {"original", "augmented"},
    }
    assert set(table["origin"]) == origins.get(name, {"original", "interpolated"})
    same = table[table["origin"].isin(("original", "copied"))]
    np.testing.assert_array_equal(made[same["row"]], images[same["parent"]])


NOT_FOR_FACES = {"check_samplers_pandas_sparse": "faces are dense; sparse rows are refused"}


def checks():
    """Gives all checks of both libraries, but for one that wants an environment variable."""
    found = [
        *sampler_checks(
            FaceSampler(random_state=0), expected_failed_checks=NOT_FOR_FACES, mark="xfail"
        ),
        *estimator_checks(FaceSampler(random_state=0)),
    ]
    return [check for check in found if "check_array_api_input" not in str(check)]


def name_of(value):
    return getattr(value, "func", value).__name__ if callable(value) else "sampler"


@pytest.mark.parametrize(("estimator", "check"), checks(), ids=name_of)
def test_checks_of_imbalanced_learn_and_scikit_learn(estimator, check):
    check(estimator)


def test_the_sampler_is_smote_on_floats_and_rounds_whole_numbers():
    images, labels = faces((15, 40))
    rows = images.reshape(len(images), -1)
    expected, _ = SMOTE(random_state=3).fit_resample(rows.astype(np.float64), labels)
    found, _ = FaceSampler(random_state=3).fit_resample(rows.astype(np.float64), labels)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    whole, _ = FaceSampler(random_state=3).fit_resample(rows, labels)
    assert whole.dtype == np.uint8
    np.testing.assert_allclose(whole, expected, atol=0.51)


def test_the_sampler_augments_images_in_a_pipeline():
    images, labels = faces((6, 20), side=4, channels=3)
    rows = images.reshape(len(images), -1)
    sampler = FaceSampler(
        image_shape=(4, 4, 3), modify_coef=np.float32(0.5), gen_model=Darker(), random_state=0
    )
    found, own = sampler.fit_resample(rows, labels)
    assert found.shape == (40, 48) and np.bincount(own).tolist() == [20, 20]
    for row in sampler.provenance_.query("origin == 'augmented'").itertuples():
        expected = np.maximum(rows[row.parent].astype(int) - 1, 0)
        np.testing.assert_array_equal(found[row.row], expected)
    model = make_pipeline(sampler, LogisticRegression(max_iter=50))
    assert model.fit(rows / 255, labels).predict(rows / 255).shape == (26,)
    with pytest.raises(ValueError, match="rows of 16 numbers"):
        FaceSampler(image_shape=(4, 4)).fit_resample(rows, labels)


@pytest.mark.parametrize("labels", [[0.0, np.nan] * 6, np.array(["a", 1] * 6, object)])
def test_labels_that_are_missing_or_of_two_types_are_refused(labels):
    with pytest.raises(ValueError, match="Expected labels of one type, none of them missing"):
        FaceSMOTE().fit_resample(np.zeros((12, 6, 6), np.uint8), labels)
