"""The transfer study: which cells there are, and what its table says of made rows."""

import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("keras")

from studies.transfer import EPOCH_FACES, EPOCHS, STARTS, cell, transfer_table, transfer_trials


def test_every_cell_sees_as_many_faces():
    trials = list(transfer_trials())
    assert {trial.config.epochs for trial in trials} == {EPOCHS}
    assert {trial.config.epoch_faces for trial in trials} == {EPOCH_FACES}
    assert len(trials) == 3 * 3 * 3 * 3 + 3 * 3 * 3, "networks, depths, shares, seeds; scratch"


def test_frozen_cells_come_first_and_scratch_learns_altogether():
    trials = list(transfer_trials())
    assert all("-frozen-" in trial.variant for trial in trials[:27])
    scratch = [trial for trial in trials if trial.variant.startswith("scratch")]
    assert {trial.config.weights for trial in scratch} == {None}
    assert {stage.trainable for trial in scratch for stage in trial.config.stages} == {"all"}
    assert {trial.config.feature_copies for trial in scratch} == {0}
    others = [trial for trial in trials if trial not in scratch]
    assert {trial.config.weights for trial in others} == {"pretrained"}
    assert {trial.group for trial in others} == set(STARTS)


def test_the_last_layers_are_the_networks_own():
    config = cell("face_mobilenet", "faces", "last", 25, 0).config
    assert [stage.trainable for stage in config.stages] == ["head", 15]


def row(depth: str, accuracy: float) -> dict:
    trial = cell("face_mobilenet", "faces", depth, 5, 0)
    return {
        "trial": trial.key,
        "group": trial.group,
        "variant": trial.variant,
        "seed": 0,
        "minutes": 1.0,
        "valid_eight_accuracy": accuracy,
        "valid_eight_accuracy_95": json.dumps([accuracy - 0.1, accuracy + 0.1]),
        "valid_eight_macro_f1": accuracy,
        "valid_eight_mean_recall": accuracy,
    }


def test_gains_are_those_on_the_frozen_cell_face_by_face():
    """Of eight faces that count, five are right when frozen, seven with the last layers."""
    labels = np.array([*range(8), -1])
    frozen, last = labels.copy(), labels.copy()
    frozen[:3], last[0] = 7, 7
    rows = pd.DataFrame([row("frozen", 5 / 8), row("last", 7 / 8), row("all", 0.5)])
    answers = dict(zip(rows["trial"][:2], (frozen, last), strict=True))
    table = transfer_table(rows, answers, labels).set_index("depth")
    assert table["accuracy_gain"]["last"] == pytest.approx(2 / 8)
    assert table["mean_recall_gain"]["last"] == pytest.approx(2 / 8)
    assert table["accuracy_gain"]["frozen"] == 0
    assert np.isnan(table["accuracy_gain"]["all"]), "its answers were not kept"
    assert table["accuracy_low"]["all"] == pytest.approx(0.4)
    assert table["share"].tolist() == [5, 5, 5]
