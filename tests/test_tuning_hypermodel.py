"""What a trial is made of: its phases, values that have an effect, spaces that cannot be."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras_tuner = pytest.importorskip("keras_tuner")

from toy_tuning import TRAIN, VALID, tiny_is_a_network, toy_hypermodel  # noqa: E402, F401

from builder_tools.networks import build_network  # noqa: E402
from builder_tools.training import Stage  # noqa: E402
from builder_tools.tuning import EmotionHyperModel, SearchSpace  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "tiny.keras"
    build_network("tiny", 3, 16).save(file)
    return file


def test_with_weights_a_trial_has_two_phases_and_gives_the_best_of_both(weights, tmp_path):
    space = SearchSpace(unfrozen=(3, "all"), optimizer=("adam",), learning_rate=(0.01, 0.01))
    hypermodel = toy_hypermodel(weights=weights, head_epochs=2)
    hypermodel.space = space
    hp = keras_tuner.HyperParameters()
    hp.Fixed("fine_tune_factor", 1.0)
    model = hypermodel.build(hp)
    figures = hypermodel.fit(hp, model, TRAIN, VALID, folder=tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["phase"].tolist() == [0, 0, 1, 1]
    assert figures["val_accuracy"] == history["val_accuracy"].max()
    best = history.loc[history["val_accuracy"].idxmax()]
    assert figures["val_macro_f1"] == best["val_macro_f1"]
    found = model.predict(np.repeat(VALID.images[..., None], 3, -1), verbose=0).argmax(1)
    assert (found == VALID.targets.argmax(1)).mean() == pytest.approx(figures["val_accuracy"])


def test_it_works_in_any_tuner_of_keras_tuner(tmp_path):
    tuner = keras_tuner.RandomSearch(
        toy_hypermodel(epochs=1),
        objective="val_accuracy",
        max_trials=1,
        directory=tmp_path,
        project_name="any",
    )
    tuner.search(TRAIN, VALID)
    [trial] = tuner.oracle.get_best_trials(1)
    model = tuner.get_best_models(1)[0]
    found = model.predict(np.repeat(VALID.images[..., None], 3, -1), verbose=0).argmax(1)
    assert (found == VALID.targets.argmax(1)).mean() == pytest.approx(trial.score)
    assert (tmp_path / "any" / "trial_0" / "run" / "history.csv").is_file()


def test_from_scratch_there_is_one_phase_and_nothing_to_unfreeze(weights):
    hp = keras_tuner.HyperParameters()
    config = toy_hypermodel().config(hp, monitor="val_macro_f1")
    assert config.stages == (Stage(16, 2, "all"),)
    assert (config.keep, config.monitor, config.weights) == ("best", "val_macro_f1", None)
    assert config.schedule == "exponential"
    assert not {"unfrozen", "fine_tune_factor"} & set(hp.values)
    fine_tuned = keras_tuner.HyperParameters()
    hypermodel = toy_hypermodel(weights=weights, head_epochs=1)
    hypermodel.space = SearchSpace(unfrozen=(2, 4))
    stages = hypermodel.config(fine_tuned).stages
    assert stages == (Stage(16, 1, "head"), Stage(16, 2, 2))
    assert {"unfrozen", "fine_tune_factor"} <= set(fine_tuned.values)


def test_what_has_no_effect_has_no_value():
    hp = keras_tuner.HyperParameters()
    space = SearchSpace(schedule=("exponential", "cosine"))
    hypermodel = EmotionHyperModel("tiny", 3, space=space)
    hypermodel.config(hp)
    assert "weight_decay" not in hp.values and "dense_width_1" not in hp.values
    assert hypermodel.config(hp).weight_decay == 0
    drawn = {"optimizer": "adamw", "weight_decay": 0.0123456, "schedule": "cosine"}
    hp.values |= {**drawn, "dense_layers": 1, "dense_width_1": 256}
    config = hypermodel.config(hp)
    assert (config.weight_decay, config.head.dense) == (0.01235, (256,))


def test_a_pinned_value_is_not_searched():
    hp = keras_tuner.HyperParameters()
    space = SearchSpace(
        dropout=(0.3, 0.3), optimizer=("adamw",), dense_layers=(1, 1), dense_width=(32,)
    )
    config = EmotionHyperModel("tiny", 3, space=space).config(hp)
    assert (config.head.dropout, config.optimizer, config.head.dense) == (0.3, "adamw", (32,))
    assert not {"dropout", "optimizer", "dense_layers", "dense_width_1"} & set(hp.values)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dropout": (0.5, 0.1)}, "Expected dropout as"),
        ({"dropout": (0.0, 1.0)}, "Expected dropout as"),
        ({"learning_rate": (0.0, 0.1)}, "Expected learning_rate as"),
        ({"optimizer": ("adam", "lion")}, r"Expected distinct optimizer of.*lion"),
        ({"schedule": ()}, "Expected distinct schedule"),
        ({"augmentation": ("off", "off")}, "Expected distinct augmentation"),
        ({"dense_width": (0,)}, "Expected dense_width >= 1"),
        ({"unfrozen": ("some",)}, "Expected unfrozen as"),
        ({"dropout": 0.5}, "Expected dropout as a tuple"),
        ({"optimizer": "adam"}, "Expected optimizer as a tuple"),
        ({"dropout": ("a", "b")}, "Expected dropout as"),
    ],
)
def test_an_impossible_space_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(**wrong)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("vgg99",), {}, r"Expected one of \[.*network='vgg99'"),
        (("tiny", 1), {}, "num_classes of at least 2"),
        (("tiny", 3), {"epochs": 0}, "Expected stages"),
        (("tiny", "3"), {}, "num_classes of at least 2"),
        (("tiny", 3), {"epochs": "9"}, "Expected stages"),
        (("tiny", 3), {"head_epochs": -1}, "head_epochs >= 0"),
        (("tiny", 3), {"size": 4}, "at least 8 px"),
        (("tiny", 3), {"weights": "pretrained"}, "none are published"),
        (("tiny", 3), {"seed": -1}, "Expected seed in"),
        (("tiny", 3), {"space": {"dropout": (0, 1)}}, "Expected space as a SearchSpace"),
    ],
)
def test_an_impossible_hypermodel_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        EmotionHyperModel(*arguments, **options)
