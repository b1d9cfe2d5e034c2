"""Landmarks, blendshapes and head pose: conventions by hand, the networks on a real face."""

import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from fakes import made_geometry

from builder_tools.geometry import (
    ACTION_UNITS,
    BLENDSHAPES,
    GEOMETRY_COLUMNS,
    FaceLandmarker,
    angles_of,
    geometry_cells,
    head_pose,
    read_bundle,
)
from builder_tools.geometry.graph import filled, without_unread_rows
from builder_tools.geometry.landmarker import FRAME_SHIFT_Y, FRAME_TO_WINDOW, SUBSET, WINDOW
from builder_tools.inference import Inference
from builder_tools.results import PITCH_AHEAD_DEG, Box, Face, FaceEmotion, HeadPose

SQUARE = Box(165, 66, 284, 185)
"""The astronaut's face as FER2013 frames faces."""
CHEAPER = {"landmarks": filled, "blendshapes": without_unread_rows}


@pytest.fixture(scope="module")
def landmarker(needs_geometry):
    with FaceLandmarker() as opened:
        yield opened


def rotation(yaw: float = 0, pitch: float = 0, roll: float = 0) -> np.ndarray:
    """Written from the conventions: x right, y up, z to the camera; roll after yaw after pitch."""
    y, p, r = np.radians([yaw, -pitch, -roll])
    turn_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    turn_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    turn_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    return np.array(turn_z) @ turn_y @ turn_x


