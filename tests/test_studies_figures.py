"""Figures of the studies, read back from their axes."""

import itertools

import pandas as pd

from studies.figures import plot_screening


def test_names_of_crowded_networks_cover_neither_each_other_nor_points():
    networks = pd.DataFrame({
        "network": [f"network_number_{number}" for number in range(8)] + ["far_away"],
        "ms_per_face": [1, 1.02, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 90],
        "valid_eight_accuracy": [0.37, 0.371, 0.37, 0.372, 0.368, 0.37, 0.374, 0.37, 0.6],
    })  # fmt: skip
    ax = plot_screening(networks)
    names = [text for text in ax.texts if text.get_text()]
    assert [text.get_text() for text in names] == networks["network"].tolist()
    places = [text.get_window_extent() for text in names]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places, 2))
    points = ax.transData.transform(networks[["ms_per_face", "valid_eight_accuracy"]].to_numpy())
    assert not any(place.contains(*point) for place in places for point in points)
