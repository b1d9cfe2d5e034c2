"""The command line: every verb's help, what goes to stdout, and the exit codes."""

import dataclasses
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

import builder_tools
from builder_tools import classifier
from builder_tools.cards import DEFAULT_MODEL, ModelCard, file_sha256, find_model, write_card
from builder_tools.classifier import DEVICES
from builder_tools.cli import GROUPS, PLACES, VERBS, build_parser, main
from builder_tools.detectors import DEFAULT_MIN_SCORES, DETECTORS, detector_class
from builder_tools.media import read_image, write_image

CONTRACT_VERBS = {
    *("img", "img-batch", "video", "video-rec", "online"),
    *("data", "clean", "balance", "tune", "train", "evaluate", "export"),
    *("highlights", "exhibits", "label-va", "quantize", "ensemble", "submit", "benchmark"),
    *("assets", "models", "web"),
}
LINE_FIELDS = ["source", "frame", "time_s", "faces"]
FACE_FIELDS = [
    *("box", "detection_score", "track", "emotion", "probability", "probabilities"),
    *("valence", "arousal", "doubtful"),
]


@pytest.fixture(scope="module")
def photo(astronaut, tmp_path_factory):
    return str(write_image(tmp_path_factory.mktemp("photo") / "her face.png", astronaut))


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    path = tmp_path_factory.mktemp("blank") / "blank.png"
    return str(write_image(path, np.full((120, 160, 3), 90, np.uint8)))


