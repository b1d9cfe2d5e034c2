"""The emotions of a network's outputs are what it learnt, wherever the network is used again."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_study import pattern, tiny_spec

from builder_tools.cards import ModelCard
from builder_tools.cli import main
from builder_tools.media import write_image
from builder_tools.networks import NETWORKS
from builder_tools.release.teachers import mean_answers, mean_teacher

pytestmark = pytest.mark.slow
LEARNT = ("happy", "neutral", "sad")
FACES = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with `faces` and `others`, and a model of the former with its run."""
    root = tmp_path_factory.mktemp("emotions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(24))
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        patch.chdir(root)
        write_faces("faces", LEARNT)
        write_faces("others", ("anger", "happy", "fear"))
        assert train("faces", "--name", "first") == 0
        yield root


@pytest.fixture(autouse=True)
def there(trained, monkeypatch):
    monkeypatch.chdir(trained)


def write_faces(folder: str, emotions) -> None:
    rng = np.random.default_rng(0)
    for kind, emotion in enumerate(emotions):
        for number in range(12):
            image = np.repeat(pattern(kind, 24, rng)[..., None], 3, axis=-1)
            write_image(f"{folder}/{emotion}/{number}.png", image)


def train(source: str, *options: str) -> int:
    plan = ["--network", "tiny", "--stages", "24:1", "--precision", "float32"]
    return main(["train", "--data", "folders", "--source", source, *plan, *options])


def export(*options: str, source: str = "others") -> int:
    asked = ["export", "runs/first/last.keras", "--data", "folders", "--source", source]
    return main([*asked, "--size", "24", *options])


@pytest.mark.parametrize("weights", ["saved_models/first/model.keras", "runs/first/last.keras"])
def test_a_head_of_other_emotions_is_not_kept(weights, capsys):
    asked = ["--name", "kept", "--weights", weights]
    assert train("others", *asked, "--keep-head") == 2
    assert f"Expected the emotions that {weights} learnt" in capsys.readouterr().err
    assert not Path("runs/kept/last.keras").exists()
    assert train("faces", *asked, "--keep-head") == 0
    shutil.rmtree("runs/kept")
    shutil.rmtree("saved_models/kept")


def test_weights_that_are_not_those_of_their_card_are_refused(tmp_path, capsys):
    shutil.copytree("saved_models/first", tmp_path / "changed")
    shutil.copy("runs/first/last.keras", tmp_path / "changed/model.keras")
    assert train("faces", "--name", "kept", "--weights", str(tmp_path / "changed/model.keras")) == 2
    assert "changed/model.keras to have sha256" in capsys.readouterr().err
    assert not Path("runs/kept/last.keras").exists()


def test_a_run_of_other_emotions_is_no_teacher(capsys):
    assert train("others", "--name", "pupil", "--teachers", "runs/first/last.keras") == 2
    assert "Received: one that also knows ['neutral', 'sad']" in capsys.readouterr().err


def test_a_run_teaches_in_the_order_of_its_pupil():
    name = "runs/first/last.keras"
    first, other = (mean_answers([name], [1.0], FACES, names) for names in (LEARNT, LEARNT[::-1]))
    np.testing.assert_allclose(first, other[:, ::-1], atol=1e-6)
    matched = np.asarray(mean_teacher([name], [1.0], LEARNT[::-1], 24)(FACES * 1.0))
    plain = np.asarray(mean_teacher([name], [1.0], LEARNT, 24)(FACES * 1.0))
    np.testing.assert_allclose(plain, matched[:, ::-1], atol=1e-6)


def test_an_export_says_what_the_run_learnt(capsys):
    assert export("--out", "exported") == 0
    card, shipped = ModelCard.read("exported"), ModelCard.read("saved_models/first")
    assert card.emotions == LEARNT
    for name in ("data", "data_sha256", "pictures", "class_counts"):
        assert card.training[name] == shipped.training[name]
    for options, words in (
        (["--emotions", "anger", "happy", "fear"], "Leave the emotions out"),
        (["--emotions", *LEARNT[::-1]], "Leave the emotions out"),
        (["--int8"], "Use the data it learnt, or leave int8 out"),
    ):
        assert export("--out", "refused", *options) == 2
        assert words in capsys.readouterr().err
        assert not Path("refused").exists()


def test_a_run_goes_on_with_the_emotions_it_was_begun_with(capsys):
    renamed = ["--name", "first", "--classes", "sad=anger", "happy=surprise", "neutral=contempt"]
    assert train("faces", *renamed) == 2
    said = capsys.readouterr().err
    assert "Use data of these emotions to go on, or name another folder" in said
    assert ModelCard.read("saved_models/first").emotions == LEARNT


def test_a_damaged_record_of_a_runs_data_is_named(tmp_path):
    shutil.copytree("runs/first", tmp_path / "run")
    (tmp_path / "run/data.json").write_text(json.dumps({"class_counts": 3}))
    with pytest.raises(ValueError, match=r"run/data\.json to tell the emotions of a run"):
        mean_answers([str(tmp_path / "run/last.keras")], [1.0], FACES, LEARNT)


@pytest.mark.parametrize("weights", ["saved_models/first/model.keras", "runs/first/last.keras"])
def test_what_a_run_began_from_is_in_its_card_also_if_it_is_gone_since(weights):
    """As on another machine, where `train --train-only` is completed from the run's folder."""
    first = ModelCard.read(Path("saved_models/first")).training
    asked = ["--name", "later", "--weights", weights]
    assert train("faces", *asked, "--train-only") == 0
    away = Path(weights).parent.rename("away")
    try:
        assert train("faces", *asked) == 0
        later = ModelCard.read(Path("saved_models/later")).training
    finally:
        away.rename(Path(weights).parent)
        shutil.rmtree("runs/later")
        shutil.rmtree("saved_models/later", ignore_errors=True)
    assert later["config"]["weights"] == f"first/{Path(weights).name}"
    assert later["begun_from"]["config"] == first["config"]
    assert later["begun_from"]["teaching"] == first["teaching"]
