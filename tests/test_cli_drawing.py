"""What the verbs draw: everywhere the same options, and no face where none is to be known."""

import json

import numpy as np
import pytest

from builder_tools.cli import build_parser, main
from builder_tools.detectors.mediapipe import MediaPipeDetector
from builder_tools.media import VideoReader, VideoWriter, read_image, write_image
from builder_tools.results import Box, Face, FaceEmotion


@pytest.fixture(scope="module")
def folder(astronaut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_image(folder / "one.png", astronaut)
    write_image(folder / "below" / "two.jpg", np.hstack([astronaut, astronaut]))
    write_image(folder / "blank.png", np.full((90, 120, 3), 90, np.uint8))
    (folder / "broken.png").write_bytes(b"nothing")
    return folder


ASTRONAUT = Box(178, 83, 272, 177)


def _known(image):
    """Return in how many of the places where a face was one is found."""
    with MediaPipeDetector() as detector:
        found = [face.box for face in detector.detect(image)]
    places = [ASTRONAUT.shift(dx, 0) for dx in range(0, image.shape[1], 512)]
    return sum(any(place.iou(box) > 0.3 for box in found) for place in places)


def _faces(path):
    return _known(read_image(path))


@pytest.mark.parametrize("verb", ["img", "img-batch", "video", "video-rec", "online"])
def test_every_verb_that_draws_has_the_same_options(verb):
    text = build_parser()._subparsers._group_actions[0].choices[verb].format_help()
    for option in ("--bars", "--dial", "--blur-faces", "--language {en,ru}"):
        assert option in text


def test_images_are_drawn_without_a_face_to_be_known(folder, tmp_path, capsys):
    out = tmp_path / "drawn"
    options = ["--out", str(out), "--blur-faces", "--bars", "--language", "ru"]
    assert main(["img", str(folder / "one.png"), str(folder / "blank.png"), *options]) == 0
    assert _faces(folder / "one.png") == 1 and _faces(out / "one.png") == 0
    assert "No face was found in 1 of the images" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["img", "img-batch"])
def test_an_image_without_room_for_its_bars_is_named(astronaut, tmp_path, caplog, verb):
    path = write_image(tmp_path / "photos" / "tight.png", astronaut[60:200, 160:290])
    write_image(tmp_path / "photos" / "wide.png", np.hstack([astronaut, astronaut * 0]))
    images = [tmp_path / "photos"] if verb == "img-batch" else [path, path.with_name("wide.png")]
    options = ["--csv", str(tmp_path / "a.csv")] if verb == "img-batch" else []
    options += ["--out", str(tmp_path / "drawn"), "--bars", "--dial"]
    assert main([verb, *map(str, images), *options]) == 0
    (told,) = [line for line in caplog.messages if "too little room" in line]
    assert told == f"{path}: There is too little room beside the face: bars and dials are left out"


def test_a_batch_draws_every_image_below_its_folder(folder, tmp_path, capsys):
    out = tmp_path / "drawn"
    arguments = ["img-batch", str(folder), "--csv", str(tmp_path / "a.csv"), "--out", str(out)]
    assert main([*arguments, "--blur-faces"]) == 1  # one is broken
    drawn = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert drawn == ["below/two.jpg", "blank.png", "one.png"]
    assert [_faces(out / name) for name in drawn] == [0, 0, 0]
    assert _faces(folder / "below" / "two.jpg") == 2
    told = capsys.readouterr().err
    assert "3 images drawn" in told and "in 1 of the images" in told
    assert main([*arguments, "--out-format", "png"]) == 1  # what is there stays
    assert _faces(out / "one_2.png") == 1 and _faces(out / "below" / "two.png") == 2


def test_a_batch_draws_what_img_draws(folder, tmp_path, capsys):
    main(["img", str(folder / "one.png"), "--out", str(tmp_path / "img"), "--dial"])
    arguments = ["--csv", str(tmp_path / "a.csv"), "--out", str(tmp_path / "batch"), "--dial"]
    main(["img-batch", str(folder), *arguments])
    one, other = (read_image(tmp_path / name / "one.png") for name in ("img", "batch"))
    assert np.abs(one.astype(int) - other).mean() < 0.5  # json rounds the place on the dial
    capsys.readouterr()


def test_a_recorded_video_shows_no_face(astronaut, tmp_path, capsys):
    film, out = tmp_path / "film.mp4", tmp_path / "drawn.mp4"
    with VideoWriter(film, 10, (512, 512)) as writer:
        for number in range(6):
            writer.write(astronaut, number / 10)
    assert main(["video-rec", str(film), "--out", str(out), "--blur-faces"]) == 0
    capsys.readouterr()
    with VideoReader(out) as frames:
        assert [_known(frame.image) for frame in frames] == [0] * 6


@pytest.mark.parametrize(
    "verb, wrong",
    [
        ("img", ["--min-face", "40"]),
        ("img", ["--min-score", "0.9"]),
        ("img", ["--mesh", "--geometry"]),
        ("video-rec", ["--detect-every", "3"]),
    ],
)
def test_faces_that_options_leave_out_are_not_called_blurred(verb, wrong, folder, tmp_path, capsys):
    arguments = [verb, str(folder / "one.png"), "--out", str(tmp_path / "out.mp4"), "--blur-faces"]
    assert main([*arguments, *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err


def test_a_face_comes_back_from_its_json():
    probabilities = {"sad": 0.25, "happy": 0.75}
    for doubtful_below in (0.5, 0.8):
        face = FaceEmotion(
            Face(Box(1, 2, 30, 40), 0.5, track=3),
            probabilities,
            *(0.1, -0.25, doubtful_below),
            relative_probabilities={"sad": 0.5, "happy": 0.5},
        )
        line = json.loads(json.dumps(face.to_dict()))
        assert FaceEmotion.from_dict(line).to_dict() == line


@pytest.mark.parametrize(
    "option", ["--bars", "--dial", "--blur-faces", "--out-format=png", "--language=ru"]
)
@pytest.mark.parametrize("verb", ["img", "img-batch"])
def test_nothing_is_drawn_without_a_place_for_it(verb, option, folder, tmp_path, capsys):
    """The options of drawn images were taken without a word where none is written."""
    read = folder / "one.png" if verb == "img" else folder
    csv = ["--csv", str(tmp_path / "a.csv")] if verb == "img-batch" else []
    assert main([verb, str(read), *csv, option]) == 2
    said, name = capsys.readouterr().err, option.partition("=")[0]
    assert f"Expected --out DIR{' or --show' * (verb == 'img' and name != '--out-format')}" in said
    assert f"with {name}" in said
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize("option", ["--bars", "--dial", "--blur-faces", "--language=ru"])
@pytest.mark.parametrize(
    ("verb", "place"),
    [
        (["video", "film.mp4"], "--show"),
        (["online", "--headless"], "--record OUT.mp4 or --window"),
    ],
)
def test_frames_that_nobody_sees_are_not_to_be_drawn(verb, place, option, capsys):
    assert main([*verb, option]) == 2
    assert f"Expected {place} with {option.partition('=')[0]}" in capsys.readouterr().err
