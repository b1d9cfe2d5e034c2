"""`Inference` with a model, a detector and a drawer of one's own."""

import numpy as np
import pytest
from fakes import FakeDetector, FakeModel, made_image

from builder_tools.detectors.haar import HaarDetector
from builder_tools.drawing import DrawBox
from builder_tools.inference import Inference
from builder_tools.media import VideoWriter
from builder_tools.results import Box, Face


def test_any_model_and_detector_serve():
    model, detector = FakeModel(), FakeDetector()
    with Inference(model, detector, show_state_mode="none") as inference:
        (face,) = inference.run(made_image(1, 200)).faces
    assert list(face.probabilities) == ["happy", "neutral", "sad"]
    assert face.emotion == "happy" and face.probability == pytest.approx(0.7, abs=1e-6)
    assert model.calls[0][0].shape == (16, 16, 3) and (model.calls[0][0] == 200).all()
    assert detector.closed == 0  # who made it closes it


def test_the_crop_follows_the_detector():
    """A 16 px box, twice as wide, moved down by half its height: 32 px, from y 8 to 40."""
    model, detector = FakeModel(), FakeDetector()
    detector.crop_scale, detector.crop_shift_y = 2.0, 0.5
    image = made_image(1, 200)
    Inference(model, detector, show_state_mode="none").run(image)
    assert (model.calls[0][0] == image[8:40, 0:32]).all()


def test_faces_are_resized_where_a_size_is_given():
    model = FakeModel()
    Inference(model, FakeDetector(), show_state_mode="none", img_size=10).run(
        made_image(3, 200, 120, 20)
    )
    assert [face.shape for face in model.calls[0]] == [(10, 10, 3)] * 3


def test_a_model_that_breaks_its_promise_is_named():
    model = FakeModel()
    model.predict = lambda faces: np.ones((len(faces), 2), np.float32) / 2
    with pytest.raises(ValueError, match=r"FakeModel.*\(1, 3\).*\(1, 2\)"):
        Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1, 200))


def test_a_model_that_gives_no_probabilities_is_named():
    model = FakeModel()
    model.predict = lambda faces: np.array([[3.5, 0.5, -2.0]] * len(faces))
    with pytest.raises(ValueError, match=r"FakeModel.*0\.\.\.1.*Received: -2\.\.\.3\.5.*softmax"):
        Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1, 200))


@pytest.mark.parametrize(
    "emotions",
    [(), None, ("happy", "happy", "sad"), (0, 1, 2), "sad", {"happy", "neutral", "sad"}],
)
def test_a_model_s_classes_are_distinct_names(emotions):
    """Of two classes of one name, the second took the place of the first without a word."""
    model = FakeModel()
    model.emotions = emotions
    with pytest.raises(ValueError, match=r"FakeModel\.emotions .*distinct names.*Received: "):
        Inference(model, FakeDetector(), show_state_mode="none")


@pytest.mark.parametrize("mode", ["img", "img_batch"])
def test_a_model_s_rows_sum_to_no_more_than_1(mode):
    """Sigmoids passed for probabilities: faces were happy 90 %, neutral 90 %, sad 90 %."""
    model = FakeModel()
    model.predict = lambda faces: np.full((len(faces), 3), 0.9)
    inference = Inference(model, FakeDetector(), show_state_mode="none", inference_mode=mode)
    with pytest.raises(
        ValueError, match=r"FakeModel\.predict.*sum to 1.*Received: .*2\.7.*softmax"
    ):
        inference.run([made_image(1, 200)])


def test_rounding_of_a_model_is_no_negative_probability():
    model = FakeModel()
    model.predict = lambda faces: np.array([[1.002, -0.002, 0]] * len(faces))
    (face,) = Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1)).faces
    assert face.probabilities == {"happy": 1, "neutral": 0, "sad": 0}


def test_rounding_of_each_class_may_add_up():
    """Probabilities in steps of 1/256, or with two decimals, of a model of 8-bit integers."""
    model = FakeModel()
    model.predict = lambda faces: np.array([[0.34, 0.34, 0.34]] * len(faces))
    (face,) = Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1)).faces
    assert face.probabilities == {"happy": 0.34, "neutral": 0.34, "sad": 0.34}


def test_places_may_come_as_a_list():
    model = FakeModel()
    model.valence_arousal = lambda probabilities: [(0.25, -0.5)] * len(probabilities)
    (face,) = Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1)).faces
    assert (face.valence, face.arousal) == (0.25, -0.5)


