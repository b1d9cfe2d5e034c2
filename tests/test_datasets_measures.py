"""Measures and mean images of a data set, worked by hand."""

import numpy as np

from builder_tools.datasets.class_folders import list_class_folders
from builder_tools.datasets.measures import mean_images, measure_images
from builder_tools.media import write_image


def test_measures_worked_by_hand(tmp_path):
    halves = np.zeros((10, 20, 3), np.uint8)
    halves[:, 10:] = 200
    write_image(tmp_path / "sad/1.png", halves)
    write_image(tmp_path / "fear/1.png", np.full((8, 4, 3), 50, np.uint8))
    write_image(tmp_path / "fear/2.png", np.full((8, 8, 3), 53, np.uint8))
    table = list_class_folders(tmp_path)
    measured = measure_images(table)
    assert measured.drop(columns="split").to_numpy().tolist() == [
        ["fear", 4, 8, 50, 0, 0],
        ["fear", 8, 8, 53, 0, 0],
        ["sad", 20, 10, 100, 100, 4000],  # 2 of 20 columns with a Laplacian of 200
    ]
    means = mean_images(table, 6)
    assert list(means) == ["fear", "sad"]
    assert means["fear"].shape == (6, 6, 3) and set(means["fear"].ravel()) == {52}
