"""Figures of a data set show what is in its table, whatever the table is."""

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402

from builder_tools.datasets.measures import measure_images  # noqa: E402
from builder_tools.datasets.table import ImageTable, table_of_files  # noqa: E402
from builder_tools.emotions import EmotionSet  # noqa: E402
from builder_tools.media import write_image  # noqa: E402
from builder_tools.plots.data import (  # noqa: E402
    plot_by_class,
    plot_class_balance,
    plot_image_sizes,
    plot_mean_faces,
    plot_samples,
)

EMOTIONS = EmotionSet(("anger", "fear", "happy"))
GREYS = {"anger": (10, 30, 50), "happy": (200,)}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def files(tmp_path) -> ImageTable:
    """Three angry images of 20x20, one happy of 30x10, no fear; not split."""
    rows = [(name, grey) for name, greys in GREYS.items() for grey in greys]
    paths = []
    for number, (name, grey) in enumerate(rows):
        shape = (20, 20, 3) if name == "anger" else (10, 30, 3)
        paths.append(write_image(tmp_path / f"{number}.png", np.full(shape, grey, np.uint8)))
    names = [path.name for path in paths]
    return table_of_files(names, paths, [name for name, _ in rows], EMOTIONS)


@pytest.fixture
def grey(files) -> ImageTable:
    """The same in memory, as grey squares, with splits."""
    images = np.stack(
        [np.full((8, 8), grey, np.uint8) for greys in GREYS.values() for grey in greys]
    )
    splits = ["train", "train", "test", "train"]
    table = files.table.assign(path="", index=np.arange(4), split=splits)
    return ImageTable(table, EMOTIONS, images)


FIGURES = {
    "balance": plot_class_balance,
    "samples": plot_samples,
    "mean faces": plot_mean_faces,
    "sizes": lambda table, ax: plot_image_sizes(measure_images(table), ax),
    "brightness": lambda table, ax: plot_by_class(measure_images(table), "brightness", ax),
    "contrast": lambda table, ax: plot_by_class(measure_images(table), "contrast", ax),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize("table", ["files", "grey"])
def test_draws_where_told_and_on_a_new_figure(draw, table, request):
    table = request.getfixturevalue(table)
    ax = plt.figure().subplots()
    assert draw(table, ax) is ax
    other = draw(table, None)
    assert other is not ax
    other.figure.canvas.draw()


def test_balance_shows_shares_and_counts(grey):
    ax = plot_class_balance(grey)
    heights = [[round(bar.get_height(), 1) for bar in bars] for bars in ax.containers]
    assert heights == [[66.7, 0, 33.3], [100, 0, 0]]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["train, 3", "test, 1"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(EMOTIONS)


def test_sizes_are_dots_whose_area_grows_with_the_images(files):
    ax = plot_image_sizes(measure_images(files))
    (dots,) = ax.collections
    assert dots.get_offsets().tolist() == [[20, 20], [30, 10]]
    large, small = dots.get_sizes()
    assert large > small and ax.get_title() == "4 images, 2 sizes"


def test_by_class_shows_medians(files):
    ax = plot_by_class(measure_images(files))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["anger", "happy"]
    medians = {line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1}
    assert {30, 200} <= medians
    with pytest.raises(ValueError, match=r"\['brightness', 'contrast'\]. Received: measure='hue'"):
        plot_by_class(pd.DataFrame(), "hue")


def test_samples_and_means_are_the_images(grey):
    ax = plot_samples(grey, per_class=2, size_px=4)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["anger", "happy"]
    shown = ax.images[0].get_array()
    assert shown.shape == (10, 10, 3)
    assert set(shown[:4, :4].ravel()) <= {10, 30, 50} and set(shown[6:, :4].ravel()) == {200}
    assert set(shown[6:, 6:].ravel()) == {255}, "there is but one happy image"
    means = plot_mean_faces(grey, size_px=4).images[0].get_array()
    assert set(means[:, :4].ravel()) == {30} and set(means[:, 6:].ravel()) == {200}
