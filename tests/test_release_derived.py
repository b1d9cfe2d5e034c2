"""Models made of a trained one: exported, in 8-bit integers, as the mean of several."""
# ruff: noqa: F811 - fixtures by their names.

import csv
import dataclasses
import os
import shutil

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras")

from toy_release import evaluate, shipped, study_faces, surroundings  # noqa: F401

from builder_tools.card_text import card_markdown
from builder_tools.cards import ModelCard, verify_files, write_card
from builder_tools.classifier import EmotionClassifier
from builder_tools.cli import main
from builder_tools.decisions import apply_temperature
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.headless import headless_network
from builder_tools.media import resize_faces
from builder_tools.networks import trained_size_px
from builder_tools.release.log import read_rows

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Where `runs/experiments.csv` is written."""
    monkeypatch.chdir(tmp_path)


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


def test_a_network_is_used_at_the_size_it_was_trained_at(shipped, tmp_path, capfd):
    """An exported or vectorising network that takes any size got faces of 48 px."""
    import keras

    run, places = shipped.root / "run", ["--source", str(shipped.source)]
    for number, network in enumerate((run / "last.keras", shipped.model / "model.keras")):
        out = tmp_path / str(number)
        assert main(["export", str(network), "--out", str(out), *places]) == 0
        assert ModelCard.read(out).input_size == 24
    assert headless_network(run / "last.keras").size_px == 24
    begun = tmp_path / "begun"
    shutil.copytree(run, begun)
    rows = (run / "history.csv").read_text().splitlines()[:2]
    (begun / "history.csv").write_text("\n".join(rows))
    assert trained_size_px(begun / "last.keras") == 16, "the later stage has not begun"
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()]).save(
        tmp_path / "any.keras"
    )
    assert main(["export", str(tmp_path / "any.keras"), "--out", str(tmp_path / "x"), *places]) == 2
    assert "Say it with --size" in capfd.readouterr().err


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


def test_a_network_that_is_in_no_run_has_an_8_bit_twin_too(shipped, tmp_path):
    """Its card tells neither data nor configuration, and leaves their cells in the log empty."""
    shutil.copy(shipped.root / "run/last.keras", tmp_path / "plain.keras")
    places = ["--source", str(shipped.source)]
    plain, reports = str(tmp_path / "plain"), tmp_path / "reports"
    export = ["export", str(tmp_path / "plain.keras"), "--out", plain, "--size", "24"]
    assert main([*export, *places]) == 0
    twin = ["quantize", plain, "--out", str(tmp_path / "twin"), "--reports", str(reports)]
    assert main([*twin, *places]) == 0
    (row,) = rows = read_rows(reports / "experiments.csv")
    assert read_rows(tmp_path / "runs/experiments.csv") == rows, "the log of all runs has it, too"
    assert row["model"] == "twin" and float(row["majority_8_accuracy"]) > 0
    assert not any(row[name] for name in ("network", "data", "data_sha256", "epochs", "minutes"))


def test_labels_of_places_are_refused_with_a_model_of_emotions(shipped, tmp_path, capsys):
    labels = ["--va-labels", str(tmp_path / "labels.csv")]
    twin = ["quantize", str(shipped.model), "--out", str(tmp_path / "twin"), *labels]
    for command in (["evaluate", "--model", str(shipped.model), *labels], twin):
        assert main([*command, "--source", str(shipped.source)]) == 2
        assert "Received: 'toy', whose task is 'emotion'." in capsys.readouterr().err


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
