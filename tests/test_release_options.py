"""Options of `train`: the configuration they make, and what is refused before anything begins."""

import json
import os
import re
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_release import surroundings  # noqa: F401

from builder_tools.cli import build_parser, main, train
from builder_tools.networks import NETWORKS
from builder_tools.release import train_and_ship
from builder_tools.training import TrainingConfig

pytestmark = pytest.mark.slow

VGG16 = ["tune", "--network", "vgg16", "--weights", "pretrained"]
LABEL_VA = ["label-va", "--data", "ferplus", "--out", "o.csv"]
MATCHED = ["train", "--teachers", "fast", "--match-teachers"]
BOTH = ["train", "--task", "both", "--va-labels", "w.wieghts"]


@pytest.mark.parametrize("stages", ["32", "32:x", "32:2:1:1", "", "32:0", "0:4", "32:2,"])
def test_malformed_stages_are_a_clear_error(stages, tmp_path, capfd):
    run = tmp_path / "run"
    assert main(["train", "--stages", stages, "--run", str(run)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("builder-tools train: Expected") and "stages" in err
    assert not run.exists()


def test_an_unknown_network_leaves_nothing_behind(tmp_path, capfd):
    run = tmp_path / "run"
    assert main(["train", "--network", "vgg99", "--run", str(run)]) == 2
    assert "['compact'" in capfd.readouterr().err
    assert not run.exists()


def test_absent_data_is_a_clear_error(tmp_path, capfd):
    assert main(["train", "--source", str(tmp_path / "no"), "--run", str(tmp_path / "run")]) == 2
    assert "data/README.md" in capfd.readouterr().err


def test_options_become_the_configuration():
    def config(*options):
        return train.training_config(build_parser().parse_args(["train", *options]))

    plain = config()
    assert (plain.precision, plain.seed, plain.network) == ("mixed_bfloat16", 0, "compact")
    assert plain.to_dict() == type(plain)().to_dict(), "the defaults are those of TrainingConfig"
    options = build_parser().parse_args(["train", "--run", "elsewhere"])
    assert (options.run, options.run_folder) == (train._run_train, Path("elsewhere"))
    chosen = config("--precision", "float32", "--seed", "5", "--weight-decay", "0.1")
    assert (chosen.precision, chosen.seed, chosen.weight_decay) == ("float32", 5, 0.1)


def test_options_of_fine_tuning_become_the_configuration(tmp_path):
    def config(*options):
        return train.training_config(build_parser().parse_args(["train", *options]))

    chosen = config("--stages", "48:3:head,48:9:4", "--dense", "64", "32", "--dropout", "0.5")
    assert [stage.trainable for stage in chosen.stages] == ["head", 4]
    assert (chosen.head.dense, chosen.head.dropout) == ((64, 32), 0.5)
    last = config("--network", "vgg16", "--stages", "48:3:head,48:9:last")
    assert last.stages[1].trainable == NETWORKS["vgg16"].unfreeze == 4
    further = config("--weights", "mine/model.keras", "--keep-head")
    assert (further.weights, further.keep_head) == ("mine/model.keras", True)
    with pytest.raises(ValueError, match="to keep its head"):
        config("--weights", "pretrained", "--keep-head")
    file = tmp_path / "best.json"
    file.write_text(json.dumps(chosen.to_dict()))
    assert config("--config", str(file)) == chosen
    changed = config("--config", str(file), "--seed", "4", "--augmentation", "off")
    assert (changed.seed, changed.head, changed.augmentation.rotation_deg) == (4, chosen.head, 0)
    file.write_text('{"netwrok": "compact"}')
    with pytest.raises(ValueError, match=r"Expected names of .*'netwrok'"):
        config("--config", str(file))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["train", "--weights", "petrained"], "no such file as petrained"),
        (
            ["train", "--weights", "w.wieghts"],
            r"as one of \('.keras', '.h5'\). Received: w.wieghts",
        ),
        (["train", "--weights", "pretrained"], "none are published"),
        (["train", "--network", "vit_small", "--stages", "32:1"], "multiple of the patch, 6 px"),
        (["train", "--stages", "8:1,48:1"], "at least 16 px"),
        (["train", "--stages", "32:2:999"], r"layers in 0\.\.\.\d+\. Received: 999"),
        (["train", "--teachers", "fats"], "Received: 'fats'"),
        (["train", "--teachers", "w.keras"], "w.keras"),
        (["train", "--teachers", "fast", "--unlabelled", "nowhere"], "'nowhere'"),
        (["train", "--task", "va", "--va-labels", "no.csv"], "no.csv"),
        (["train", "--teacher-share", "0.7"], r"teachers=\[\], teacher_share=0\.7"),
        ([*MATCHED, *BOTH[1:]], "task 'emotion' with teachers"),
        ([*BOTH, "--teachers", "fast", "--unlabelled", "w.wieghts"], "task 'emotion' alone"),
        ([*MATCHED, "--stages", "48:1:head", "--cache-features", "2"], "no cached features"),
        (["tune", "--weights", "petrained"], "no such file as petrained"),
        (["tune", "--weights", "w.wieghts"], "Received: w.wieghts"),
        (["tune", "--size", "8"], "at least 16 px"),
        (["tune", "--unfreeze", "som"], "'som'"),
        (["tune", "--unfreeze", "4"], r"Expected weights .*unfrozen=\(4,\)"),
        ([*VGG16, "--unfreeze", "999"], r"layers in 0\.\.\.\d+\. Received: 999"),
        (["export", "no.keras", "--out", "new"], "no such file as no.keras"),
        (["quantize", "fast", "--out", "new"], "one that is int8"),
        (["quantize", "fast", "--out", "."], "empty"),
        (["ensemble", "fast", "--out", "new"], "at least two models"),
        (["ensemble", "fast", "fast", "--member-shares", "1", "--out", "new"], "share"),
        (["ensemble", "fast", "fast", "--out", "."], "empty"),
        (["evaluate", "--va-labels", "no.csv"], "--va-labels"),
        ([*LABEL_VA, "--labeller", "no.npz"], "no.npz"),
        ([*LABEL_VA, "--pull", "5"], "pull in"),
        ([*LABEL_VA, "--stages", "-1"], "stages"),
        ([*LABEL_VA, "--neighbours", "1"], "neighbours"),
        ([*LABEL_VA, "--network", "no.keras"], r"Nothing is at 'no\.keras'"),
        ([*LABEL_VA, "--method", "anchor", "--pull", "0.5"], r"Received: \['pull'\]"),
    ],
)
def test_what_needs_no_data_is_refused_before_they_are_read(
    options, message, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    Path("w.wieghts").touch()
    assert main([*options, "--source", "absent"]) == 2
    assert re.search(message, capfd.readouterr().err)
    assert [path.name for path in Path().iterdir() if path.name != "saved_models"] == ["w.wieghts"]
    assert not list(Path().glob("saved_models/*"))


def test_an_option_that_there_is_not_is_refused_before_data_are_read(tmp_path):
    """A misspelt one was a TypeError after the data were read."""
    places = {"run_folder": tmp_path / "run", "model_folder": tmp_path / "model"}
    with pytest.raises(TypeError, match="int_8"):
        train_and_ship(TrainingConfig(), source=tmp_path / "absent", int_8=True, **places)
    with pytest.raises(TypeError, match="model_folder"):
        train_and_ship(TrainingConfig(), source=tmp_path / "absent", run_folder=tmp_path / "run")
    assert not list(tmp_path.iterdir())
