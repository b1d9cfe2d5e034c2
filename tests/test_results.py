"""Boxes, cut-outs and the JSON line, worked out by hand."""

import json

import numpy as np
import pytest

from builder_tools.results import Box, Face, FaceEmotion, FrameResult, SteadyEmotion, crop

TALL = Box(10, 20, 30, 60)

RAMP = np.arange(5 * 6, dtype=np.uint8).reshape(5, 6)[..., None].repeat(3, axis=2)
"""Six wide, five high; the pixel in column x and row y holds 6 y + x."""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (TALL.square(), (0, 20, 40, 60)),
        (Box(0, 0, 8, 2).square(), (0, -3, 8, 5)),
        (Box(0, 0, 8, 8).square(), (0, 0, 8, 8)),
        (TALL.scale(1.5), (5, 10, 35, 70)),
        (TALL.scale(0.5), (15, 30, 25, 50)),
        (TALL.scale(0), (20, 40, 20, 40)),
        (TALL.shift(-10.5, 4), (-0.5, 24, 19.5, 64)),
        (TALL.clip(25, 50), (10, 20, 25, 50)),
        (Box(-4, -3, 9, 9).clip(6, 5), (0, 0, 6, 5)),
        (Box(-9, -9, -1, -1).clip(6, 5), (0, 0, 0, 0)),
        (Box(8, 8, 9, 9).clip(6, 5), (6, 5, 6, 5)),
        (Box(0.4, 0.6, 2.6, 3.4).round(), (0, 1, 3, 3)),
    ],
)
def test_boxes_are_moved_and_sized(found, expected):
    assert found.xyxy == expected


def test_box_measures():
    assert (TALL.width, TALL.height, TALL.area, TALL.centre) == (20, 40, 800, (20, 40))


@pytest.mark.parametrize("corners", [(2, 0, 1, 5), (0, 2, 5, 1)])
def test_a_box_is_not_turned_inside_out(corners):
    for place in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="finite x1 <= x2"):
            Box(place, 0, place, 1)
    with pytest.raises(ValueError, match="x1 <= x2"):
        Box(*corners)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0, 0, 10, 10), 1),
        (Box(5, 5, 15, 15), 25 / 175),
        (Box(0, 0, 5, 10), 0.5),
        (Box(10, 0, 20, 10), 0),  # they share an edge only
        (Box(20, 20, 30, 30), 0),
        (Box(3, 3, 3, 3), 0),
    ],
)
def test_iou(other, expected):
    box = Box(0, 0, 10, 10)
    assert box.iou(other) == pytest.approx(expected)
    assert other.iou(box) == pytest.approx(expected)


def test_iou_of_two_empty_boxes_is_no_division_by_zero():
    assert Box(3, 3, 3, 3).iou(Box(3, 3, 3, 3)) == 0


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(1, 1, 3, 3), [[7, 8], [13, 14]]),
        (Box(-1, -1, 1, 1), [[0, 0], [0, 0]]),
        (Box(-1, 0, 2, 1), [[0, 0, 1]]),
        (Box(4, 3, 8, 6), [[22, 23, 23, 23], [28, 29, 29, 29], [28, 29, 29, 29]]),
        (Box(-5, 1, -3, 2), [[6, 6]]),  # all outside: the nearest edge
        (Box(2, 2, 2, 2), [[14]]),  # never empty
        (Box(0.6, 0.4, 1.6, 1.4), [[1]]),
    ],
)
def test_crop(box, expected):
    cut = crop(RAMP, box)
    assert cut[..., 0].tolist() == expected
    assert cut.dtype == np.uint8 and cut.shape[2] == 3


def test_a_crop_is_a_copy():
    image = RAMP.copy()
    crop(image, Box(0, 0, 2, 2))[:] = 99
    assert (image == RAMP).all()


def test_a_square_box_always_gives_a_square_face():
    rng = np.random.default_rng(0)
    for x, y, side in rng.uniform(-3, 6, (500, 3)):
        side = abs(side) + 0.2
        assert len(set(crop(RAMP, Box(x, y, x + side, y + side)).shape[:2])) == 1, (x, y, side)


@pytest.mark.parametrize(("y", "side"), [(3.1, 58.5), (0.7, 2.5), (7.3, 3.5)])
def test_a_side_of_half_a_pixel_rounds_one_way(y, side):
    """`y + side - y` is not exactly `side`: 58.5 must not become 58 one way and 59 the other."""
    height, width = crop(RAMP, Box(2, y, 2 + side, y + side)).shape[:2]
    assert height == width


def _face(**more) -> FaceEmotion:
    probabilities = {"anger": 0.01, "happy": 0.96996, "neutral": 0.02004}
    return FaceEmotion(Face(Box(1, 2.04, 30.25, 40), 0.92345), probabilities, **more)


def test_the_most_probable_emotion_counts_and_the_first_of_equals():
    assert (_face().emotion, _face().probability) == ("happy", 0.96996)
    tied = FaceEmotion(Face(Box(0, 0, 1, 1), 1.0), {"sad": 0.2, "anger": 0.4, "fear": 0.4})
    assert (tied.emotion, tied.probability) == ("anger", 0.4)