def run_command(*arguments, **options):
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    return subprocess.run(
        [sys.executable, "-m", "builder_tools", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
        **options,
    )


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


def test_a_start_imports_one_verb(tmp_path):
    code = (
        "import sys; from builder_tools.cli import main; main(['assets']); "
        "print([m for m in sys.modules if m.startswith('builder_tools.cli.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "cli.house" in done.stderr and "cli.train" not in done.stderr, done.stderr


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


def test_img_json_is_the_line_of_the_contract(photo, capsys):
    assert main(["img", photo, "--json"]) == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    found = json.loads(line)
    assert list(found) == LINE_FIELDS and (found["frame"], found["time_s"]) == (0, 0.0)
    assert found["source"] == photo
    (face,) = found["faces"]
    assert list(face) == FACE_FIELDS
    assert face["emotion"] == "happy" == max(face["probabilities"], key=face["probabilities"].get)
    assert face["probability"] == face["probabilities"]["happy"] <= 1
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert len(face["probabilities"]) == 9 and 0.5 < face["detection_score"] <= 1
    assert len(face["box"]) == 4 and face["track"] is None
    assert err == ""


def test_img_in_words(photo, blank, capsys):
    assert main(["img", photo, blank]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert re.fullmatch(
        rf"{re.escape(photo)}: face 1 of 1: happy \d+% at x \d+\.\.\.\d+, y \d+\.\.\.\d+", first
    )
    assert second == f"{blank}: no face found" and err == ""


def test_img_writes_the_drawn_images(photo, astronaut, tmp_path, capsys):
    assert main(["img", photo, photo, "--out", str(tmp_path / "new" / "drawn")]) == 0
    assert [path.name for path in (tmp_path / "new" / "drawn").iterdir()] == ["her face.png"]
    drawn = read_image(tmp_path / "new" / "drawn" / "her face.png")
    assert drawn.shape == astronaut.shape and 500 < (drawn != astronaut).any(axis=2).sum() < 30000


def test_bars_draw_more(photo, astronaut, tmp_path):
    changed = []
    for name, bars in (("plain", []), ("bars", ["--bars"])):
        assert main(["img", photo, "--out", str(tmp_path / name), *bars]) == 0
        drawn = read_image(tmp_path / name / "her face.png")
        changed.append((drawn != astronaut).any(axis=2).sum())
    assert changed[1] > changed[0] + 5000


def test_images_of_one_name_do_not_overwrite_each_other(photo, blank, tmp_path):
    twin = str(write_image(tmp_path / "her face.jpg", read_image(blank)))
    assert main(["img", photo, twin, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("her face.jpg", "her face.png"),
    ]
    assert read_image(tmp_path / "out" / "her face.png").shape == (512, 512, 3)
    one_format = ["--out", str(tmp_path / "webp"), "--out-format", "webp"]
    assert main(["img", photo, twin, *one_format]) == 0
    assert sorted(path.name for path in (tmp_path / "webp").iterdir()) == [
        *("her face.webp", "her face_2.webp"),
    ]


def test_a_drawn_image_replaces_nothing(astronaut, tmp_path, capsys, monkeypatch):
    """Neither the image itself nor another one that only has its name."""
    monkeypatch.chdir(tmp_path)
    for name in ("holiday.jpg", "holiday.png"):
        write_image(tmp_path / name, astronaut)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["img", "holiday.jpg", "--out", "."]) == 0
    assert "holiday.jpg is there already; written: holiday_2.jpg" in capsys.readouterr().err
    assert main(["img", "holiday.jpg", "--out", ".", "--out-format", "png"]) == 0
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(after) - set(before) == {"holiday_2.jpg", "holiday_2.png"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("a.JPG", "a.JPG"), ("a.webp", "a.webp"), ("a.jfif", "a.jpg"), ("a.gif", "a.png"),
     ("a.tif", "a.png"), ("noname", "noname.png")],
)  # fmt: skip
def test_a_drawn_image_has_its_image_s_format_where_it_can(name, drawn, astronaut, tmp_path):
    import PIL.Image

    kind = {".gif": "GIF", ".tif": "TIFF", ".webp": "WEBP"}.get(name[1:], "JPEG")
    PIL.Image.fromarray(astronaut).save(tmp_path / name, kind)
    assert main(["img", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [drawn]
    assert read_image(tmp_path / "out" / drawn).shape == (512, 512, 3)


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


def test_a_missing_image_is_listed_and_the_rest_is_done(photo, blank, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"broken" * 30)
    assert main(["img", photo, "nowhere.jpg", str(broken), blank, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["source"] for line in out.splitlines()] == [photo, blank]
    failed = err.splitlines()
    assert len(failed) == 2 and all(line.startswith("failed: ") for line in failed)
    assert "nowhere.jpg" in failed[0] and "broken.jpg" in failed[1]


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


@pytest.mark.parametrize("detector", ["haar", "mediapipe"])
def test_detectors_can_be_chosen(photo, detector, capsys):
    assert main(["img", photo, "--detector", detector, "--json"]) == 0
    faces = json.loads(capsys.readouterr().out)["faces"]
    assert "happy" in [face["emotion"] for face in faces]


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
    assert DEVICES == classifier.DEVICES


def test_small_faces_can_be_left_out(photo, capsys):
    assert main(["img", photo, "--min-face", "400"]) == 0
    assert "no face found" in capsys.readouterr().out


def test_img_batch_writes_files_and_prints_nothing(photo, blank, tmp_path, capsys):
    images = tmp_path / "images"
    for number, path in enumerate([photo, blank, photo]):
        write_image(images / f"{number}.png", read_image(path))
    (images / "3.png").write_bytes(b"")
    sample = tmp_path / "sample.csv"
    sample.write_text("image_path,emotion\n3.png,sad\n2.png,sad\n1.png,sad\n")
    csv_path = tmp_path / "s.csv"
    command = ["img-batch", str(images), "--csv", str(csv_path), "--sample", str(sample)]
    assert main(command) == 1, "an image is unreadable"
    out, err = capsys.readouterr()
    lines = csv_path.read_text().splitlines()
    assert out == ""
    assert [line.split(",")[0] for line in lines] == ["image_path", "3.png", "2.png", "1.png"]
    assert lines[2] == "2.png,happy"
    assert "3 rows (1 ok, 1 no_face, 0 multi_face, 1 unreadable)" in err
    assert "unreadable: 3.png" in err and "left out, not in the sample: 1 images (0.png)" in err


def test_img_batch_takes_every_image_or_says_why_not(photo, blank, tmp_path, capsys):
    images = tmp_path / "images"
    for name in ("0.tif", "1.gif", "a/2.jp2", "a/b/3.TGA"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(photo).convert("RGB").save(images / name)
    (images / "notes.txt").write_text("none")
    (images / "a" / "dead.jpg").symlink_to("nowhere")
    code = main(["img-batch", str(images), "--csv", str(tmp_path / "s.csv")])
    said = capsys.readouterr().err
    assert code == 1 and "unreadable: a/dead.jpg: No image at" in said
    assert "1 left out because it is no image of a known format" in said and "notes.txt" in said
    lines = (tmp_path / "s.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == [
        *("0.tif", "1.gif", "a/2.jp2", "a/dead.jpg", "a/b/3.TGA"),
    ]


def test_img_batch_writes_every_face(photo, tmp_path, capsys):
    write_image(tmp_path / "images" / "0.png", read_image(photo))
    files = ["--csv", str(tmp_path / "s.csv"), "--faces-csv", str(tmp_path / "faces.csv")]
    assert main(["img-batch", str(tmp_path / "images"), *files]) == 0
    header, face = (tmp_path / "faces.csv").read_text().splitlines()
    found = dict(zip(header.split(","), face.split(","), strict=True))
    assert found["image_path"] == "0.png" and found["emotion"] == "happy"
    assert sum(float(found[name]) for name in found if name.startswith("p_")) == pytest.approx(
        1, abs=5e-4
    )
    assert float(found["valence"]) > 0.5 and found["doubtful"] == "0"


def test_img_batch_restart(photo, tmp_path, capsys):
    images = tmp_path / "images"
    write_image(images / "0.png", read_image(photo))
    (tmp_path / "s.partial.jsonl").write_text('{"run": "another"}\n')
    command = ["img-batch", str(images), "--csv", str(tmp_path / "s.csv")]
    assert main(command) == 2
    assert "--restart" in capsys.readouterr().err and not (tmp_path / "s.csv").exists()
    assert main([*command, "--restart"]) == 0
    assert (tmp_path / "s.csv").read_text() == "image_path,emotion\n0.png,happy\n"


def test_video_prints_a_line_a_frame(face_video, capsys):
    assert main(["video", str(face_video.path), "--max-frames", "40"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 40 and err == ""
    assert re.fullmatch(r" +0\.000 s  no face", lines[0])
    assert re.fullmatch(r" +1\.301 s  [a-z]+ \d+%", lines[39])  # 39 / 29.97 s


def test_video_json(face_video, capsys):
    assert main(["video", str(face_video.path), "--max-frames", "3", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(line) for line in found] == [LINE_FIELDS] * 3
    assert [line["time_s"] for line in found] == pytest.approx([0, 0.033367, 0.066733], abs=1e-4)


def test_video_rec(face_video, tmp_path, capsys):
    out_path = tmp_path / "drawn.mp4"
    assert main(["video-rec", str(face_video.path), "--out", str(out_path), "--max-frames=4"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and err.endswith(f"Written: {out_path}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["drawn.mp4"]


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


# A few in a process of their own.


def test_a_photo_judged_unseen_imports_nothing_that_draws_tracks_or_films(photo):
    unwanted = ("PIL", "av", "builder_tools.drawing", "builder_tools.tracking")
    code = (
        f"import sys; from builder_tools.cli import main; main(['img', {photo!r}, '--json']); "
        f"print([m for m in {unwanted} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["faces"] and done.stderr == "[]\n", done.stderr


def test_python_m_builder_tools(photo):
    done = run_command("img", photo, "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert [face["emotion"] for face in json.loads(done.stdout)["faces"]] == ["happy"]


def test_stdout_holds_results_only_and_stderr_the_rest(photo, tmp_path):
    done = run_command("img", photo, "nowhere.jpg")
    assert done.returncode == 1 and done.stdout.count("\n") == 1
    assert done.stderr.startswith("failed: nowhere.jpg") and done.stderr.count("\n") == 1
    done = run_command("video", str(tmp_path / "nowhere.mp4"))
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(face_video):
    """`builder-tools video film.mp4 | head -1`"""
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    command = [sys.executable, "-m", "builder_tools", "video", str(face_video.path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert "s  no face" in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")


def test_the_img_command_never_loads_tensorflow(photo):
    root = os.path.dirname(os.path.dirname(builder_tools.__file__))
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "builder_tools", "img", photo],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "cv2" in imported
    heavy = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib", "seaborn")
    assert not [name for name in imported if name.split(".")[0] in heavy]


def test_many_images_of_every_kind_keep_their_lines(astronaut, tmp_path, capsys):
    head = astronaut[:220, 110:340]
    paths = [
        str(write_image(tmp_path / f"{side} px.png", cv2.resize(head, (side, side))))
        for side in (60, 120, 240, 480)
    ]
    assert main(["img", *paths, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["source"] for line in found] == paths
    assert [len(line["faces"]) for line in found][1:] == [1, 1, 1]


def test_submit_is_a_dry_run_that_checks_first(tmp_path, capsys):
    (tmp_path / "sample.csv").write_text("image_path,emotion\n0.jpg,happy\n1.jpg,happy\n")
    (tmp_path / "out.csv").write_text("image_path,emotion\n0.jpg,sad\n1.jpg,anger\n")
    sample = ["--sample", str(tmp_path / "sample.csv")]
    assert main(["submit", str(tmp_path / "out.csv"), *sample, "--message", "a b"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("kaggle competitions submit") and "'a b'" in line
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
    assert main(["benchmark", "nowhere.jpg", "--models", DEFAULT_MODEL, "--repeats", "1"]) == 2


def test_a_doubtful_answer_is_called_so(photo, tmp_path, capsys):
    model = tmp_path / "doubting"
    shutil.copytree(find_model(), model)
    card = ModelCard.read(model)
    for threshold, doubtful in ((1.01, True), (0.01, False), (None, False)):
        write_card(model, dataclasses.replace(card, abstain_below=threshold))
        assert main(["img", photo, "--model", str(model)]) == 0
        assert (", doubtful at x" in capsys.readouterr().out) == doubtful
        assert main(["img", photo, "--model", str(model), "--json"]) == 0
        (face,) = json.loads(capsys.readouterr().out)["faces"]
        assert face["doubtful"] is doubtful


def test_the_default_model_places_a_face_on_the_plane(photo, capsys):
    assert main(["img", photo, "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["valence"] > 0.5 and -1 <= face["arousal"] <= 1, "she smiles"
