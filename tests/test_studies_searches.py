"""The searches of the study: what is searched, and that a toy one gives its rows and pages."""

import dataclasses
import os
import shutil

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras_tuner = pytest.importorskip("keras_tuner")

from toy_study import tiny_backbone, tiny_spec, toy_faces, write_official  # noqa: E402

from builder_tools.networks import NETWORKS  # noqa: E402
from builder_tools.training import fine_tuning_stages  # noqa: E402
from studies import searches, transfer  # noqa: E402
from studies.plans import read_answers  # noqa: E402


@pytest.mark.parametrize("network", transfer.STARTS)
def test_what_the_documents_pin_is_pinned(network):
    model = searches.hypermodel(network)
    hp = keras_tuner.HyperParameters()
    config = model.config(hp)
    assert (config.optimizer, config.schedule, config.batch_size) == ("adam", "exponential", 256)
    own = {"vgg16": 4, "resnet50": 15}.get(network)
    assert ("unfrozen" in hp.values) == (own is None)
    size = NETWORKS[network].size_from(48)
    stages = {"head_epochs": 3, "epochs": 6, "unfrozen": own or int(hp.values["unfrozen"])}
    assert config.stages == fine_tuning_stages(size, **stages)
    tuned = {"dense_layers", "dropout", "learning_rate", "fine_tune_factor", "decay_rate"}
    assert tuned | {"label_smoothing"} <= set(hp.values)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A network of the toys that starts from a file, and the words that say where all is."""
    monkeypatch.setitem(NETWORKS, "tiny", dataclasses.replace(tiny_spec(16), unfreeze=2))
    weights = tmp_path / "tiny.keras"
    tiny_backbone(16).save(weights)
    monkeypatch.setattr(transfer, "STARTS", {"tiny": "distilled"})
    monkeypatch.setattr(transfer, "start_weights", lambda network, start: str(weights))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, value in {
        "SIZE": 16,
        "HEAD_EPOCHS": 1,
        "EPOCHS": 1,
        "TRIALS": 2,
        "EPOCH_FACES": 24,
    }.items():
        monkeypatch.setattr(searches, name, value)
    source = write_official(tmp_path / "ferplus", toy_faces({"train": 3, "valid": 2, "test": 1}))

    def words(reports: str, *more: str) -> list[str]:
        places = {"--source": source, "--runs": tmp_path / "runs", "--reports": tmp_path / reports}
        told = [str(word) for place in places.items() for word in place]
        return [*told, "--trials", "2", "--seeds", "0", *more]

    return tmp_path, words


@pytest.mark.slow
def test_a_search_gives_its_trials_and_the_best_again(toy, capsys):
    folder, words = toy
    assert searches.main(words("a", "--list")) == 0
    assert capsys.readouterr().out.splitlines() == ["tiny"]
    assert searches.main(words("a")) == 0
    table = pd.read_csv(folder / "a" / "searches.csv")
    assert table["network"].tolist() == ["tiny"] * 2 and table["trial"].tolist() == [0, 1]
    row = pd.read_csv(folder / "a" / "experiments.csv").iloc[0]
    assert (row["study"], row["trial"]) == ("searches", "tiny-best_of_2-s0")
    assert len(row["weights_sha256"]) == 64
    assert set(read_answers(folder / "a", "valid")) == {"tiny-best_of_2-s0"}
    page = (folder / "a" / "searches.md").read_text()
    assert "| tiny | best of 2 | 1 |" in page and "missing" not in page

    (folder / "tiny.keras").unlink()
    shutil.rmtree(folder / "cache", ignore_errors=True)
    assert searches.main(words("b", "--finished")) == 0, "of another machine: nothing is trained"
    assert (folder / "b" / "searches.md").read_text() == page
    assert searches.main(words("b")) == 0, "nothing is left to do"


@pytest.mark.slow
def test_without_weights_or_time_it_says_what_is_missing(toy, capsys):
    folder, words = toy
    (folder / "tiny.keras").unlink()
    assert searches.main(words("a")) == 1
    assert "`python -m studies.pretraining tiny` makes it" in capsys.readouterr().err
    page = (folder / "a" / "searches.md").read_text()
    assert "Trials are missing: tiny (0 of 2). Seeds of the best are missing: tiny." in page


def test_gains_are_those_on_the_untuned_cell():
    """Eight faces, one of each emotion: six right when tuned, four when not."""
    labels = np.arange(8)
    tuned, untuned = labels.copy(), labels.copy()
    tuned[:2], untuned[:4] = 7, 7
    rows = pd.DataFrame(
        {
            "trial": ["vgg16-best_of_9-s0", "vgg16-best_of_30-s0"],
            "group": "vgg16",
            "variant": ["best_of_9", "best_of_30"],
            "seed": "0",  # as the log has it, where others have several
            "minutes": 1.0,
            "valid_eight_accuracy": [0.5, 0.75],
            "valid_eight_accuracy_95": "[0.4, 0.8]",
            "valid_eight_macro_f1": 0.5,
            "valid_eight_mean_recall": 0.5,
        }
    )
    cell = transfer.cell("vgg16", "distilled", "last", 100, 0).key
    answers = {"vgg16-best_of_30-s0": tuned, cell: untuned}
    (row,) = searches.searches_table(rows, answers, labels).to_dict("records")
    assert row["variant"] == "best_of_30", "the longest search counts"
    assert row["accuracy_gain"] == pytest.approx(0.25)
    assert (row["accuracy_low"], row["accuracy_high"]) == (0.4, 0.8)