def tilted(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turns the astronaut clockwise around the middle of the face."""
    matrix = cv2.getRotationMatrix2D(SQUARE.centre, -degrees, 1)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize(
    ("pose", "nose"),
    [
        (HeadPose(0, 0, 0), (0, 0, 1)),
        (HeadPose(90, 0, 0), (1, 0, 0)),
        (HeadPose(-30, 0, 0), (-0.5, 0, 0.866)),
        (HeadPose(0, 30, 0), (0, 0.5, 0.866)),
        (HeadPose(0, 0, 40), (0, 0, 1)),
    ],
)
def test_the_nose_points_where_the_angles_say(pose: HeadPose, nose: tuple) -> None:
    turn = rotation(*pose)
    assert turn @ (0, 0, 1) == pytest.approx(nose, abs=1e-3)
    assert angles_of(turn) == pytest.approx(pose, abs=1e-6)


def test_roll_leans_the_top_of_the_head_to_the_right() -> None:
    assert rotation(roll=90) @ (0, 1, 0) == pytest.approx((1, 0, 0), abs=1e-9)
    assert angles_of(rotation(20, -10, 100)) == pytest.approx((20, -10, 100))


@pytest.mark.parametrize(
    "pose", [(0, 0, 0), (25, 0, 0), (-25, 10, 5), (0, -20, 170), (60, 30, -45)]
)
@pytest.mark.parametrize("size", [0.5, 30.0])
def test_pose_of_the_turned_average_face(needs_geometry, pose: tuple, size: float) -> None:
    turned = read_bundle().vertices_cm @ rotation(*pose).T * size + (300, -50, 7)
    assert head_pose(turned * (1, -1, -1)) == pytest.approx(pose, abs=1e-3)


def test_pose_does_not_mind_expressions(needs_geometry) -> None:
    points = read_bundle().vertices_cm * (1, -1, -1)
    points[np.setdiff1d(np.arange(468), read_bundle().steady)] += 3  # a mouth, wide open
    assert head_pose(points) == pytest.approx((0, 0, 0), abs=1e-6)


def test_geometry_of_a_real_face(landmarker, astronaut) -> None:
    found, reason = landmarker.look(astronaut, SQUARE)
    assert reason == "" and found.presence > 0.99
    assert found.landmarks_px.shape == (478, 3)
    assert tuple(found.blendshapes) == BLENDSHAPES and len(BLENDSHAPES) == 52
    assert min(found.blendshapes["mouthSmileLeft"], found.blendshapes["mouthSmileRight"]) > 0.8
    assert abs(found.pose_deg.yaw) < 5 and -15 < found.pose_deg.pitch < 0
    assert found.eyes_open > 0.8 and not found.are_eyes_closed
    assert 0.1 < found.mouth_open < 0.4  # teeth show
    nose, chin, left_eye = found.landmarks_px[[1, 152, 33], :2]
    assert left_eye[0] < nose[0] and left_eye[1] < nose[1] < chin[1]
    assert SQUARE.x1 < nose[0] < SQUARE.x2 and SQUARE.y1 < nose[1] < SQUARE.y2


@pytest.mark.parametrize("name", ["mediapipe", "yunet"])
def test_landmarks_stay_when_looked_at_again(landmarker, astronaut, needs_detector, name) -> None:
    """As of other looks, each framed by the landmarks of the one before, as MediaPipe follows."""
    needs_detector(name)
    with Inference(geometry=True, detector=name, show_state_mode="none") as inference:
        (face,) = inference.analyse_image(astronaut).faces
    points = found = face.geometry.landmarks_px[:, :2]
    for _ in range(4):
        low, high = points.min(axis=0), points.max(axis=0)
        around = Box(*low.tolist(), *high.tolist()).square().scale(WINDOW / FRAME_TO_WINDOW)
        around = around.shift(0, -FRAME_SHIFT_Y * around.height)
        again, _ = landmarker.look(astronaut, around)
        points = again.landmarks_px[:, :2]
    eyes = np.linalg.norm(points[33] - points[263])
    assert np.linalg.norm(found - points, axis=1).mean() < 0.012 * eyes


def test_as_mediapipes_own_task(landmarker, astronaut, needs_detector) -> None:
    needs_detector("mediapipe")
    from builder_tools.assets import asset_path
    from builder_tools.detectors.mediapipe_import import import_mediapipe, quiet_stderr

    mediapipe = import_mediapipe()
    around = np.ascontiguousarray(astronaut[30:220, 130:320])
    options = mediapipe.tasks.vision.FaceLandmarkerOptions(
        mediapipe.tasks.BaseOptions(model_asset_path=str(asset_path("face_landmarker.task"))),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with quiet_stderr():
        task = mediapipe.tasks.vision.FaceLandmarker.create_from_options(options)
        told = task.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, around))
        task.close()
    found, _ = landmarker.look(around, SQUARE.shift(-130, -30))
    theirs = np.array([(point.x, point.y) for point in told.face_landmarks[0]]) * 190
    assert np.abs(found.landmarks_px[:, :2] - theirs).mean() < 1  # the face is 95 px wide
    scores = np.array([one.score for one in told.face_blendshapes[0]])
    assert [one.category_name for one in told.face_blendshapes[0]] == list(BLENDSHAPES)
    assert np.abs(np.array(list(found.blendshapes.values())) - scores).max() < 0.15
    pose = angles_of(np.array(told.facial_transformation_matrixes[0])[:3, :3])
    assert tuple(found.pose_deg) == pytest.approx(tuple(pose), abs=3)  # as of a nearby camera


@pytest.mark.parametrize(("name", "cheaper"), CHEAPER.items())
def test_cheaper_networks_give_the_same(needs_geometry, name: str, cheaper) -> None:
    from ai_edge_litert.interpreter import Interpreter

    plain = getattr(read_bundle(), name)
    answers = []
    for content in (plain, cheaper(plain)):
        network = Interpreter(model_content=content)
        network.allocate_tensors()
        (entry,) = network.get_input_details()
        given = np.random.default_rng(0).random(entry["shape"], np.float32)
        network.set_tensor(entry["index"], given)
        network.invoke()
        answers.append([network.get_tensor(o["index"]) for o in network.get_output_details()])
    assert cheaper(plain) != plain and cheaper(cheaper(plain)) == cheaper(plain)
    for own, cheap in zip(*answers, strict=True):
        assert cheap == pytest.approx(own, abs=1e-3)  # landmarks: of 256 pixels
    (other,) = set(CHEAPER) - {name}
    assert cheaper(getattr(read_bundle(), other)) == getattr(read_bundle(), other)


def test_blendshapes_in_8_bits_are_nearly_the_same(landmarker, astronaut) -> None:
    from ai_edge_litert.interpreter import Interpreter

    found, _ = landmarker.look(astronaut, SQUARE)
    network = Interpreter(model_content=read_bundle().blendshapes)
    network.allocate_tensors()
    network.set_tensor(
        network.get_input_details()[0]["index"], found.landmarks_px[None, SUBSET, :2]
    )
    network.invoke()
    plain = network.get_tensor(network.get_output_details()[0]["index"])
    apart = np.abs(np.array(list(found.blendshapes.values())) - plain.ravel())
    assert apart.mean() < 0.005 and apart.max() < 0.05


def test_mirrored(landmarker, astronaut) -> None:
    plain, _ = landmarker.look(astronaut, SQUARE)
    mirrored_square = Box(512 - SQUARE.x2, SQUARE.y1, 512 - SQUARE.x1, SQUARE.y2)
    mirrored, _ = landmarker.look(np.ascontiguousarray(astronaut[:, ::-1]), mirrored_square)
    yaw, pitch, roll = plain.pose_deg
    assert mirrored.pose_deg == pytest.approx((-yaw, pitch, -roll), abs=1.5)
    for name, other in (("mouthUpperUpLeft", "mouthUpperUpRight"), ("jawOpen", "jawOpen")):
        assert mirrored.blendshapes[name] == pytest.approx(plain.blendshapes[other], abs=0.15)


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_rolled(landmarker, astronaut, degrees: float) -> None:
    plain, _ = landmarker.look(astronaut, SQUARE)
    found, _ = landmarker.look(tilted(astronaut, degrees), SQUARE)
    yaw, pitch, roll = plain.pose_deg
    assert found.pose_deg == pytest.approx((yaw, pitch, roll + degrees), abs=3)


@pytest.mark.parametrize("degrees", [-170, -90, 60, 120])
def test_rolled_far_where_the_detector_has_seen_it(landmarker, astronaut, degrees: float) -> None:
    plain, _ = landmarker.look(astronaut, SQUARE)
    found, _ = landmarker.look(tilted(astronaut, degrees), SQUARE, roll_deg=degrees)
    turn = (found.pose_deg.roll - plain.pose_deg.roll - degrees + 180) % 360 - 180
    assert abs(turn) < 3
    assert found.pose_deg[:2] == pytest.approx(plain.pose_deg[:2], abs=3)


def test_a_box_that_is_off_is_mended(landmarker, astronaut) -> None:
    right, _ = landmarker.look(astronaut, SQUARE)
    off, _ = landmarker.look(astronaut, SQUARE.shift(20, -15).scale(1.4))
    assert np.abs(off.landmarks_px - right.landmarks_px)[:, :2].mean() < 1.5


@pytest.mark.parametrize("factor", [0.25, 4])
def test_size_of_the_face_does_not_matter(landmarker, astronaut, factor: float) -> None:
    right, _ = landmarker.look(astronaut, SQUARE)
    image = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    square = Box(*(factor * value for value in SQUARE.xyxy))
    found, _ = landmarker.look(image, square)
    assert np.abs(found.landmarks_px[:, :2] / factor - right.landmarks_px[:, :2]).mean() < 2
    assert found.pose_deg == pytest.approx(right.pose_deg, abs=4)


@pytest.mark.parametrize(
    "square", [Box(0, 0, 64, 64), Box(-500, -500, -400, -400), Box(60, 60, 60, 60)]
)
@pytest.mark.parametrize("side", [1, 64])
def test_no_face_gives_a_reason(landmarker, square: Box, side: int) -> None:
    found, reason = landmarker.look(np.full((side, side, 3), 90, np.uint8), square)
    assert found is None
    assert reason.startswith("the landmarker sees no face (presence 0.")


def test_the_image_stays_as_it_is_and_may_be_a_view(landmarker, astronaut) -> None:
    mirrored = astronaut[:, ::-1]
    before = mirrored.copy()
    square = Box(512 - SQUARE.x2, SQUARE.y1, 512 - SQUARE.x1, SQUARE.y2)
    assert landmarker.look(mirrored, square)[0] is not None
    assert np.array_equal(mirrored, before)


def test_shared_by_threads(landmarker, astronaut) -> None:
    expected, _ = landmarker.look(astronaut, SQUARE)
    found: list = []
    work = [
        threading.Thread(target=lambda: found.append(landmarker.look(astronaut, SQUARE)[0]))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert all(np.array_equal(one.landmarks_px, expected.landmarks_px) for one in found)


def test_closed(needs_geometry, astronaut) -> None:
    landmarker = FaceLandmarker()
    landmarker.close()
    landmarker.close()
    with pytest.raises(RuntimeError, match="closed"):
        landmarker.look(astronaut, SQUARE)


def test_ends_without_a_word(needs_geometry) -> None:
    code = "from builder_tools.geometry import FaceLandmarker; kept = FaceLandmarker()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_litert(needs_geometry, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"pip install 'builder-tools\[geometry\]'"):
        FaceLandmarker()


def test_action_units_name_blendshapes() -> None:
    named = [name for _, names in ACTION_UNITS.values() for name in names]
    assert set(named) <= set(BLENDSHAPES) and len(named) == len(set(named))


def test_turned_is_the_larger_angle_from_looking_ahead() -> None:
    assert HeadPose(0, PITCH_AHEAD_DEG, 80).turned_deg == 0
    assert HeadPose(-50, 0, 0).turned_deg == 50
    assert HeadPose(10, 30 + PITCH_AHEAD_DEG, 0).turned_deg == 30


def face_of(probability: float = 0.9, **more) -> FaceEmotion:
    rest = 1 - probability
    face = Face(Box(0, 0, 10, 10), 0.9)
    return FaceEmotion(face, {"happy": probability, "sad": rest}, **more)


def test_winks_are_open_eyes() -> None:
    assert made_geometry(eyeBlinkLeft=0.9, eyeBlinkRight=0.1).eyes_open == pytest.approx(0.9)
    assert made_geometry(eyeBlinkLeft=0.9, eyeBlinkRight=0.7).are_eyes_closed


def test_mouth_open_is_a_ratio() -> None:
    geometry = made_geometry()  # landmark n at (n, 2n): gap of 13, 14; width of 78, 308
    assert geometry.mouth_open == pytest.approx(1 / 230, rel=1e-3)


def test_a_face_turned_away_is_doubtful() -> None:
    ahead, away = (face_of(geometry=made_geometry(yaw=yaw)) for yaw in (-20, -70))
    assert not ahead.doubtful and ahead.doubtful_because == ""
    assert away.doubtful and away.doubtful_because == "face turned by more than 50 degrees"
    both = face_of(0.5, doubtful_below=0.6, geometry=made_geometry(pitch=70)).doubtful_because
    assert both == "probability under 0.60 and face turned by more than 50 degrees"


def test_json_of_a_face() -> None:
    told = face_of(geometry=made_geometry(yaw=1.26, jawOpen=0.25)).to_dict()
    assert told["geometry"]["yaw_deg"] == 1.3 and told["geometry"]["presence"] == 0.9
    assert told["geometry"]["blendshapes"]["jawOpen"] == 0.25
    assert told["doubtful_because"] == ""
    missing = face_of(no_geometry="too dark").to_dict()
    assert (missing["geometry"], missing["no_geometry"]) == (None, "too dark")
    assert not {"geometry", "no_geometry", "doubtful_because"} & set(face_of().to_dict())


def test_cells_of_a_table() -> None:
    assert len(GEOMETRY_COLUMNS) == 6 + 52 + 2
    full = geometry_cells(face_of(geometry=made_geometry(yaw=70, jawOpen=0.5)).to_dict())
    named = dict(zip(GEOMETRY_COLUMNS, full, strict=True))
    assert (named["yaw_deg"], named["jawOpen"], named["no_geometry"]) == (70, 0.5, None)
    assert named["doubtful_because"] == "face turned by more than 50 degrees"
    empty = geometry_cells(face_of(no_geometry="too dark").to_dict())
    assert empty == [None] * 58 + ["too dark", None]
    assert geometry_cells(face_of().to_dict()) == [None] * 60
