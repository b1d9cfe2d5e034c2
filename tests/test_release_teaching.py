"""What students learn from: votes, FER2013's own labels, teachers, faces without labels."""
# ruff: noqa: F811 - fixtures by their names.

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")

from toy_release import shipped, study_faces, surroundings  # noqa: E402, F401

from builder_tools.cards import ModelCard, write_card  # noqa: E402
from builder_tools.classifier import EmotionClassifier  # noqa: E402
from builder_tools.cli import main  # noqa: E402
from builder_tools.datasets.ferplus import ferplus_table, with_original_labels  # noqa: E402
from builder_tools.emotions import NINE_EMOTIONS  # noqa: E402
from builder_tools.media import write_image  # noqa: E402
from builder_tools.release import Teaching  # noqa: E402
from builder_tools.release.targets import taught_samples  # noqa: E402
from builder_tools.release.teachers import mean_answers  # noqa: E402

pytestmark = pytest.mark.slow


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


def test_a_run_goes_on_with_teachers_of_the_same_temperature(
    shipped, tmp_path, monkeypatch, capsys
):
    """Runs that earlier code began do not tell it, and go on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    teacher = shutil.copytree(shipped.model, tmp_path / "teacher")
    run = ["train", "--source", shipped.source, "--network", "tiny", "--stages", "24:1"]
    run += ["--precision", "float32", "--teachers", teacher, "--run", tmp_path / "run"]
    run = list(map(str, [*run, "--models", tmp_path, "--name", "student", "--train-only"]))
    assert main(run) == 0
    card = ModelCard.read(teacher)
    write_card(teacher, replace(card, temperature=2 * card.temperature))
    assert main(run) == 2
    assert "Expected the targets that the run" in capsys.readouterr().err
    record = tmp_path / "run/teaching.json"
    told = json.loads(record.read_text())
    assert told.pop("teacher_temperatures") == [card.temperature]
    record.write_text(json.dumps(told))
    write_card(teacher, card)
    assert main(run) == 0
    assert json.loads(record.read_text())["teacher_temperatures"] == [card.temperature]


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
