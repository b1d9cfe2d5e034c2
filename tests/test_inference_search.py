"""What lies on its side: images, videos; mirrored cameras; faces followed in streams."""

import json

import numpy as np
import pytest
from fakes import FakeModel, FollowsSquare, square_film

from builder_tools.cli import main
from builder_tools.detectors.turning import turned_back
from builder_tools.inference import Inference
from builder_tools.inference.search import (
    Orientation,
    OrientedReader,
    Search,
    oriented,
)
from builder_tools.media import VideoReader, write_image
from builder_tools.results import Box, Face


@pytest.fixture(scope="module")
def lying(tmp_path_factory, astronaut):
    """The astronaut turned clockwise by 90 degrees."""
    path = tmp_path_factory.mktemp("lying") / "lying.png"
    write_image(path, turned_back(astronaut, 270))
    return path


@pytest.fixture(scope="module")
def faces_needed(needs_detector):
    needs_detector("mediapipe")
    needs_detector("yunet")


def test_a_lying_photo_keeps_its_emotion_and_says_its_tilt(lying, capsys, faces_needed):
    assert main(["img", str(lying), "--json"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["emotion"] == "happy" and face["probability"] > 0.9
    assert face["tilt_deg"] == pytest.approx(90, abs=12)
    assert main(["img", str(lying)]) == 0
    assert "turned by 90 degrees" in capsys.readouterr().out


def test_a_photo_may_be_turned_by_hand(lying, capsys, faces_needed):
    assert main(["img", str(lying), "--json", "--rotate", "270"]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["emotion"] == "happy" and "tilt_deg" not in face
    x1, y1, x2, y2 = face["box"]
    assert Box(x1, y1, x2, y2).holds((224, 130)), "boxes are of the turned image"


def test_batches_find_faces_at_any_turn(tmp_path, lying, faces_needed):
    with Inference(show_state_mode="none", inference_mode="img_batch") as inference:
        (row,) = inference.run(lying.parent)
    assert (row.status, row.emotion, row.reason) == ("ok", "happy", "turned by 90 degrees")


def test_orientation_turns_and_mirrors():
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 9
    assert Orientation(90).applied(image)[0, 1, 0] == 9
    assert Orientation(180).applied(image)[1, 2, 0] == 9
    assert Orientation(270).applied(image)[2, 0, 0] == 9
    assert Orientation("0", mirror=True).applied(image)[0, 2, 0] == 9
    assert Orientation("auto").applied(image) is image
    with pytest.raises(ValueError, match="rotate"):
        Orientation(30)


def test_a_turned_reader_is_else_the_reader(face_video):
    with VideoReader(face_video.path) as reader:
        assert oriented(reader, Orientation("auto")) is reader
        turned = OrientedReader(reader, Orientation(90))
        assert turned.size == face_video.size[::-1] and turned.fps == reader.fps
        assert next(iter(turned)).image.shape == (640, 360, 3)


@pytest.mark.parametrize(("rotate", "size"), [("90", (360, 640)), ("180", (640, 360))])
def test_videos_are_turned_and_recorded_so(face_video, tmp_path, rotate, size):
    class Sees:
        crop_scale, crop_shift_y = 1.0, 0.0

        def detect(self, image):
            return [Face(Box(0, 0, image.shape[1], image.shape[0]), 0.9)]

        def close(self):
            pass

    out = tmp_path / "turned.mp4"
    with Inference(
        FakeModel(), Sees(), show_state_mode="none", inference_mode="video_rec", rotate=rotate
    ) as inference:
        results = list(inference.run(face_video.path, out=out, max_frames=3))
    assert results[0].faces[0].face.box.xyxy == (0, 0, *size)
    with VideoReader(out) as written:
        assert written.size == size


@pytest.mark.parametrize("mode", ["img", "img_batch", "video", "online"])
def test_an_image_alone_is_turned_and_mirrored_too(mode):
    image = np.zeros((90, 160, 3), np.uint8)
    image[20:50, 10:40] = 255
    options = {"show_state_mode": "none", "inference_mode": mode, "rotate": 90, "mirror": True}
    with Inference(FakeModel(), FollowsSquare([], []), **options) as inference:
        (face,) = inference.analyse(image)
        (same,) = inference.analyse_image(image).faces
    assert face.face.box == Box(20, 10, 50, 40)  # turned, at 40 ... 70 of 90; then mirrored
    assert same.face == face.face


def test_help_states_the_defaults(capsys):
    for verb, usual in {"img": "auto", "img-batch": "auto", "video": "0", "online": "0"}.items():
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "--rotate {auto,0,90,180,270}" in text and f"tilt (default: {usual})" in text
        assert "mediapipe 0.7" in text
    assert "--mirror" in text


def _run(frames, detector):
    search = Search()
    return [search.find(detector, frame) for frame in frames]


def test_streams_are_searched_on_a_schedule_and_followed_in_between():
    """Again soon after the first frame, for its face has just come."""
    detector = FollowsSquare([], [])
    found = _run(square_film(12), detector)
    assert detector.searched == [0, 2, 8] and detector.followed == [1, 3, 4, 5, 6, 7, 9, 10, 11]
    assert [faces[0].box.x1 for faces in found] == list(range(20, 32))


def test_a_lost_face_or_a_cut_is_searched_for_at_once():
    """And again soon where somebody has come or gone."""
    lost = FollowsSquare([], [])
    _run(square_film(8, gone=(2,)), lost)
    assert lost.searched == [0, 2, 4, 6]
    cut = FollowsSquare([], [])
    _run(square_film(5, cut_at=3), cut)
    assert cut.searched == [0, 2, 3] and cut.followed == [1, 4]


def _asked_about_places(detector, answer):
    """Let a detector look at places; return what it is asked: how many faces, how sure doubts."""
    asked = []

    def look(image, faces, doubts):
        asked.append((len(faces), [doubt.score for doubt in doubts]))
        return answer(image, doubts)

    detector.detect_at = look
    return asked


def test_a_face_that_flickers_is_looked_for_where_it_was():
    """So no other search of the whole image is needed."""
    detector = FollowsSquare([], [])
    asked = _asked_about_places(detector, lambda image, doubts: (detector._white(image), []))
    found = _run(square_film(6, gone=(3,)), detector)
    assert [len(faces) for faces in found] == [1, 1, 1, 0, 1, 1]
    assert detector.searched == [0, 2] and asked == [(1, []), (0, [0.9])]


def test_places_that_may_show_a_face_are_looked_at():
    """The unlikely ones only where somebody has come or gone."""
    detector = FollowsSquare([], [])
    asked = _asked_about_places(detector, lambda image, doubts: ([], doubts))
    places = [Face(Box(120, 60, 140, 80), score) for score in (0.3, 0.5)]
    detector.detect_and_doubt = lambda image: (detector.detect(image), places)
    _run(square_film(7, step=9, gone=range(5)), detector)
    assert asked == [(0, [0.5])] * 4 + [(0, [0.3, 0.5])]


def test_a_still_scene_is_searched_once_a_second():
    detector = FollowsSquare([], [])
    found = _run(square_film(50, step=0), detector)
    assert detector.searched == [0, 20, 40] and all(len(faces) == 1 for faces in found)


def test_a_change_in_a_still_scene_is_searched_for():
    """Nothing is there to be followed: the square that comes is found by the search it causes."""
    detector = FollowsSquare([], [])
    found = _run(square_film(12, step=0, gone=range(8)), detector)
    assert detector.searched == [0, 8] and [len(faces) for faces in found] == [0] * 8 + [1] * 4


def test_new_large_faces_are_seen_between_searches():
    detector = FollowsSquare([], [])
    detector.detect_large = lambda image: [Face(Box(80, 10, 150, 80), 0.9)]
    found = _run(square_film(2), detector)
    assert [face.box.x1 for face in found[1]] == [80, 21]
