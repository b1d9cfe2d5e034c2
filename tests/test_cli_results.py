"""What `img`, `img-batch`, `video` and `video-rec` print and write."""

import dataclasses
import json
import re
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from builder_tools.cards import ModelCard, find_model, write_card
from builder_tools.cli import main
from builder_tools.media import read_image, write_image

LINE_FIELDS = ["source", "frame", "time_s", "faces"]
FACE_FIELDS = [
    *("box", "detection_score", "track", "emotion", "probability", "probabilities"),
    *("valence", "arousal", "doubtful"),
]


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    path = tmp_path_factory.mktemp("blank") / "blank.png"
    return str(write_image(path, np.full((120, 160, 3), 90, np.uint8)))


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


def test_a_missing_image_is_listed_and_the_rest_is_done(photo, blank, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"broken" * 30)
    assert main(["img", photo, "nowhere.jpg", str(broken), blank, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["source"] for line in out.splitlines()] == [photo, blank]
    failed = err.splitlines()
    assert len(failed) == 2 and all(line.startswith("failed: ") for line in failed)
    assert "nowhere.jpg" in failed[0] and "broken.jpg" in failed[1]


@pytest.mark.parametrize("detector", ["haar", "mediapipe"])
def test_detectors_can_be_chosen(photo, detector, capsys):
    assert main(["img", photo, "--detector", detector, "--json"]) == 0
    faces = json.loads(capsys.readouterr().out)["faces"]
    assert "happy" in [face["emotion"] for face in faces]


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