@pytest.mark.parametrize(
    ("places", "received"),
    [([0.5], r"shape \(1,\)"), ([(5, 0)], r"5\.\.\.0|0\.\.\.5"), (None, r"shape \(\)")],
)
def test_a_model_that_gives_no_places_is_named(places, received):
    model = FakeModel()
    model.valence_arousal = lambda probabilities: places
    with pytest.raises(ValueError, match=rf"FakeModel\.valence_arousal.*Received: {received}"):
        Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1))


def test_a_model_that_gives_a_pair_for_readings_is_named():
    model = FakeModel()
    model.predict_with_affect = lambda faces: (np.eye(3)[:1], np.zeros((1, 2)))
    with pytest.raises(TypeError, match=r"FakeModel\.predict_with_affect.*Readings.*tuple"):
        Inference(model, FakeDetector(), show_state_mode="none").run(made_image(1))


@pytest.mark.parametrize("mode", ["img", "video_rec"])
@pytest.mark.parametrize("drawn", [None, np.zeros((4, 4)), np.zeros((4, 4, 3))])
def test_a_drawer_that_gives_no_image_is_named(drawn, mode, face_video, tmp_path):
    class Drawer:
        def draw(self, image, faces, fps):
            return drawn

    source = str(face_video.path) if mode == "video_rec" else made_image(1)
    options = {"out": tmp_path / "out.mp4"} if mode == "video_rec" else {}
    inference = Inference(
        FakeModel(), FakeDetector(), Drawer(), show_state_mode="none", inference_mode=mode
    )
    with pytest.raises(TypeError, match=r"Drawer\.draw to give .*uint8.* Received: "):
        list(
            inference.run(source, **options).faces
            if mode == "img"
            else inference.run(source, **options)
        )
    assert list(tmp_path.iterdir()) == []


class Unframed:
    """A detector as one would write it after the first sentence of a page."""

    def detect(self, image):
        return []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"face_det_obj": Unframed()}, r"face_det_obj.*Unframed without crop_scale, crop_shift_y"),
        ({"face_det_obj": HaarDetector}, r"face_det_obj.*the class HaarDetector.*HaarDetector\(\)"),
        ({"face_det_obj": "haar"}, r"face_det_obj.*'haar'\. Try detector='haar' instead"),
        ({"model_obj": FakeModel}, r"model_obj.*the class FakeModel. Try FakeModel\(\)"),
        ({"model_obj": "tiny"}, r"model_obj.*'tiny'\. Try EmotionClassifier\('tiny'\)\."),
        ({"draw_box_obj": DrawBox}, r"draw_box_obj.*the class DrawBox. Try DrawBox\(\)"),
    ],
)
def test_a_part_that_is_none_is_refused_at_once(options, message):
    with pytest.raises(TypeError, match=message):
        Inference(**{"model_obj": FakeModel(), "show_state_mode": "none"} | options)


@pytest.mark.parametrize("found", [None, [(1, 2, 3, 4)], "faces", iter([])])
@pytest.mark.parametrize("mode", ["img", "img_batch", "video"])
def test_a_detector_that_gives_no_faces_is_named(found, mode, face_video):
    detector = FakeDetector()
    detector.detect = lambda image: found
    source = str(face_video.path) if mode == "video" else [made_image(1)]
    with (
        Inference(FakeModel(), detector, show_state_mode="none", inference_mode=mode) as inference,
        pytest.raises(TypeError, match=r"FakeDetector\.detect to give a list of Face.*Received"),
    ):
        list(inference.run(source))


BOX = Box(0, 0, 9, 9)


@pytest.mark.parametrize(
    ("face", "received"),
    [
        (Face((0, 0, 9, 9), 0.9), r"box=\(0, 0, 9, 9\)"),
        (Face(BOX, float("nan")), "score=nan"),
        (Face(BOX, None), "score=None"),
        (Face(BOX, "0.9"), "score='0.9'"),
        (Face(BOX, np.zeros(2)), r"score=array\(\[0"),
        (Face(BOX, 0.9, np.zeros(10)), r"keypoints of shape \(10,\)"),
        (Face(BOX, 0.9, np.full((5, 2), np.nan)), "keypoints that are no finite numbers"),
        (Face(BOX, 0.9, turned_deg=45), "turned_deg=45"),
    ],
)
@pytest.mark.parametrize("mode", ["img", "img_batch"])
def test_a_detector_that_gives_half_a_face_is_named(face, received, mode):
    """A score that is no number was written to JSON as NaN; the others ended in tracebacks."""
    detector = FakeDetector()
    detector.detect = lambda image: [face]
    inference = Inference(FakeModel(), detector, show_state_mode="none", inference_mode=mode)
    with pytest.raises(TypeError, match=rf"FakeDetector\.detect to give .*Received: {received}"):
        inference.run([made_image(1)])


