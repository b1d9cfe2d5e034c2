"""`train` on somebody's own folders: what it learns, and what it must not overwrite."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_study import pattern, tiny_spec

from builder_tools import EmotionClassifier
from builder_tools.cards import ModelCard, write_card
from builder_tools.cli import main
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.media import write_image
from builder_tools.networks import NETWORKS, build_network
from builder_tools.release import load_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions"),
]


@pytest.fixture(scope="module", autouse=True)
def nothing_is_traced():
    """Of its thirty trainings each is of a few batches: to trace their graph takes longer."""
    tensorflow = pytest.importorskip("tensorflow")
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def tiny_is_a_network(monkeypatch, tmp_path):
    monkeypatch.setitem(NETWORKS, "tiny", tiny_spec(24))
    monkeypatch.chdir(tmp_path)


def train(*options: str) -> int:
    plan = ["--network", "tiny", "--stages", "24:1", "--precision", "float32"]
    return main(["train", "--data", "folders", "--source", "faces", *plan, *options])


def write_faces(splits=("",), emotions=("happy", "neutral", "sad")) -> None:
    rng = np.random.default_rng(0)
    for split in splits:
        for kind, emotion in enumerate(emotions):
            for number in range(12):
                image = np.repeat(pattern(kind, 24, rng)[..., None], 3, axis=-1)
                write_image(f"faces/{split}/{emotion}/{number}.png", image)


def test_a_folder_of_three_emotions_is_learnt_by_a_network_of_three(tmp_path, caplog):
    write_faces()
    assert train() == 0
    card = ModelCard.read(tmp_path / "saved_models/mine")
    assert card.emotions == ("happy", "neutral", "sad") == tuple(card.decision)
    assert card.metrics["test"]["own-labels"]["n"] == 6
    assert "3 emotions: happy, neutral, sad" in caplog.text
    found = EmotionClassifier(tmp_path / "saved_models/mine").predict(
        np.zeros((1, 24, 24, 3), np.uint8)
    )
    assert found.shape == (1, 3)
    assert main(["evaluate", "--data", "folders", "--source", "faces", "--model", "mine"]) == 0


def test_labels_are_those_of_the_model_that_is_judged():
    write_faces()
    own = load_data("folders", "faces")
    assert own.emotions.names == ("happy", "neutral", "sad") and set(own.labels) == {0, 1, 2}
    nine = load_data("folders", "faces", emotions=NINE_EMOTIONS)
    assert nine.emotions == NINE_EMOTIONS and set(nine.labels) == {4, 5, 6}
    with pytest.raises(ValueError, match="sad"):
        load_data("folders", "faces", emotions=("happy", "neutral"))


def test_an_emotion_that_is_not_in_train_is_refused_at_once(tmp_path, capsys):
    write_faces(("train", "val", "test"), ("happy", "sad"))
    write_faces(("test",), ("happy", "sad", "fear"))
    assert train() == 2
    assert "besides in valid or test: ['fear']" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_model_of_another_run_is_not_overwritten(tmp_path, capsys):
    write_faces()
    model = tmp_path / "saved_models/fast"
    model.mkdir(parents=True)
    (model / "card.json").write_text("{}")
    assert train("--name", "fast") == 2
    assert "Try another --name" in capsys.readouterr().err
    assert [path.name for path in model.iterdir()] == ["card.json"]
    assert not (tmp_path / "runs").exists()
    (tmp_path / "empty").mkdir()
    assert train("--name", "fast", "--run", "empty") == 2, "a folder, and no run"
    assert [path.name for path in model.iterdir()] == ["card.json"]
    assert train("--name", "one", "--int8") == 0 and train("--name", "two", "--seed", "1") == 0
    hashes = ModelCard.read("saved_models/one").sha256
    assert train("--name", "one", "--run", "runs/two", "--seed", "1") == 2
    said = capsys.readouterr().err
    assert "saved_models/one holds a model, and none of a run in runs/two" in said
    assert ModelCard.read("saved_models/one").sha256 == hashes
    assert train("--name", "one") == 0, "the same run goes on"


def test_a_model_of_other_data_is_not_overwritten(tmp_path, capsys):
    """Two runs of one configuration may have learnt from different data."""
    write_faces()
    assert train("--name", "one") == 0
    hashes = ModelCard.read("saved_models/one").sha256
    shutil.rmtree("faces/sad")
    assert train("--name", "two") == 0
    capsys.readouterr()
    assert train("--name", "one", "--run", "runs/two") == 2
    assert "saved_models/one holds a model, and none of a run in" in capsys.readouterr().err
    assert ModelCard.read("saved_models/one").sha256 == hashes
    os.remove("runs/two/data.json")
    assert train("--name", "two") == 0, "runs of earlier code tell nothing of their data"


def test_reports_are_a_folder_before_the_work(tmp_path, capsys):
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(SystemExit, match="2"):
        train("--reports", "reports/deep")
    assert "argument --reports: expected a folder, and reports is a file" in capsys.readouterr().err


def test_members_of_an_ensemble_are_what_their_cards_say(tmp_path, capsys):
    write_faces()
    assert train() == 0
    for name in ("other", "untold"):
        shutil.copytree("saved_models/mine", name)
    with open("other/model.onnx", "ab") as file:
        file.write(b"more")
    card = ModelCard.read("untold")
    write_card("untold", replace(card, training={"network_file": "plain.keras"}))
    asked = ["--data", "folders", "--source", "faces", "--out", "joined"]
    for other, words in (("other", "model.onnx to have sha256"), ("untold", "['mine'] without")):
        assert main(["ensemble", "saved_models/mine", other, *asked]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "joined").exists()


def test_figures_of_a_card_are_of_the_splits_that_were_trained_on(tmp_path, capsys):
    """Other shares of the same folder would judge a model on images it has learnt."""
    write_faces()
    shares = ("--shares", "40/30/30")
    assert train(*shares) == 0
    card = ModelCard.read("saved_models/mine")
    assert card.metrics["test"]["own-labels"]["n"] == 12
    data = ("--data", "folders", "--source", "faces")
    commands = (
        ("evaluate", "--model", "mine", "--update-card"),
        ("quantize", "mine", "--out", "twin"),
        ("ensemble", "mine", "mine", "--out", "joined"),
        ("export", "runs/mine/last.keras", "--size", "24", "--int8", "--out", "twin"),
    )
    for command in commands:
        assert main([*command, *data]) == 2
        assert "'mine' was trained on, in the same splits" in capsys.readouterr().err
        assert not list(tmp_path.glob("*/*.part")) and not {"twin", "joined"} & set(os.listdir())
    assert ModelCard.read("saved_models/mine") == card
    for command in (commands[0], commands[2]):
        assert main([*command, *data, *shares]) == 0


def test_weights_that_are_no_numbers_are_refused_before_training(tmp_path, capsys):
    network = build_network("tiny", 3)
    weights = network.get_layer("backbone").get_weights()
    weights[0][:] = np.nan
    network.get_layer("backbone").set_weights(weights)
    network.save(tmp_path / "damaged.keras")
    write_faces()
    assert train("--weights", "damaged.keras") == 2
    assert "Expected finite weights in damaged.keras" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", ".", "..", "../mine", "deep/mine"])
def test_a_name_is_that_of_one_folder(tmp_path, name, capsys):
    write_faces()
    assert train("--name", name) == 2
    assert "Expected --name as the name of one folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_a_run_goes_on_with_the_targets_it_was_begun_with(tmp_path, capsys):
    write_faces()
    assert train("--train-only") == 0
    begun = (tmp_path / "runs/mine/teaching.json").read_bytes()
    assert train("--labels", "hard") == 2
    assert "was begun with: {'soft': True}. Received: {'soft': False}" in capsys.readouterr().err
    assert (tmp_path / "runs/mine/teaching.json").read_bytes() == begun
    assert train() == 0
    assert ModelCard.read(tmp_path / "saved_models/mine").training["teaching"]["soft"]


def test_weights_of_teachers_are_numbers(capsys):
    assert main(["train", "--teachers", "fast=much"]) == 2
    assert "Expected --teachers as MODEL or MODEL=WEIGHT" in capsys.readouterr().err


def test_an_export_writes_new_folders_of_fitting_names(tmp_path, capsys):
    write_faces()
    assert train("--train-only") == 0
    asked = ["export", "runs/mine/last.keras", "--data", "folders", "--source", "faces"]
    asked += ["--size", "24"]
    for options, words in (
        (["--out", "faces"], "new or empty folder to write"),
        (["--out", "runs/mine"], "new or empty folder to write"),
        (["--out", "new", "--emotions", "happy", "sad"], "names for the 3 outputs"),
        (["--out", "new", "--int8", "--format", "tflite"], "Expected .onnx as the first file"),
    ):
        assert main([*asked, *options]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "new").exists()
    assert {path.name for path in (tmp_path / "faces").iterdir()} == {"happy", "neutral", "sad"}
    assert main([*asked, "--out", "new"]) == 0


def test_too_much_for_the_memory_is_a_sentence(tmp_path, capsys):
    write_faces()
    assert train("--dense", "99999999999") == 2
    assert "train: out of memory (OOM when allocating" in capsys.readouterr().err


def test_damaged_answers_of_teachers_are_asked_for_again(tmp_path, monkeypatch):
    write_faces()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert train() == 0
    taught = ("--teachers", "saved_models/mine", "--train-only")
    assert train("--name", "first", *taught) == 0
    (answers,) = tmp_path.glob("cache/**/answers/*.npy")
    whole = answers.read_bytes()
    for number, content in enumerate((whole[:-9], b"", b"no array")):
        answers.write_bytes(content)
        assert train("--name", f"pupil{number}", *taught) == 0
        assert answers.read_bytes() == whole
