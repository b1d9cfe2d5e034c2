"""The study end to end through the command line, on a toy FER+ with a network of seconds."""

import csv
import dataclasses
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_study import tiny_spec, toy_faces, votes, write_kaggle, write_official  # noqa: E402

from builder_tools.card_text import card_markdown  # noqa: E402
from builder_tools.cards import ModelCard, verify_files, write_card  # noqa: E402
from builder_tools.classifier import EmotionClassifier  # noqa: E402
from builder_tools.cli import build_parser, main, train  # noqa: E402
from builder_tools.datasets.ferplus import (  # noqa: E402
    ferplus_table,
    is_face,
    load_ferplus,
    with_original_labels,
)
from builder_tools.datasets.identity import data_sha256  # noqa: E402
from builder_tools.decisions import apply_decision, apply_temperature  # noqa: E402
from builder_tools.emotions import NINE_EMOTIONS  # noqa: E402
from builder_tools.evaluation import format_report  # noqa: E402
from builder_tools.media import resize_faces, write_image  # noqa: E402
from builder_tools.networks import NETWORKS  # noqa: E402
from builder_tools.release import Teaching, add_rows, log_experiment, read_rows  # noqa: E402
from builder_tools.release.targets import taught_samples  # noqa: E402
from builder_tools.release.teachers import mean_answers  # noqa: E402

pytestmark = pytest.mark.slow

PROTOCOLS = ["ferplus-majority-8", "ferplus-nine", "ferplus-majority-7"]


def study_faces():
    """Toy faces, of which one is no face and one test image stands in train, too."""
    faces = toy_faces()
    faces[1] = dataclasses.replace(faces[1], votes=votes(NF=8, neutral=2))
    faces[-1] = dataclasses.replace(faces[-1], image=faces[0].image)
    return faces


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory):
    """The tiny network by name, and a data folder whose FER2013 labels are of other images."""
    folder = tmp_path_factory.mktemp("data")
    labels = "image,usage,emotion,ambiguous_labels\nother.png,Training,angry,\n"
    (folder / "fer2013_labels.csv").write_text(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(24))
        patch.setenv("BUILDER_TOOLS_DATA", str(folder))
        yield


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """What `builder-tools train` leaves: the places, the command line, the card."""
    root = tmp_path_factory.mktemp("study")
    source = write_official(root / "ferplus", study_faces())
    arguments = ["train", "--source", source, "--network", "tiny", "--name", "toy"]
    arguments += ["--stages", "16:1,24:2", "--batch-size", "16", "--learning-rate", "0.02"]
    arguments += ["--precision", "float32", "--seed", "7", "--note", "first"]
    arguments += ["--run", root / "run", "--models", root / "models", "--reports", root / "reports"]
    arguments = list(map(str, arguments))
    assert main(arguments) == 0
    model = root / "models" / "toy"
    return SimpleNamespace(
        root=root, source=source, arguments=arguments, model=model, card=ModelCard.read(model)
    )


