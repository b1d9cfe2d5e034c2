"""Models of valence and arousal end to end: label, train, ship, judge, shrink, use."""

import dataclasses
import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from fakes import FakeDetector
from toy_study import tiny_spec, toy_faces, write_official

from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard, verify_files, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.cli import main
from builder_tools.datasets.ferplus import ferplus_table
from builder_tools.decisions import apply_temperature, nearness
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.evaluation import evaluate_valence_arousal
from builder_tools.inference import Inference
from builder_tools.networks import NETWORKS
from builder_tools.release import read_label_files
from builder_tools.release.affect import class_centres
from builder_tools.release.teachers import mean_teacher
from builder_tools.valence_arousal import vote_weighted_anchors
from builder_tools.valence_arousal.vectors import network_vectors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(24))
        patch.setenv("BUILDER_TOOLS_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Toy FER+, its labels by votes (train and valid in two files), and a model of each task."""
    root = tmp_path_factory.mktemp("study")
    source = write_official(root / "ferplus", toy_faces({"train": 10, "valid": 4, "test": 4}))
    files = [root / f"{split}.csv" for split in ("train", "valid")]
    for file in files:
        label = ["label-va", "--data", "ferplus", "--source", source, "--split", file.stem]
        assert main([*map(str, label), "--method", "votes", "--out", str(file)]) == 0
    made = SimpleNamespace(root=root, source=source, files=files)
    for task in ("both", "va"):
        assert main(train_arguments(made, task)) == 0
    made.both, made.va = root / "models" / "both", root / "models" / "va"
    return made


def train_arguments(study, task, *more, files=None, name=None) -> list[str]:
    root = study.root
    arguments = ["train", "--source", study.source, "--network", "tiny", "--task", task]
    arguments += ["--name", name or task, "--stages", "24:6", "--batch-size", "16"]
    arguments += ["--learning-rate", "0.02", "--precision", "float32", "--augmentation", "off"]
    arguments += ["--run", root / f"run_{task}", "--models", root / "models"]
    arguments += ["--reports", root / "reports", *more]
    files = study.files if files is None else files
    arguments += ["--va-labels", *files] if files else []
    return list(map(str, arguments))


def held_out(study):
    return ferplus_table(study.source).split("test")


def faces_of(study) -> np.ndarray:
    return held_out(study).resized(48)[:]


@pytest.mark.parametrize("task", ["both", "va"])
def test_the_card_says_what_the_network_gives(study, task):
    folder = study.root / "models" / task
    card = ModelCard.read(folder)
    verify_files(folder, card)
    assert (card.task, card.num_outputs) == (task, {"both": 11, "va": 2}[task])
    assert card.emotions == NINE_EMOTIONS.names
    assert card.training["config"]["head"]["task"] == task
    assert sorted(card.training["va_labels"]) == ["train.csv", "valid.csv"]
    assert card.training["parity"]["max_abs_difference"] < 1e-4
    train = ferplus_table(study.source).split("train")
    expected = vote_weighted_anchors(train.votes)[train.labels == 4].mean(axis=0)
    assert card.centres["happy"] == pytest.approx(expected.tolist(), abs=1e-4)
    assert "nobody rated" in card.limits and ("no outputs for emotions" in card.limits) == (
        task == "va"
    )
    assert (card.decision is None) == (task == "va")


@pytest.mark.parametrize("task", ["both", "va"])
def test_figures_of_the_card_are_those_of_its_places(study, task):
    folder = study.root / "models" / task
    found = ModelCard.read(folder).metrics["valence_arousal"]
    places = EmotionClassifier(folder).predict_with_affect(faces_of(study)).places
    reference = vote_weighted_anchors(held_out(study).votes)
    assert found["test"]["against_votes"] == evaluate_valence_arousal(reference, places).to_dict()
    assert found["test"]["against_votes"]["mean_ccc"] > 0.5
    assert "against_labels" in found["valid"]
    assert "against_labels" not in found["test"], "the files label train and valid"
    protocols = list(found["test"]["nearest_centre"])
    assert protocols == ["ferplus-majority-8", "ferplus-nine", "ferplus-majority-7"]
    assert ("direct" in found["test"]) == (task == "both")
    test = ModelCard.read(folder).metrics["test"]
    own = found["test"]["direct" if task == "both" else "nearest_centre"]
    for protocol in protocols:
        assert own[protocol]["accuracy"] == test[protocol]["accuracy"]
    page = card_markdown(ModelCard.read(folder))
    assert (folder / "README.md").read_text() == page
    assert "| test | anchors weighted by people's votes |" in page


def test_both_come_from_one_pass(study, monkeypatch):
    model = EmotionClassifier(study.both)
    calls = []
    run = model._runtime.run
    monkeypatch.setattr(model._runtime, "run", lambda batch: calls.append(len(batch)) or run(batch))
    image = np.full((64, 64, 3), 3, np.uint8)
    with Inference(model, FakeDetector(), show_state_mode="none") as inference:
        (face, *others) = inference.analyse(image)
    assert calls == [3] and len(others) == 2
    raw = model.outputs(np.full((1, 16, 16, 3), 3, np.uint8))[0]
    assert (face.valence, face.arousal) == pytest.approx(tuple(raw[9:]), abs=1e-6)
    expected = apply_temperature(raw[None, :9], model.card.temperature)[0]
    assert list(face.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)


def test_places_of_a_network_are_not_its_expected_anchors(study):
    both = EmotionClassifier(study.both)
    readings = both.predict_with_affect(faces_of(study))
    assert readings.probabilities == pytest.approx(both.predict(faces_of(study)))
    assert np.abs(readings.places - both.valence_arousal(readings.probabilities)).max() > 0.01
    none = both.predict_with_affect(faces_of(study)[:0])
    assert none.probabilities.shape == (0, 9) and none.places.shape == (0, 2)


def test_a_model_of_places_names_the_nearest_centre(study):
    model = EmotionClassifier(study.va)
    readings = model.predict_with_affect(faces_of(study))
    centres = np.array([model.card.centres[name] for name in NINE_EMOTIONS])
    distance = np.linalg.norm(readings.places[:, None] - centres, axis=2)
    np.testing.assert_array_equal(readings.probabilities.argmax(axis=1), distance.argmin(axis=1))
    np.testing.assert_allclose(readings.probabilities.sum(axis=1), 1, atol=1e-5)
    expected = apply_temperature(nearness(readings.places, centres), model.card.temperature)
    np.testing.assert_allclose(readings.probabilities, expected, atol=1e-6)
    with pytest.raises(ValueError, match="has none"):
        EmotionClassifier(study.va, decision="balanced")


def test_mirrored_faces_are_averaged_in_places_too(study):
    faces = faces_of(study)[:4].copy()
    faces[:, :, :10] //= 2
    plain = EmotionClassifier(study.both)
    sides = [
        plain.predict_with_affect(side).places
        for side in (faces, np.ascontiguousarray(faces[:, :, ::-1]))
    ]
    averaged = EmotionClassifier(study.both, flip_average=True).predict_with_affect(faces).places
    np.testing.assert_allclose(averaged, np.mean(sides, axis=0), atol=1e-5)


def test_json_of_an_image_keeps_the_contract(study, astronaut, tmp_path, capsys):
    from builder_tools.media import write_image

    photo = tmp_path / "photo.png"
    write_image(photo, astronaut)
    for task in ("both", "va"):
        model = study.root / "models" / task
        assert main(["img", str(photo), "--json", "--model", str(model)]) == 0
        (face,) = json.loads(capsys.readouterr().out)["faces"]
        assert set(face["probabilities"]) == set(NINE_EMOTIONS)
        assert face["probability"] == max(face["probabilities"].values())
        assert -1 <= face["valence"] <= 1 and -1 <= face["arousal"] <= 1


def test_evaluate_reprints_the_figures_of_the_card(study, capfd):
    arguments = ["evaluate", "--source", str(study.source), "--model", str(study.both)]
    files = ["--va-labels", *map(str, study.files)]
    assert main([*arguments, "--json", *files]) == 0
    out, err = capfd.readouterr()
    card = ModelCard.read(study.both)
    printed = json.loads(out)
    assert printed.pop("valence_arousal") == card.metrics["valence_arousal"]["test"]
    assert printed == card.metrics["test"] and "exactly the figures" in err
    assert "Not judged against --va-labels: images of test lack some." in err
    assert main([*arguments, "--split", "valid", *files]) == 0
    out = capfd.readouterr().out
    assert "against the votes' anchors" in out and "against its own kind of labels" in out
    assert "nearest centre, ferplus-nine" in out and "direct, ferplus-nine" in out


def test_a_card_does_not_lose_figures_when_it_is_updated(study, capfd):
    arguments = ["evaluate", "--source", str(study.source), "--model", str(study.va)]
    before = (study.va / "card.json").read_bytes()
    assert main([*arguments, "--update-card"]) == 2
    assert "--va-labels" in capfd.readouterr().err
    assert main([*arguments, "--update-card", "--va-labels", *map(str, study.files)]) == 0
    assert (study.va / "card.json").read_bytes() == before


def test_a_card_with_other_places_is_called_out(study, capfd):
    card = ModelCard.read(study.va)
    metrics = json.loads(json.dumps(card.metrics))
    metrics["valence_arousal"]["test"]["against_votes"]["mean_ccc"] += 0.0001
    write_card(study.va, dataclasses.replace(card, metrics=metrics))
    try:
        assert main(["evaluate", "--source", str(study.source), "--model", str(study.va)]) == 1
        assert "NOT the figures" in capfd.readouterr().err
    finally:
        write_card(study.va, card)


def test_the_log_tells_task_labels_and_agreement(study):
    import pandas as pd

    rows = pd.read_csv(study.root / "reports/experiments.csv").set_index("model")
    assert rows.loc["va", "task"] == "va" and rows.loc["both", "va_labels"] == "train.csv valid.csv"
    found = ModelCard.read(study.va).metrics["valence_arousal"]["test"]["against_votes"]
    assert rows.loc["va", "va_test_votes_ccc"] == found["mean_ccc"]
    assert (study.root / "reports/figures/va_confusion.png").is_file()


@pytest.mark.parametrize("task", ["both", "va"])
def test_int8_must_keep_places_too(study, task, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("builder_tools.release.quantizing.INT8_LOSS", 1.0)
    monkeypatch.chdir(tmp_path)
    arguments = ["quantize", str(study.root / "models" / task), "--source", str(study.source)]
    arguments += ["--reports", str(tmp_path / "reports"), "--out", str(tmp_path / "twin")]
    assert main(arguments) == 0
    card = ModelCard.read(tmp_path / "twin")
    record = card.training["int8"]
    assert record["deployed"] and record["valid_ccc_with_float32"] >= 0.99
    assert card.metrics["valence_arousal"]["test"]["against_votes"]["n"] == 36
    monkeypatch.setattr("builder_tools.release.quantizing.INT8_CCC", 1.1)
    arguments[-1] = str(tmp_path / "again")
    assert main(arguments) == 2
    assert "valid_ccc_with_float32" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_two_headed_network_has_one_vector_of_features(study):
    vectors = network_vectors(study.both)
    assert vectors(faces_of(study)[:2]).shape == (2, 16)


@pytest.mark.parametrize(
    ("task", "files", "more", "message"),
    [
        ("va", [], [], "label-va"),
        ("emotion", None, [], "only with these"),
        ("va", ["train.csv"], [], "In valid"),
        ("both", ["train.csv", "train.csv"], [], "in two"),
        ("both", ["none.csv"], [], "none.csv"),
        ("va", None, ["--teachers", "fast"], "they teach emotions"),
        ("va", None, ["--label-smoothing", "0.1"], "label_smoothing"),
        ("va", None, ["--monitor", "val_accuracy"], "val_ccc"),
    ],
)
def test_what_cannot_be_taught_is_refused(study, tmp_path, capsys, task, files, more, message):
    paths = None if files is None else [study.root / name for name in files]
    arguments = train_arguments(study, task, *more, files=paths, name="refused")
    arguments[arguments.index("--run") + 1] = str(tmp_path / "run")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert not list((study.root / "models").glob("refused/*"))


@pytest.mark.parametrize("task", ["both", "va"])
def test_places_are_not_taken_for_emotions(study, task, tmp_path, capsys):
    """Valence and arousal are as many outputs as two emotions."""
    run = tmp_path / "run"
    shutil.copytree(study.root / f"run_{task}", run)
    data = json.loads((run / "data.json").read_text())
    count = {"va": 2, "both": 11}[task]
    data["class_counts"] = {f"mood {number}": 1 for number in range(count)}
    (run / "data.json").write_text(json.dumps(data))
    network, out = str(run / "last.keras"), str(tmp_path / "out")
    asked = ["--out", out, "--size", "24", "--source", str(study.source)]
    assert main(["export", network, *asked]) == 2
    assert f"last.keras, whose task is {task!r}" in capsys.readouterr().err
    names, model = tuple(data["class_counts"]), getattr(study, task)
    for teacher in (network, str(model)):
        with pytest.raises(ValueError, match=f"whose task is {task!r}"):
            mean_teacher([teacher], [1], names, 24)


def test_centres_fall_back_on_anchors():
    places, labels = np.array([[0.2, 0.4], [0.4, 0.0]]), np.array([4, 4])
    centres = class_centres(places, labels, NINE_EMOTIONS)
    assert centres["happy"] == [0.3, 0.2] and centres["sad"] == [-0.63, -0.27]
    with pytest.raises(ValueError, match="'ahegao'"):
        class_centres(places, labels, type(NINE_EMOTIONS)(["ahegao", "happy"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "valence"}, "Expected a task"),
        ({"task": "va"}, "Expected centres"),
        ({"task": "va", "centres": {"happy": [0.8, 0.5]}}, "for each of"),
        ({"task": "both", "centres": {"happy": [0.8, 1.5], "sad": [0, 0]}}, "for each of"),
        ({"task": "both", "centres": {"happy": [0.8], "sad": [0, 0, 0]}}, "for each of"),
    ],
)
def test_a_card_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelCard("toy", "model.onnx", ("happy", "sad"), 48, "none", **changes)


def test_cards_of_old_are_of_emotions(study, tmp_path):
    values = json.loads((study.both / "card.json").read_text())
    del values["task"], values["centres"]
    (tmp_path / "card.json").write_text(json.dumps(values))
    assert ModelCard.read(tmp_path).task == "emotion"
    values["file"] = "model.onnx"
    (tmp_path / "model.onnx").write_bytes((study.both / "model.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"classes 9 .* Received: 11"):
        EmotionClassifier(tmp_path)


def test_files_of_labels_are_read_as_one(study):
    assert len(read_label_files(study.files)) == 9 * 14
