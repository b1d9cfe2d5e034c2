"""Options of `train`: the configuration they make, and what is refused before anything begins."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_release import surroundings  # noqa: F401

from builder_tools.cli import build_parser, main, train
from builder_tools.networks import NETWORKS

pytestmark = pytest.mark.slow


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
