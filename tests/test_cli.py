"""The command line: its verbs, their help, wrong usage, exit codes, and what small verbs print."""

import importlib
import inspect
import json
import os
import re
import shlex
import shutil

import pytest

import builder_tools
from builder_tools.cards import DEFAULT_MODEL, ModelCard, file_sha256, write_card
from builder_tools.cli import GROUPS, PLACES, VERBS, build_parser, main
from builder_tools.detectors import DEFAULT_MIN_SCORES, DETECTORS, detector_class
from builder_tools.media import write_image

CONTRACT_VERBS = {
    *("img", "img-batch", "video", "video-rec", "online"),
    *("data", "clean", "balance", "tune", "train", "evaluate", "export"),
    *("highlights", "exhibits", "label-va", "quantize", "ensemble", "submit", "benchmark"),
    *("assets", "models", "web"),
}


@pytest.mark.parametrize(
    ("words", "now"),
    [
        (["classical", "--data", "ferplus"], "`python -m studies.classical`"),
        (["experiment", "ablations", "--jobs", "2"], "`python -m studies.ablations`"),
    ],
)
def test_verbs_that_left_say_where_they_went(words, now, capsys):
    assert main(words) == 2
    assert now in (told := capsys.readouterr().err) and "clone of the repository" in told


def refused(arguments, capsys):
    """Runs a wrong command line; gives what it says."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and out == ""
    return err


def test_every_verb_of_the_contract_is_there():
    assert set(VERBS) >= CONTRACT_VERBS


@pytest.mark.parametrize("name", PLACES)
def test_a_module_has_the_verbs_that_are_looked_for_in_it(name):
    module = importlib.import_module(f"builder_tools.cli.{name}")
    assert tuple(module.VERBS) == PLACES[name]


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_examples_that_parse(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"usage: builder-tools {verb}" in text and "examples:" in text
    for example in VERBS[verb].examples:
        assert f"  {example}" in text
        program, *arguments = shlex.split(example.split(" > ")[0])
        assert program == "builder-tools" and build_parser().parse_args(arguments).verb == verb


def test_the_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    listed = re.findall(r"^  ([a-z]+[a-z-]*) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert ended.value.code == 0 and listed == list(VERBS)


def test_every_verb_stands_in_one_group_of_the_help():
    grouped = [verb for verbs in GROUPS.values() for verb in verbs]
    assert sorted(grouped) == sorted(verb for verbs in PLACES.values() for verb in verbs)


def test_the_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"builder-tools {builder_tools.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["video", "film.mp4", "--timeline", "link.mp4"],
        ["video", "film.mp4", "--timeline", "t.csv", "--plot", "T.CSV"],
        ["video-rec", "film.mp4", "--out", "link.mp4"],
        ["video-rec", "film.mp4", "--out", "new.mp4", "--timeline", "New.mp4"],
        ["img-batch", "images", "--csv", "s.csv", "--sample", "s.csv"],
        ["img-batch", "images", "--csv", "s.csv", "--sample", "s.log.csv"],
        ["img-batch", "images", "--csv", "images/0.png"],
        ["img-batch", "images", "--csv", "diary.csv"],
        ["highlights", "film.mp4", "--out", "."],
    ],
)
def test_no_verb_writes_over_what_is_read_or_not_named(
    arguments, face_video, astronaut, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(face_video.path, tmp_path / "film.mp4")
    os.link(tmp_path / "film.mp4", tmp_path / "link.mp4")
    write_image(tmp_path / "images" / "0.png", astronaut)
    for name in ("s.csv", "s.log.csv"):
        (tmp_path / name).write_text("image_path,emotion\n0.png,sad\n")
    for name in ("diary.log.csv", "trailer.mp4"):
        (tmp_path / name).write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(arguments) == 2
    assert f"builder-tools {arguments[0]}: Expected " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_every_verb_says_which_files_it_reads_and_writes():
    parser = build_parser()
    (verbs,) = (action for action in parser._actions if action.dest == "verb")
    files = {"csv", "timeline", "plot", "save", "record", "faces_csv"}
    for name, own in verbs.choices.items():
        named = {action.dest for action in own._actions} & files
        assert named <= {*VERBS[name].writes, *VERBS[name].reads}, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "VERB"),
        (["dance"], "invalid choice: 'dance'"),
        (["img"], "IMAGE"),
        (["img", "a.jpg", "--detector", "retina"], "invalid choice: 'retina'"),
        (["img", "a.jpg", "--threads", "0"], "expected a whole number >= 1, received '0'"),
        (["img-batch", "folder"], "--csv"),
        (["video", "a.mp4", "--max-frames", "many"], "received 'many'"),
        (["video-rec", "a.mp4"], "--out"),
        (["online", "--window", "--headless"], "not allowed with"),
    ],
)
def test_wrong_usage_is_exit_2(arguments, message, capsys):
    assert message in refused(arguments, capsys)


def test_the_choice_of_detectors_is_told(capsys):
    said = refused(["img", "a.jpg", "--detector", "retina"], capsys)
    assert all(name in said for name in DETECTORS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["img", "PHOTO", "--min-score", "7"], "min_score in [0, 1]"),
        (["img", "PHOTO", "--model", "nowhere"], "nowhere"),
        (["img-batch", "nowhere", "--csv", "s.csv"], "folder of images"),
        (["video", "nowhere.mp4"], "No video at 'nowhere.mp4'"),
        (["video", "PHOTO.txt"], "PHOTO.txt"),
        (["video-rec", "nowhere.mp4", "--out", "o.mp4"], "No video at"),
        (["models", "nowhere"], "nowhere"),
        (["assets", "nowhere"], "Received: ['nowhere']"),
    ],
)
def test_what_cannot_be_used_at_all_is_exit_2_and_a_sentence(
    arguments, message, photo, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PHOTO.txt").write_text("text " * 99)
    arguments = [photo if argument == "PHOTO" else argument for argument in arguments]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"builder-tools {arguments[0]}: ") and message in err
    assert [path.name for path in tmp_path.iterdir()] == ["PHOTO.txt"]


def test_a_model_folder_can_be_given(photo, tmp_path, capsys):
    """A network whose file was changed is refused; its own folder is taken."""
    assert main(["img", photo, "--model", DEFAULT_MODEL]) == 0
    (tmp_path / "model.onnx").write_bytes(b"changed")
    sha256 = {"model.onnx": file_sha256(tmp_path / "model.onnx")}
    write_card(tmp_path, ModelCard("x", "model.onnx", ("a", "b"), 48, "", sha256=sha256))
    (tmp_path / "model.onnx").write_bytes(b"changed again")
    assert main(["img", photo, "--model", str(tmp_path)]) == 2
    assert "model.onnx" in capsys.readouterr().err


def test_help_tells_the_defaults_of_what_decides(capsys):
    with pytest.raises(SystemExit):
        main(["img", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for part in ("mediapipe 0.7, yunet 0.6", "(default: natural)", "(default: cpu)"):
        assert part in said
    assert DEFAULT_MIN_SCORES.keys() == DETECTORS.keys()
    for name, score in DEFAULT_MIN_SCORES.items():
        options = inspect.signature(detector_class(name)).parameters
        assert options["min_score"].default == score, name


def test_a_device_that_is_not_there_is_exit_2(photo, capsys):
    assert main(["img", photo, "--device", "auto"]) == 0
    assert main(["img", photo, "--device", "cuda"]) == 2
    assert "pip install onnxruntime-gpu" in capsys.readouterr().err


def test_models_are_listed(capsys):
    assert main(["models"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    (default,) = (line for line in lines if line[0] == f"{DEFAULT_MODEL} (default)")
    assert default[2].startswith("anger contempt")
    assert main(["models", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert DEFAULT_MODEL in [card["name"] for card in cards]
    assert main(["models", DEFAULT_MODEL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) in cards
    assert main(["models", DEFAULT_MODEL]) == 0
    assert capsys.readouterr().out.startswith(f"# Model `{DEFAULT_MODEL}`")


def test_assets_are_listed(capsys):
    assert main(["assets"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert all(len(row) == 3 for row in rows)
    licence = {name: licence for name, licence, _ in rows}
    assert licence["face_detection_short_range.tflite"].startswith("Apache-2.0")


def test_ctrl_c_is_exit_130(photo, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("builder_tools.inference.Inference.analyse_image", interrupted)
    assert main(["img", photo]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_submit_is_a_dry_run_that_checks_first(tmp_path, capsys):
    (tmp_path / "sample.csv").write_text("image_path,emotion\n0.jpg,happy\n1.jpg,happy\n")
    (tmp_path / "out.csv").write_text("image_path,emotion\n0.jpg,sad\n1.jpg,anger\n")
    sample = ["--sample", str(tmp_path / "sample.csv")]
    assert main(["submit", str(tmp_path / "out.csv"), *sample, "--message", "a b"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("kaggle competitions submit") and "'a b'" in said.out
    assert said.err.endswith("Nothing was sent; --send does that.\n")
    (tmp_path / "out.csv").write_text("image_path,emotion\n1.jpg,anger\n")
    assert main(["submit", str(tmp_path / "out.csv"), *sample]) == 2
    assert main(["submit", str(tmp_path / "none.csv")]) == 2


def test_benchmark_times_models_and_images(photo, capsys):
    assert main(["benchmark", photo, "--models", DEFAULT_MODEL, "--repeats", "2", "--json"]) == 0
    alone, through = map(json.loads, capsys.readouterr().out.splitlines())
    assert (alone["detector"], through["detector"]) == ("", "mediapipe")
    assert (through["images"], through["faces"]) == (1, 1)
    for row in (alone, through):
        assert 0 < row["median_ms"] <= row["p95_ms"]
    assert main(["benchmark", "--models", DEFAULT_MODEL, "--repeats", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("(alone)")
    for wrong in (["nowhere.jpg", "--models", DEFAULT_MODEL], ["--models", DEFAULT_MODEL, "none"]):
        assert main(["benchmark", *wrong, "--repeats", "1"]) == 2
        assert capsys.readouterr().out == ""  # before anything is timed