def test_the_json_line_is_that_of_the_contract():
    line = json.dumps(FrameResult("a b.jpg", 2, 0.06673333, (_face(),)).to_dict())
    assert line == (
        '{"source": "a b.jpg", "frame": 2, "time_s": 0.066733, "faces": [{"box": [1.0, 2.0, 30.2, '
        '40.0], "detection_score": 0.9234, "track": null, "emotion": "happy", "probability": 0.97, '
        '"probabilities": {"anger": 0.01, "happy": 0.97, "neutral": 0.02}, "valence": null, '
        '"arousal": null, "doubtful": false}]}'
    )


@pytest.mark.parametrize(("threshold", "doubtful"), [({}, False), ({"doubtful_below": 0.98}, True)])
def test_an_emotion_is_doubtful_below_a_threshold(threshold, doubtful):
    assert _face(**threshold).doubtful is doubtful
    assert _face(**threshold).to_dict()["doubtful"] is doubtful
    tied = FaceEmotion(Face(Box(0, 0, 1, 1), 1.0), {"sad": 0.2, "anger": 0.4, "fear": 0.4})
    assert tied.doubtful, "0.4 is below the 0.5 of models without a threshold"


def test_valence_arousal_and_track_are_written_where_known():
    face = _face(valence=0.80001, arousal=np.float32(-0.4))
    tracked = FaceEmotion(Face(face.face.box, 1.0, track=7), face.probabilities, 0.8, -0.4)
    assert (face.to_dict()["valence"], face.to_dict()["arousal"]) == (0.8, -0.4)
    assert tracked.to_dict()["track"] == 7


def test_numpy_numbers_become_json():
    box = Box(*np.float32([1, 2, 3, 4]))
    face = FaceEmotion(Face(box, np.float32(0.5)), {"happy": np.float32(1)})
    assert json.loads(json.dumps(face.to_dict()))["box"] == [1, 2, 3, 4]


def test_nothing_found_is_an_empty_list():
    assert FrameResult("x.png", 0, 0.0, ()).to_dict() == {
        "source": "x.png",
        "frame": 0,
        "time_s": 0.0,
        "faces": [],
    }


def test_images_do_not_decide_whether_results_are_equal():
    one = FrameResult("x", 0, 0.0, (_face(),), RAMP)
    assert one == FrameResult("x", 0, 0.0, (_face(),), None)
    assert one != FrameResult("x", 1, 0.0, (_face(),), RAMP)


def test_results_can_be_read_by_a_person():
    box = Box(177.2, 82, 272, 177.4)
    face = FaceEmotion(Face(box, 0.9217, np.zeros((6, 2))), {"happy": 0.97, "sad": 0.03})
    assert repr(face.face) == "Face(x 177...272, y 82...177, score 0.92)"
    assert repr(face) == "FaceEmotion(happy 97% at x 177...272, y 82...177)"
    unsure = FaceEmotion(Face(box, 0.9, track=3), {"happy": 0.4, "sad": 0.35})
    assert repr(unsure) == "FaceEmotion(happy 40%, doubtful at x 177...272, y 82...177, track 3)"
    still = FrameResult("a.jpg", 0, 0.0, (face,), np.zeros((9, 9, 3), np.uint8))
    assert repr(still) == f"FrameResult('a.jpg': {face!r})"
    assert repr(FrameResult("b.mp4", 30, 1.0, ())) == (
        "FrameResult('b.mp4', frame 30 at 1.000 s: no face)"
    )


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "float16", "float32", "int64"])
def test_a_box_of_numpy_numbers_is_measured_like_any_other(kind):
    """The area of 256 x 256 px was 0 as uint16, and boxes far apart overlapped."""
    largest = 200 if kind == "uint8" else 256
    box = Box(*np.array([0, 10, largest, largest + 4], kind))
    apart = Box(*np.array([1, 1, 3, 3], kind)), Box(*np.array([20, 20, 30, 30], kind))
    assert box == Box(0, 10, largest, largest + 4) and hash(box) == hash(Box(*box.xyxy))
    assert box.area == largest * (largest - 6) and apart[0].iou(apart[1]) == 0
    assert box.shift(-1, -20).xyxy == (-1, -10, largest - 1, largest - 16)
    assert json.dumps(box.xyxy) == json.dumps(Box(*box.xyxy).xyxy)


@pytest.mark.parametrize(
    "face",
    [
        FaceEmotion(Face(Box(0, 0, 9, 9), 0.9), {"happy": 0.49996, "sad": 0.50004}),
        SteadyEmotion(Face(Box(0, 0, 9, 9), 0.9), {"happy": 0.48, "sad": 0.52}, shown="happy"),
    ],
)
def test_a_face_read_back_shows_the_emotion_that_was_written(face):
    """Rounded to 0.5 both, the first class was shown; of a smoothed face, the likeliest."""
    entry = json.loads(json.dumps(face.to_dict()))
    assert FaceEmotion.from_dict(entry).emotion == face.emotion
    assert FaceEmotion.from_dict(entry).to_dict() == entry
