"""Figures of a search, and the samples it trains on: what is drawn and drawn from."""

import os

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.collections import LineCollection  # noqa: E402
from toy_study import pattern, votes  # noqa: E402

from builder_tools.datasets.table import ImageTable, ResizedImages  # noqa: E402
from builder_tools.emotions import FERPLUS_VOTE_COLUMNS, NINE_EMOTIONS, EmotionSet  # noqa: E402
from builder_tools.media import write_image  # noqa: E402
from builder_tools.plots.tuning import (  # noqa: E402
    NOT_TUNED,
    plot_parallel_coordinates,
    plot_trials,
)
from builder_tools.training.samples import table_samples, thinned  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture
def trials() -> pd.DataFrame:
    done = 7
    return pd.DataFrame(
        {
            "trial": range(done + 1),
            "status": ["completed"] * done + ["failed"],
            "score": [0.3, 0.1, 0.5, 0.2, 0.4, 0.6, 0.6, np.nan],
            "optimizer": ["sgd", "sgd", "adam", "sgd", "adam", "adam", "adam", "sgd"],
            "learning_rate": [1e-4, 1e-3, 1e-2, 2e-4, 3e-3, 1e-3, 4e-3, 1e-2],
            "weight_decay": [np.nan, np.nan, 0.01, np.nan, 0.02, 0.03, 0.04, np.nan],
            "dense_layers": [0, 1, 2, 0, 1, 2, 1, 0],
            "schedule": ["cosine"] * (done + 1),
            "seconds": 1.0,
            "error": "",
        }
    )


def drawn_lines(ax) -> np.ndarray:
    [collection] = [c for c in ax.collections if isinstance(c, LineCollection)]
    return np.array(collection.get_segments())


def test_columns_that_are_not_hyperparameters_are_those_of_the_table():
    from builder_tools.tuning.trials import FIRST_COLUMNS, LAST_COLUMNS

    assert set(NOT_TUNED) == {*FIRST_COLUMNS, *LAST_COLUMNS}


def test_trials_show_each_score_the_best_so_far_and_the_failed(trials):
    ax = plot_trials(trials, "val_macro_f1")
    [best] = ax.get_lines()
    assert list(best.get_ydata()) == [0.3, 0.3, 0.5, 0.5, 0.5, 0.6, 0.6]
    dots, crosses = ax.collections
    assert dots.get_offsets()[:, 1].tolist() == trials["score"].dropna().tolist()
    assert crosses.get_offsets()[:, 0].tolist() == [7]
    assert ax.get_ylabel() == "val macro f1"
    assert ax.get_title("left") == "best 0.600, trial 5"
    read = trials.astype({"trial": float})  # As pandas reads a column that lacks some.
    assert plot_trials(read).get_title("left") == "best 0.600, trial 5"


def test_parallel_coordinates_place_every_value_on_its_own_scale(trials):
    ax = plot_parallel_coordinates(trials, "val_macro_f1")
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert names == ["optimizer", "learning rate", "weight decay", "dense layers", "val macro f1"]
    lines = drawn_lines(ax)[..., 1]
    assert lines.shape == (7, 5)
    worst, best = lines[0], lines[-1]  # drawn from the worst to the best
    assert worst[0] == 0 and best[0] == 1  # sgd below adam, by mean score
    assert worst[1] == pytest.approx(0.5)  # 1e-3, halfway from 1e-4 to 1e-2
    assert worst[2] < 0 and best[2] == pytest.approx(1)  # no weight decay below the axis
    assert (worst[3], worst[4], best[4]) == (0.5, 0, 1)
    texts = {text.get_text() for text in ax.texts}
    assert {"sgd", "adam", "none", "0.001", "0.0001", "0.01", "0", "1", "2"} <= texts


def test_figures_draw_where_they_are_told(trials):
    one, other = matplotlib.pyplot.subplots(1, 2)[1]
    assert plot_trials(trials, ax=one) is one
    assert plot_parallel_coordinates(trials, ax=other) is other


def test_a_single_trial_is_drawn(trials):
    plot_trials(trials[:1])
    assert drawn_lines(plot_parallel_coordinates(trials[:1])).shape == (1, 1, 2)


@pytest.mark.parametrize("plot", [plot_trials, plot_parallel_coordinates])
def test_without_a_completed_trial_there_is_nothing_to_draw(plot, trials):
    with pytest.raises(ValueError, match="Expected a completed trial"):
        plot(trials[-1:])


