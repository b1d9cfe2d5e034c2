"""Figures of balancing, judged by what is drawn in them."""

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("imblearn")

from builder_tools.balancing import FaceSMOTE  # noqa: E402
from builder_tools.plots.balancing import (  # noqa: E402
    plot_augmentations,
    plot_class_counts,
    plot_interpolations,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_windows():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def brighter(images, training=False):
    return images + 10


@pytest.fixture(scope="module")
def balanced():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (24, 6, 6), dtype=np.uint8)
    labels = np.repeat([0, 1], [4, 20])
    smote = FaceSMOTE(smote_value=10, gen_model=brighter, train_part=0)
    made, _ = smote.fit_resample(images, labels)
    return images, labels, made, smote.provenance_


def test_bars_add_up_to_the_counts(balanced):
    _, labels, _, table = balanced
    ax = plot_class_counts(labels, table, ["sad", "happy"])
    tops = {bars.get_label(): [b.get_height() for b in bars] for bars in ax.containers}
    assert tops == {
        "original": [4, 10], "interpolated": [3, 0], "augmented": [3, 0], "before": [4, 20],
    }  # fmt: skip
    assert [text.get_text() for text in ax.get_xticklabels()] == ["sad", "happy"]


def test_a_strip_shows_parent_made_and_neighbour(balanced):
    images, _, made, table = balanced
    rows = np.flatnonzero(table["origin"] == "interpolated")[:2]
    grid = plot_interpolations(images, made, table, rows).images[0].get_array()
    row = table.iloc[rows[1]]
    np.testing.assert_array_equal(grid[8:14, :6], images[row.parent])
    np.testing.assert_array_equal(grid[8:14, 8:14], made[row.row])
    np.testing.assert_array_equal(grid[8:14, 16:22], images[row.neighbour])
    with pytest.raises(ValueError, match="interpolated"):
        plot_interpolations(images, made, table, [0])


def test_augmented_forms_stand_beside_their_face(balanced):
    images = balanced[0][:2]
    _, ax = plt.subplots()
    assert plot_augmentations(images, brighter, draws=2, ax=ax) is ax
    grid = ax.images[0].get_array()
    np.testing.assert_array_equal(grid[:6, :6], images[0])
    np.testing.assert_array_equal(grid[:6, 8:14], images[0] + 10)
