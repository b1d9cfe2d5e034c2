"""`Inference(geometry=True)`: from the frame to JSON, tables, summaries and drawings."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeDetector, FakeLandmarker, FakeModel, made_geometry, made_image, save_image

from builder_tools.cli import main
from builder_tools.drawing import DrawBox
from builder_tools.drawing.mesh import draw_mesh
from builder_tools.geometry import GEOMETRY_COLUMNS
from builder_tools.inference import Inference
from builder_tools.media import write_image
from builder_tools.results import Box, Face, FaceEmotion, FrameResult
from builder_tools.submission import make_submission, plan_submission
from builder_tools.timeline.reading import read_timeline
from builder_tools.timeline.summary import SummaryMaker, describe_people, describe_video
from builder_tools.timeline.writer import TimelineWriter


@pytest.fixture
def landmarker(monkeypatch) -> FakeLandmarker:
    fake = FakeLandmarker()
    monkeypatch.setattr("builder_tools.inference.make_landmarker", lambda: fake)
    return fake


def inference(mode: str = "img", **options) -> Inference:
    options = {"geometry": True, "show_state_mode": "none", **options}
    return Inference(FakeModel(), FakeDetector(), inference_mode=mode, **options)


def test_faces_have_their_geometry_and_say_why_not(landmarker) -> None:
    with inference() as opened:
        faces = opened.run(made_image(2, 20, 0)).faces
    larger, smaller = faces
    assert larger.geometry is None
    assert larger.no_geometry == "the landmarker sees no face (presence 0.00)"
    assert larger.emotion == "sad"  # the emotion stays
    assert (smaller.geometry.pose_deg.yaw, smaller.no_geometry) == (20, "")
    assert landmarker.closed == 1


def test_it_is_made_only_where_asked_for(monkeypatch) -> None:
    def refuse():
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr("builder_tools.inference.make_landmarker", refuse)
    with inference(geometry=False) as opened:
        (face,) = opened.run(made_image(1, 20)).faces
    assert (face.geometry, face.no_geometry) == (None, "")
    assert "geometry" not in face.to_dict()


def test_the_landmarker_gets_the_frame_of_the_training_faces_and_the_lean(landmarker) -> None:
    class Leaning(FakeDetector):
        crop_scale, crop_shift_y = 2.0, 0.25

        def detect(self, image_rgb):
            eyes = np.array([[10.0, 10.0], [20.0, 20.0]])
            return [Face(Box(10, 20, 50, 60), 0.9, eyes)]

    with Inference(FakeModel(), Leaning(), show_state_mode="none", geometry=True) as opened:
        opened.analyse(made_image(1, 20))
    ((square, roll_deg),) = landmarker.looks
    assert square == Box(-10, 10, 70, 90)
    assert roll_deg == pytest.approx(45)


def test_a_face_turned_away_is_doubtful_in_a_batch(landmarker, tmp_path) -> None:
    save_image(tmp_path / "ahead.png", 1, 30)
    save_image(tmp_path / "away.png", 1, 60)
    with inference("img_batch", every_face=True) as opened:
        ahead, away = opened.run(tmp_path)
    assert ("doubtful" in ahead.reason, "doubtful" in away.reason) == (False, True)
    assert away.faces[0]["doubtful_because"] == "face turned by more than 50 degrees"


def test_csv_of_faces(landmarker, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    save_image(tmp_path / "in" / "two.png", 2, 30, 0)
    job = plan_submission(tmp_path / "in")
    with inference("img_batch", every_face=True) as opened:
        list(make_submission(opened, job, tmp_path / "a.csv", faces_csv=tmp_path / "faces.csv"))
    with (tmp_path / "faces.csv").open() as file:
        larger, smaller = csv.DictReader(file)
    assert list(larger)[-len(GEOMETRY_COLUMNS) :] == list(GEOMETRY_COLUMNS)
    assert larger["yaw_deg"] == "" and larger["no_geometry"].startswith("the landmarker")
    assert (smaller["yaw_deg"], smaller["jawOpen"]) == ("30.0", "0.0")


def test_smoothing_and_frames_between_keep_it(needs_geometry, face_video, needs_detector) -> None:
    needs_detector("mediapipe")
    options = {"show_state_mode": "none", "smooth_s": 0.3, "detect_every": 5, "geometry": True}
    with (
        Inference(FakeModel(), inference_mode="video", workers=1, **options) as opened,
        opened.run(face_video.path, max_frames=40) as results,
    ):
        last = next(result for result in results if result.frame == 33)
    (face,) = last.faces
    assert face.geometry.blendshapes["mouthSmileLeft"] > 0.5
    assert abs(face.geometry.pose_deg.yaw) < 8


def test_of_a_camera(landmarker, mjpeg_server) -> None:
    detector, options = FakeDetector(num_faces=1), {"show_state_mode": "none", "geometry": True}
    with (
        Inference(FakeModel(), detector, inference_mode="online", **options) as opened,
        opened.run(mjpeg_server.url, max_frames=2) as results,
    ):
        faces = [face for one in results for face in one.faces]
    assert len(faces) == 2 and all(face.geometry is not None for face in faces)


def result(time_s: float, geometry, no_geometry: str = "") -> FrameResult:
    face = Face(Box(0, 0, 20, 20), 0.9, track=1)
    shape = {"geometry": geometry, "no_geometry": no_geometry}
    found = FaceEmotion(face, {"happy": 0.9, "sad": 0.1}, **shape)
    return FrameResult("film", round(10 * time_s), time_s, (found,))


def test_summary_of_a_person() -> None:
    maker = SummaryMaker(("happy", "sad"))
    shapes = [made_geometry(), made_geometry(yaw=31), made_geometry(yaw=-31), made_geometry()]
    shapes += [made_geometry(eyeBlinkLeft=0.8, eyeBlinkRight=0.7), None]
    for number, shape in enumerate(shapes):
        maker.add(result(0.1 * number, shape, no_geometry="" if shape else "a profile"))
    (person,) = maker.people()
    # The first sight weighs 0.001 s, the others 0.1 s each.
    assert person.turned_away == pytest.approx(0.2 / 0.501)
    assert person.not_seen == pytest.approx(0.1 / 0.501)
    assert person.eyes_closed == pytest.approx(0.1 / 0.401)
    said = (
        "turned away (over 30 degrees) 40% of the time, in profile or hidden 20%, eyes closed 25%"
    )
    assert said in describe_people([person])[0] and said in describe_video(maker)


def test_summary_of_a_profile_all_the_time() -> None:
    maker = SummaryMaker(("happy", "sad"))
    maker.add(result(0, None, no_geometry="a profile"))
    (person,) = maker.people()
    assert (person.turned_away, person.not_seen, person.eyes_closed) == (0, 1, None)
    assert "eyes closed" not in describe_video(maker)


def test_summary_without_geometry_is_silent() -> None:
    maker = SummaryMaker(("happy", "sad"))
    maker.add(result(0, None))
    assert maker.people()[0].turned_away is None
    assert "turned" not in describe_video(maker)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_timeline(tmp_path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"film{suffix}"
    with TimelineWriter(path, ("happy", "sad"), relative=True, geometry=True) as writer:
        writer.write(result(0.0, made_geometry(yaw=60.04, jawOpen=0.3)))
        writer.write(FrameResult("film", 1, 0.1, ()))
        writer.write(result(0.2, None))
    table = read_timeline(path)
    assert list(table.columns)[-len(GEOMETRY_COLUMNS) :] == list(GEOMETRY_COLUMNS)
    with_face = table[table["track"].notna()]
    assert with_face["yaw_deg"].tolist()[0] == 60 and with_face["jawOpen"].tolist()[0] == 0.3
    assert with_face["doubtful_because"].tolist()[0] == "face turned by more than 50 degrees"
    assert with_face["yaw_deg"].isna().tolist() == [False, True]


def test_mesh_is_drawn_on_the_face_only(needs_geometry) -> None:
    image = np.full((400, 400, 3), 100, np.uint8)
    geometry = made_geometry()
    geometry.landmarks_px[:, :2] = 150 + 100 * np.random.default_rng(0).random((478, 2))
    face = FaceEmotion(Face(Box(0, 0, 9, 9), 0.9), {"happy": 1.0}, geometry=geometry)
    plain = DrawBox(show_mesh=False).draw(image, [face])
    drawn = DrawBox(show_mesh=True).draw(image, [face])
    changed = (plain != drawn).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed[150:250, 150:250].mean() > 0.3
    assert min(rows.min(), columns.min()) >= 147 and max(rows.max(), columns.max()) <= 252


def test_mesh_of_a_face_outside_the_image(needs_geometry) -> None:
    geometry = made_geometry()
    geometry.landmarks_px[:, :2] -= 5000
    face = FaceEmotion(Face(Box(0, 0, 9, 9), 0.9), {"happy": 1.0}, geometry=geometry)
    image = np.zeros((50, 50, 3), np.uint8)
    assert DrawBox(show_mesh=True).draw(image, [face]).shape == image.shape


def test_command_line(needs_geometry, needs_detector, astronaut, tmp_path, capsys) -> None:
    needs_detector("mediapipe")
    path = write_image(tmp_path / "a.png", astronaut)
    assert main(["img", str(path), "--geometry", "--json", "--mesh", "--out", str(tmp_path)]) == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["geometry"]["blendshapes"]["mouthSmileLeft"] > 0.8
    assert main(["img", str(path), "--geometry"]) == 0
    assert "degrees, eyes open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["img", "a.png", "--mesh"], "Expected --geometry with --mesh"),
        (["img-batch", ".", "--csv", "a.csv", "--geometry"], "Expected --faces-csv with"),
    ],
)
def test_options_that_need_others(arguments, said, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("side", [40, 95, 500])
def test_a_face_of_any_size_stays_visible_under_its_mesh(
    needs_geometry, needs_detector, astronaut, side
) -> None:
    """The mesh of a small face in a large photo covered all of it."""
    needs_detector("mediapipe")
    with Inference(geometry=True, show_state_mode="none") as opened:
        (face,) = opened.analyse_image(astronaut).faces
    points = face.geometry.landmarks_px
    points = 100 + (points - points.min(axis=0)) * side / np.ptp(points[:, 0])
    black = np.zeros((1080, 1920, 3), np.uint8)
    draw_mesh(black, replace(face.geometry, landmarks_px=points), (255, 255, 255), 6)
    assert 0.05 < (black[100 : 100 + side, 100 : 100 + side] / 255).mean() < 0.25