def image_table(labels, split="train", emotions=NINE_EMOTIONS, size=12) -> ImageTable:
    rng = np.random.default_rng(0)
    images = np.stack([pattern(int(label), size, rng) for label in labels])
    count = len(labels)
    table = {
        "name": [f"{n}.png" for n in range(count)],
        "path": "",
        "index": np.arange(count)[::-1],
    }
    table |= {"label": labels, "emotion": [emotions.names[n] for n in labels], "split": split}
    return ImageTable(pd.DataFrame(table), emotions, images)


def with_votes(table: ImageTable, *counts: list[int]) -> ImageTable:
    columns = pd.DataFrame(list(counts), columns=list(FERPLUS_VOTE_COLUMNS))
    return ImageTable(pd.concat([table.table, columns], axis=1), table.emotions, table.images)


def test_samples_in_memory_stay_an_array_in_the_order_of_the_table():
    table = image_table([4, 0, 4], emotions=NINE_EMOTIONS)
    samples = table_samples(table, "train", size_px=48)
    assert samples.images.dtype == np.uint8
    np.testing.assert_array_equal(samples.images, table.images[[2, 1, 0]])
    np.testing.assert_array_equal(samples.targets, np.eye(9, dtype=np.float32)[[4, 0, 4]])


def test_samples_are_the_shares_of_the_votes_where_people_voted():
    table = image_table([4, 5], split="valid")
    voted = with_votes(table, votes(happiness=8, sadness=2), votes(neutral=10))
    targets = table_samples(voted, "valid", size_px=12).targets
    assert targets[0, [4, 6]].tolist() == pytest.approx([0.8, 0.2])
    hard = table_samples(voted, "valid", size_px=12, soft=False).targets
    assert hard.argmax(1).tolist() == [4, 5] and set(hard.ravel()) == {0.0, 1.0}


@pytest.mark.parametrize("label", [-1, 9, np.nan])
def test_images_without_a_class_are_no_training_faces(label):
    """The label -1, left out, was taken for the last class."""
    table = image_table([4, 0, 4], emotions=NINE_EMOTIONS)
    wrong = table.table.assign(label=[4, label, 4])
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ValueError, match=r"labels 0\.\.\.8 in train.*Received: 1 others"),
    ):
        table_samples(ImageTable(wrong, NINE_EMOTIONS, table.images), "train", size_px=12)


def test_a_missing_vote_is_refused():
    """It was a number near -9e18, and the face `uncertain`."""
    voted = with_votes(image_table([4, 5], split="valid"), votes(happiness=8), votes(neutral=10))
    rows = voted.table.assign(anger=[np.nan, 0])
    with pytest.raises(ValueError, match="none missing"):
        table_samples(ImageTable(rows, voted.emotions, voted.images), "valid", size_px=12)


def test_a_missing_vote_does_not_matter_where_votes_are_not_used():
    seven = image_table([4, 5], split="valid", emotions=EmotionSet(tuple("abcdefg")))
    rows = with_votes(seven, votes(happiness=8), votes(neutral=10)).table.assign(anger=[np.nan, 0])
    found = table_samples(ImageTable(rows, seven.emotions, seven.images), "valid", size_px=12)
    assert found.targets.argmax(1).tolist() == [4, 5]


def test_samples_in_files_are_decoded_when_asked_for(tmp_path):
    table = image_table([0, 1], emotions=EmotionSet(("calm", "wild")))
    paths = [tmp_path / name for name in table.table["name"]]
    for path, image in zip(paths, table.images, strict=True):
        write_image(path, np.repeat(image[..., None], 3, -1))
    rows = table.table.assign(path=[str(path) for path in paths], index=-1)
    samples = table_samples(ImageTable(rows, table.emotions), "train", size_px=6)
    assert isinstance(samples.images, ResizedImages) and samples.images[:].shape == (2, 6, 6, 3)
    assert samples.targets.tolist() == [[1, 0], [0, 1]]


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="Expected images in test"):
        table_samples(image_table([0]), "test", size_px=12)


def test_thinning_keeps_shares_every_class_and_the_other_splits():
    table = image_table(np.repeat([0, 1, 2], [60, 38, 2]))
    table.table.loc[:9, "split"] = "valid"  # ten of class 0: 50, 38 and 2 are left
    thin = thinned(table, "train", 9, seed=1)
    train = thin.split("train")
    assert np.bincount(train.labels).tolist() == [5, 3, 1]
    assert len(thin.split("valid")) == 10
    again = thinned(table, "train", 9, seed=1).table["name"]
    assert again.tolist() == thin.table["name"].tolist()
    assert thinned(table, "train", 9, seed=2).table["name"].tolist() != again.tolist()
    assert thinned(table, "train", 90) is table


def test_thinning_below_the_number_of_classes_is_refused():
    with pytest.raises(ValueError, match=r"each of 3 classes. Received: 2"):
        thinned(image_table([0, 1, 2, 2]), "train", 2)