def experiments(shipped) -> list[dict[str, str]]:
    with (shipped.root / "reports/experiments.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_run_is_in_the_log_beside_it_too(shipped):
    """`runs/experiments.csv`, where `--run` names no other place."""
    with (shipped.root / "experiments.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == experiments(shipped)[:1]


def evaluate(shipped, *options: str, model: Path | None = None) -> int:
    places = ["--source", str(shipped.source), "--model", str(model or shipped.model)]
    return main(["evaluate", *places, *options])


def test_the_card_says_what_the_model_is(shipped):
    card = shipped.card
    assert (card.name, card.file, card.emotions) == ("toy", "model.onnx", NINE_EMOTIONS.names)
    assert card.input_size == 24, "the size of the last stage is deployed"
    verify_files(shipped.model, card)
    assert EmotionClassifier(shipped.model).predict(np.zeros((2, 48, 48, 3), np.uint8)).shape == (
        2,
        9,
    )
    for text in (card.licence, card.intended_use, card.limits, card.preprocessing):
        assert text
    assert set(card.decision) == set(NINE_EMOTIONS)


def test_the_card_says_how_it_was_trained(shipped):
    training = shipped.card.training
    faces = load_ferplus(shipped.source)
    assert training["data"] == "ferplus"
    assert training["data_sha256"] == data_sha256(faces.rows(is_face(faces.votes)))
    assert training["pictures"] == {"train": 53, "valid": 27, "test": 27}
    assert training["class_counts"] == dict.fromkeys(NINE_EMOTIONS, 6) | {"neutral": 5}
    assert training["seed"] == 7
    assert training["commit"]
    assert training["budget"]["epochs"] == 3
    assert training["budget"]["minutes"] >= 0
    config = training["config"]
    assert (config["network"], config["precision"], config["seed"]) == ("tiny", "float32", 7)
    assert config["stages"] == [
        {"size": 16, "epochs": 1, "trainable": "all"},
        {"size": 24, "epochs": 2, "trainable": "all"},
    ]
    parity = training["parity"]
    assert (parity["faces"], parity["changed_argmax"]) == (27, 0)
    assert parity["max_abs_difference"] < 1e-4


def test_the_card_has_figures_of_every_protocol_the_data_allow(shipped):
    """Original FER2013 labels of other images are no labels."""
    metrics = shipped.card.metrics["test"]
    assert list(metrics) == PROTOCOLS
    assert [metrics[name]["n"] for name in PROTOCOLS] == [24, 27, 21]
    assert metrics["ferplus-nine"]["without_duplicates"]["n"] == 26
    assert all("balanced_decision" in found for found in metrics.values())


def test_figures_are_drawn(shipped):
    drawn = sorted((shipped.root / "reports/figures").iterdir())
    assert [path.name for path in drawn] == ["toy_confusion.png", "toy_curves.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_second_time_goes_on_logs_again_and_prints_results_only(shipped, capfd):
    before = experiments(shipped)
    assert (len(before), before[0]["note"], before[0]["model"]) == (1, "first", "toy")
    weights = (shipped.root / "run/last.keras").read_bytes()
    arguments = [*shipped.arguments[:-7], "second", *shipped.arguments[-6:]]
    capfd.readouterr()
    assert main(arguments) == 0
    assert capfd.readouterr().out == format_report(shipped.card.metrics["test"]) + "\n"
    after = experiments(shipped)
    assert after[0] == before[0]
    assert [row["note"] for row in after] == ["first", "second"]
    assert after[1] | {"note": "", "date": ""} == before[0] | {"note": "", "date": ""}
    assert (shipped.root / "run/last.keras").read_bytes() == weights
    assert ModelCard.read(shipped.model).metrics == shipped.card.metrics


def test_evaluate_reprints_exactly_the_figures_of_the_card(shipped, capfd):
    assert evaluate(shipped) == 0
    out, err = capfd.readouterr()
    assert out == format_report(shipped.card.metrics["test"]) + "\n"
    assert "exactly the figures of the card of toy" in err
    assert evaluate(shipped, "--json") == 0
    assert json.loads(capfd.readouterr().out) == shipped.card.metrics["test"]


def test_evaluate_on_another_split_says_that_the_card_is_silent(shipped, capfd):
    assert evaluate(shipped, "--split", "valid") == 0
    out, err = capfd.readouterr()
    assert "ferplus-nine" in out
    assert "holds no figures for valid" in err


def test_evaluate_takes_the_kaggle_form(shipped, tmp_path):
    source = write_kaggle(tmp_path / "kaggle", study_faces())
    assert main(["evaluate", "--source", str(source), "--model", str(shipped.model)]) == 0


def changed_model(shipped, folder: Path, change) -> Path:
    """Copies the model with other metrics in its card."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes((shipped.model / "model.onnx").read_bytes())
    card = ModelCard.read(shipped.model)
    metrics = json.loads(json.dumps(card.metrics))
    change(metrics["test"])
    write_card(folder, dataclasses.replace(card, metrics=metrics))
    return folder


def test_a_card_with_other_figures_is_called_out(shipped, tmp_path, capfd):
    def flatter(test):
        test["ferplus-nine"]["accuracy"] += 0.0001

    model = changed_model(shipped, tmp_path / "flattered", flatter)
    assert evaluate(shipped, model=model) == 1
    assert "NOT the figures of the card of toy: ['ferplus-nine']" in capfd.readouterr().err


def test_figures_that_cannot_be_checked_here_are_named(shipped, tmp_path, capfd):
    def more(test):
        test["fer2013-7"] = test["ferplus-majority-7"]

    model = changed_model(shipped, tmp_path / "more", more)
    assert evaluate(shipped, model=model) == 0
    assert "Not compared, labels absent: fer2013-7" in capfd.readouterr().err


def test_export_turns_the_checkpoint_into_the_same_model(shipped, tmp_path, capfd):
    arguments = ["export", str(shipped.root / "run/last.keras"), "--out", str(tmp_path / "mine")]
    assert main([*arguments, "--size", "24", "--source", str(shipped.source)]) == 0
    out = capfd.readouterr().out
    assert out.startswith(f"{tmp_path / 'mine'}: 27 faces") and out.endswith("0 changed\n")
    assert out.count("\n") == 1
    faces = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), np.uint8)
    one, other = EmotionClassifier(shipped.model), EmotionClassifier(tmp_path / "mine")
    calibrated = apply_temperature(other.predict(faces), shipped.card.temperature)
    np.testing.assert_allclose(one.predict(faces), calibrated, atol=1e-6)


def test_the_log_keeps_columns_that_are_no_longer_written(shipped, tmp_path):
    log = tmp_path / "reports" / "experiments.csv"
    log.parent.mkdir()
    log.write_text("date,gone,model\n2020-01-01,kept,old\n")
    for note in ("one", "two, with a comma"):
        log_experiment(log, shipped.card, note)
    rows = pd.read_csv(log, keep_default_na=False).to_dict("records")
    assert [row["gone"] for row in rows] == ["kept", "", ""]
    assert [row["model"] for row in rows] == ["old", "toy", "toy"]
    assert [row["note"] for row in rows] == ["", "one", "two, with a comma"]
    nine = shipped.card.metrics["test"]["ferplus-nine"]["accuracy"]
    assert [row["nine_class_accuracy"] for row in rows[1:]] == [str(nine)] * 2
    assert list(log.parent.iterdir()) == [log]


def test_original_labels_are_joined_by_name(shipped, monkeypatch, tmp_path):
    faces = ferplus_table(shipped.source)
    assert with_original_labels(faces) is None, "their file knows other images only"
    names = faces.table["name"].to_list()[::-1]
    table = pd.DataFrame({"image": names, "emotion": "angry", "ambiguous_labels": ""})
    table.loc[table["image"] == names[3], "emotion"] = "happy"
    table.to_csv(tmp_path / "fer2013_labels.csv", index=False)
    monkeypatch.setenv("BUILDER_TOOLS_DATA", str(tmp_path))
    found = with_original_labels(faces)
    assert found["name"].tolist() == names[::-1]
    assert found.loc[found["emotion"] == "happy", "name"].tolist() == [names[3]]


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


def test_an_unwritable_place_is_found_out_before_training(shipped, tmp_path, capfd):
    (tmp_path / "file").touch()
    arguments = ["train", "--source", str(shipped.source), "--run", str(tmp_path / "run")]
    assert main([*arguments, "--models", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_full_disk_ends_the_run_and_it_goes_on(shipped, tmp_path, monkeypatch, capfd):
    """The model of the second epoch does not fit; nothing half-written is left."""
    import errno

    arguments = ["train", "--source", str(shipped.source), "--network", "tiny", "--name", "full"]
    arguments += ["--stages", "16:2", "--batch-size", "32", "--precision", "float32"]
    for option, name in (("--run", "run"), ("--models", "models"), ("--reports", "reports")):
        arguments += [option, str(tmp_path / name)]
    save, saved = keras.Model.save, []

    def save_once(model, path, *rest, **options):
        saved.append(path)
        if len(saved) == 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return save(model, path, *rest, **options)

    monkeypatch.setattr(keras.Model, "save", save_once)
    assert main(arguments) == 2
    assert "No space left on device" in capfd.readouterr().err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json",
        "history.csv",
        "last.keras",
        "teaching.json",
    }
    monkeypatch.undo()
    assert main(arguments) == 0


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


def test_quantize_gives_an_int8_twin_that_is_judged_anew(shipped, tmp_path, capfd):
    out = tmp_path / "twin"
    arguments = ["quantize", str(shipped.model), "--source", str(shipped.source)]
    arguments += ["--reports", str(tmp_path / "reports")]
    assert main([*arguments, "--out", str(out)]) == 0
    card = ModelCard.read(out)
    verify_files(out, card)
    assert (out / "model.onnx").stat().st_size != (shipped.model / "model.onnx").stat().st_size
    assert card.name == "twin" and card.metrics["test"]["ferplus-majority-8"]["n"] > 0
    record = card.training["int8"]
    assert record["deployed"] and record["calibration_faces"] == 53
    faces = np.stack([face.image for face in study_faces()[:20]])[..., None].repeat(3, axis=-1)
    one, twin = EmotionClassifier(shipped.model), EmotionClassifier(out)
    np.testing.assert_allclose(twin.predict(faces), one.predict(faces), atol=0.2)
    assert main([*arguments, "--out", str(out)]) == 2, "the folder is there already"
    arguments[1] = str(out)
    capfd.readouterr()
    assert main([*arguments, "--out", str(tmp_path / "again")]) == 2, "it is int8 already"
    assert f"a float32 model in {out}." in capfd.readouterr().err
    assert not (tmp_path / "again").exists()


def test_int8_that_costs_too_much_is_not_deployed(shipped, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("builder_tools.release.quantizing.INT8_LOSS", -2.0)
    arguments = ["quantize", str(shipped.model), "--source", str(shipped.source)]
    arguments += ["--reports", str(tmp_path), "--out", str(tmp_path / "twin")]
    assert main(arguments) == 2
    assert "Use the float32 model" in capsys.readouterr().err
    assert not (tmp_path / "twin").exists() and not list(tmp_path.glob("*.part"))


def test_an_ensemble_gives_the_mean_and_is_judged_anew(shipped, tmp_path):
    twin, out = tmp_path / "twin", tmp_path / "joined"
    places = ["--source", str(shipped.source), "--reports", str(tmp_path / "reports")]
    assert main(["quantize", str(shipped.model), "--out", str(twin), *places]) == 0
    arguments = ["ensemble", str(shipped.model), str(twin), "--out", str(out), *places]
    assert main([*arguments, "--flip-average"]) == 0
    card = ModelCard.read(out)
    verify_files(out, card)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "card.json", "model.onnx"]
    assert card.name == "joined" and card.flip_average
    assert card.metrics["test"]["ferplus-majority-8"]["n"] > 0
    assert [member["name"] for member in card.training["members"]] == ["toy", "twin"]
    assert card.training["members"][0]["seed"] == 7
    assert "### `twin`" in (out / "README.md").read_text()
    faces = np.stack([face.image for face in study_faces()[:20]])[..., None].repeat(3, axis=-1)
    one, other, both = (
        EmotionClassifier(folder, flip_average=False).outputs(faces)
        for folder in (shipped.model, twin, out)
    )
    assert np.abs(one - other).max() > 1e-4
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    with (tmp_path / "reports/experiments.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert (row["model"], row["network"], row["seed"]) == ("joined", "tiny + tiny", "7")
    assert row["epochs"] == "6"
    assert evaluate(shipped, model=out) == 0, "the figures of the card come out again"


def test_members_of_an_ensemble_see_faces_of_their_own_size(shipped, tmp_path):
    """A network at 48 px (in int8) beside one at 24, then this mean beside the latter again."""
    places = ["--source", str(shipped.source)]
    run, big = shipped.root / "run/last.keras", tmp_path / "big"
    assert main(["export", str(run), "--out", str(big), "--size", "48", "--int8", *places]) == 0
    big_card = ModelCard.read(big)
    assert big_card.training["int8"]["deployed"] and not big_card.metrics, "test is not used"
    assert big_card.training["config"]["stages"][-1]["size"] == 24, "the card tells of its run"

    def joined(name: str, *models_and_options) -> EmotionClassifier:
        out = tmp_path / name
        words = ["ensemble", *map(str, models_and_options), "--out", str(out), *places]
        assert main([*words, "--reports", str(tmp_path / "reports")]) == 0
        return EmotionClassifier(out, flip_average=False)

    mean = joined("mean", shipped.model, big, "--member-shares", "1", "3", "--size", "48")
    again = joined("again", shipped.model, tmp_path / "mean")
    small, large = (
        EmotionClassifier(folder, flip_average=False) for folder in (shipped.model, big)
    )
    faces = np.random.default_rng(0).integers(0, 256, (20, 48, 48, 3), np.uint8)
    wanted = 0.25 * small.outputs(faces) + 0.75 * large.outputs(faces)
    np.testing.assert_allclose(mean.outputs(faces), wanted, atol=1e-4)
    faces = resize_faces(faces, 24)
    wanted = 0.5 * small.outputs(faces) + 0.5 * mean.outputs(faces)
    np.testing.assert_allclose(again.outputs(faces), wanted, atol=1e-4)
    assert (mean.card.input_size, again.card.input_size) == (48, 24)
    members = again.card.training["members"]
    assert [(member["name"], member["input_size"]) for member in members] == [
        *(("toy", 24), ("toy", 24), ("big", 48))
    ]
    assert [member["share"] for member in members] == [0.5, 0.125, 0.375]
    page = card_markdown(mean.card)
    assert "--member-shares 0.25 0.75" in page and "`big` at 48 px" in page


def test_models_that_do_not_go_together_are_no_ensemble(shipped, tmp_path, capsys):
    def refused(*models):
        arguments = ["ensemble", *map(str, models), "--out", str(tmp_path / "out")]
        assert main([*arguments, "--source", str(shipped.source)]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "at least two models" in refused(shipped.model)
    nine = dataclasses.replace(shipped.card, emotions=NINE_EMOTIONS.names[::-1])
    shutil.copytree(shipped.model, tmp_path / "nine")
    write_card(tmp_path / "nine", nine)
    assert "one class order" in refused(shipped.model, tmp_path / "nine")
    for shares in (("1",), ("1", "0"), ("1", "-2"), ("1", "nan")):
        assert "a share above 0 for each of 2" in refused(
            shipped.model, shipped.model, "--member-shares", *shares
        )
    other = tmp_path / "other"
    shutil.copytree(shipped.model, other)
    training = dict(shipped.card.training) | {"data_sha256": "0" * 64}
    write_card(other, dataclasses.replace(shipped.card, name="other", training=training))
    assert "trained on the same data" in refused(shipped.model, other)


def test_decisions_are_fitted_on_valid(shipped):
    card = shipped.card
    assert 0.2 <= card.temperature <= 5
    assert card.abstain_below is None or 1 / 9 < card.abstain_below <= 1
    faces = np.stack([face.image for face in study_faces()[:5]])[..., None].repeat(3, axis=-1)
    natural = EmotionClassifier(shipped.model).predict(faces)
    balanced = EmotionClassifier(shipped.model, decision="balanced").predict(faces)
    expected = apply_decision(natural, card.emotions, card.decision)
    np.testing.assert_allclose(balanced, expected, atol=1e-6)


def test_a_student_is_taught_by_votes_a_teacher_and_second_labels(shipped, tmp_path, monkeypatch):
    faces = study_faces()
    names = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
    usage = {split: usage for usage, split in names.items()}
    rows = [f"{face.name},{usage[face.split]},angry," for face in faces]
    (tmp_path / "fer2013_labels.csv").write_text(
        "\n".join(["image,usage,emotion,ambiguous_labels", *rows])
    )
    monkeypatch.setenv("BUILDER_TOOLS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    table = ferplus_table(shipped.source)
    teaching = Teaching(original_share=0.25, teachers=(str(shipped.model),), teacher_share=0.4)
    samples = taught_samples(table, teaching, size_px=24)
    votes_alone = taught_samples(table, Teaching(), size_px=24).targets
    teacher = EmotionClassifier(shipped.model, flip_average=True)
    opinion = teacher.predict(table.split("train").resized(48)[:])
    angry = np.eye(9)[NINE_EMOTIONS.label("anger")]
    expected = 0.6 * (0.75 * votes_alone + 0.25 * angry) + 0.4 * opinion
    np.testing.assert_allclose(samples.targets, expected, atol=1e-5)
    assert teaching.to_dict()["teachers"][0].startswith("toy (")


def test_a_teacher_is_asked_once_about_the_same_faces(shipped, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    teacher, answers = [str(shipped.model)], tmp_path / "builder_tools/answers"
    first = mean_answers(teacher, [1.0], faces, NINE_EMOTIONS.names)
    asked = EmotionClassifier(shipped.model, flip_average=True).predict(faces)
    np.testing.assert_allclose(first, asked, atol=1e-6)
    (kept,) = answers.iterdir()
    np.save(kept, np.full((3, 9), 0.5, np.float32))
    assert (mean_answers(teacher, [2.0], list(faces), NINE_EMOTIONS.names) == 0.5).all()
    mean_answers(teacher, [1.0], faces[::-1], NINE_EMOTIONS.names)
    assert len(list(answers.iterdir())) == 2
    blocked = tmp_path / "a_file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    unkept = mean_answers(teacher, [1.0], faces, NINE_EMOTIONS.names)
    np.testing.assert_array_equal(unkept, first)
    assert "could not be kept" in caplog.text


def test_a_finished_run_ships_a_model_that_averages_both_sides(shipped, tmp_path):
    """The run is over, so nothing is trained again; the figures are those of both sides."""
    arguments = [*shipped.arguments, "--flip-average", "--models", str(tmp_path)]
    assert main([*arguments, "--reports", str(tmp_path / "reports")]) == 0
    card = ModelCard.read(tmp_path / "toy")
    assert card.flip_average and not shipped.card.flip_average
    assert card.training["config"] == shipped.card.training["config"]
    assert evaluate(shipped, model=tmp_path / "toy") == 0


def test_a_student_is_matched_with_a_run_beside_faces_without_labels(shipped, tmp_path):
    """Trained alone first, then finished by the same command: the card says who taught it."""
    rng = np.random.default_rng(0)
    for number in range(5):
        face = rng.integers(0, 256, (30, 30, 3), np.uint8)
        write_image(tmp_path / f"others/{number}.png", face)
    teacher = str(shipped.root / "run/last.keras")
    arguments = ["train", "--source", shipped.source, "--network", "tiny", "--name", "student"]
    arguments += ["--stages", "24:1", "--precision", "float32", "--teachers", f"{teacher}=2"]
    arguments += ["--teacher-share", "0.4", "--match-teachers", "--unlabelled", tmp_path / "others"]
    arguments += ["--class-weight-power", "1"]
    arguments += [
        "--run",
        tmp_path / "run",
        "--models",
        tmp_path,
        "--reports",
        tmp_path / "reports",
    ]
    arguments = list(map(str, arguments))
    assert main([*arguments, "--train-only"]) == 0
    assert not (tmp_path / "student/card.json").exists()
    assert main(arguments) == 0
    card = ModelCard.read(tmp_path / "student")
    teaching = card.training["teaching"]
    assert teaching["match"] and teaching["unlabelled"] == ["others"]
    assert teaching["teachers"][0].startswith("run/last.keras (")
    assert teaching["taught_by"][teaching["teachers"][0]]["teachers"] == []
    assert card.training["pictures"]["train"] == 53, "labelled faces are counted, others named"
    faces = rng.integers(0, 256, (4, 24, 24, 3)).astype(np.float32)
    networks = (tmp_path / "run/last.keras", tmp_path / "student/model.keras")
    learnt, given = (keras.saving.load_model(file, compile=False)(faces) for file in networks)
    taken_out = np.log(given / learnt)
    taken_out -= taken_out.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(taken_out, np.repeat(taken_out[:1], 4, axis=0), atol=1e-4)
    assert np.ptp(taken_out[0]) > 0.1, "classes weigh differently, by their shares of the votes"


def test_teaching_that_cannot_be_is_refused(shipped, tmp_path, monkeypatch):
    monkeypatch.setenv("BUILDER_TOOLS_DATA", str(tmp_path))
    table = ferplus_table(shipped.source)
    with pytest.raises(ValueError, match="FER2013's own labels"):
        taught_samples(table, Teaching(original_share=0.5), size_px=24)
    with pytest.raises(ValueError, match="teacher_share above 0"):
        Teaching(teachers=("fast",))
    with pytest.raises(ValueError, match="a weight above 0 for each of 1 teachers"):
        Teaching(teachers=("fast",), teacher_share=0.5, teacher_weights=(1.0, 2.0))
    for weight in (float("nan"), float("inf"), 0.0):
        with pytest.raises(ValueError, match=r"Expected (a weight above 0|teacher_weights)"):
            Teaching(teachers=("fast",), teacher_share=0.5, teacher_weights=(weight,))
    with pytest.raises(ValueError, match="teachers for unlabelled faces"):
        Teaching(unlabelled=("faces",))
    with pytest.raises(ValueError, match=r"original_share in \[0, 1\]"):
        Teaching(original_share=1.5)


def test_the_card_has_slices_doubt_and_a_page(shipped):
    card, test = shipped.card, shipped.card.metrics["test"]
    for thirds in card.metrics["slices"].values():
        assert sum(row["n"] for row in thirds) == test["ferplus-majority-8"]["n"]
        assert thirds[0]["to"] <= thirds[1]["to"] <= thirds[2]["to"]
        mean = sum(row["n"] * row["accuracy"] for row in thirds)
        whole = test["ferplus-majority-8"]
        assert mean == pytest.approx(whole["n"] * whole["accuracy"], abs=0.01)
    assert {"brightness", "contrast", "sharpness"} == set(card.metrics["slices"])
    assert ("sure" in test["ferplus-nine"]) == (card.abstain_below is not None)
    assert "sure" not in test["ferplus-majority-8"]
    assert (shipped.model / "README.md").read_text() == card_markdown(card)


def test_figures_can_be_written_again(shipped, tmp_path):
    model = changed_model(shipped, tmp_path / "old", lambda test: test.clear())
    assert evaluate(shipped, "--update-card", model=model) == 0
    assert ModelCard.read(model).metrics == shipped.card.metrics


def test_rows_that_are_added_at_the_same_time_are_all_kept(tmp_path):
    log = tmp_path / "runs" / "experiments.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_rows(log, [{"number": number}]), range(24)))
    assert sorted(int(row["number"]) for row in read_rows(log)) == list(range(24))