def test_scores_are_clipped_and_eyes_may_be_a_list():
    detector = FakeDetector()
    found = [Face(Box(0, 0, 40, 40), np.float32(3.7), [(10, 10), (30, 30)]), Face(BOX, -1)]
    detector.detect = lambda image: found
    inference = Inference(FakeModel(), detector, show_state_mode="none")
    faces = inference.run(made_image(1)).faces
    assert [face.face.score for face in faces] == [1, 0]
    assert faces[0].face.roll_deg == pytest.approx(45)


class Tensor:
    """One number, as PyTorch gives it."""

    def item(self):
        return 0.75


@pytest.mark.parametrize("score", [Tensor(), np.array(0.75), np.float16(0.75)])
def test_a_score_may_be_a_number_of_any_kind(score):
    """Boxes were taken as tensors, and scores refused as none of 0...1."""
    detector = FakeDetector()
    detector.detect = lambda image: [Face(BOX, score)]
    inference = Inference(FakeModel(), detector, show_state_mode="none")
    assert inference.run(made_image(1)).faces[0].to_dict()["detection_score"] == 0.75


def test_detectors_made_here_are_closed_here(astronaut, monkeypatch):
    closed, close = [], HaarDetector.close
    monkeypatch.setattr(HaarDetector, "close", lambda self: closed.append(self) or close(self))
    inference = Inference(FakeModel(), show_state_mode="none", detector="haar")
    assert inference.run(astronaut).faces
    inference.close()
    inference.close()
    assert len(closed) == 1
    with pytest.raises(RuntimeError, match="closed"):
        closed[0].detect(astronaut)


@pytest.mark.parametrize("mode", ["img", "img_batch", "video"])
def test_faces_of_any_detector_are_clipped_and_largest_first(mode, face_video):
    """A face beyond the edge was read from nothing, and its row said that all was well."""
    detector = FakeDetector()
    boxes = [(0, 0, 8, 8), (-20, -20, 20, 20), (9000, 9000, 9100, 9100), (5, 5, 5, 9)]
    detector.detect = lambda image: [Face(Box(*xyxy), 0.9) for xyxy in boxes]
    source = str(face_video.path) if mode == "video" else [made_image(1)]
    options = {"show_state_mode": "none", "inference_mode": mode, "every_face": True}
    found = next(iter(Inference(FakeModel(), detector, **options).run(source)))
    faces = [face if mode == "img_batch" else face.to_dict() for face in found.faces]
    assert [face["box"] for face in faces] == [[0, 0, 20, 20], [0, 0, 8, 8]]


class LosesItsFace(FakeDetector):
    """Finds one face in the first four images, and none after them."""

    seen = 0

    def detect(self, image_rgb):
        self.seen += 1
        return [Face(Box(60, 60, 180, 180), 0.9)] if self.seen <= 4 else []


@pytest.mark.parametrize("other", ["photo", "film"])
def test_a_lost_face_stays_hidden_whatever_else_its_drawer_draws(other, tmp_path):
    """A photo made the drawer forget the film's faces; another film's took their place."""
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    with VideoWriter(tmp_path / "film.mp4", 25, (320, 240)) as writer:
        for number in range(10):
            writer.write(noise, number / 25)
    drawer = DrawBox(blur_faces=True, show_label=False, show_probability=False)

    def inference(detector):
        options = {"show_state_mode": "none", "inference_mode": "video"}
        return Inference(FakeModel(), detector, drawer, **options)

    second = inference(FakeDetector(1))
    others = second.run(tmp_path / "film.mp4")
    contrast = []
    for result in inference(LosesItsFace()).run(tmp_path / "film.mp4"):
        contrast.append(result.image[100:140, 100:140].std())
        _ = second.analyse_image(made_image(1)) if other == "photo" else next(others)
    others.close()
    assert len(contrast) == 10 and max(contrast) < 10, contrast
