"""One contract for every detector, and what is special to some."""

import csv
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from builder_tools.detectors import DETECTORS, FaceDetector, detector_class, make_detector
from builder_tools.detectors.base import suppress_overlaps
from builder_tools.detectors.mediapipe_import import import_mediapipe
from builder_tools.results import Box, Face

GIVES_EYES = {"mediapipe", "yunet", "mtcnn"}
FACE_SIDE_PX = 220
SLOW = {"mtcnn"}
ALL = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in DETECTORS]


@pytest.fixture(scope="module")
def crowd(astronaut):
    """Six faces of three sizes on grey, 900x1200."""
    import cv2

    head = astronaut[0:FACE_SIDE_PX, 112 : 112 + FACE_SIDE_PX]
    image = np.full((900, 1200, 3), 110, np.uint8)
    sides_px = [220, 260, 320]
    for row, top in enumerate([40, 480]):
        for column, side in enumerate(sides_px if row else sides_px[::-1]):
            part = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)
            left = 40 + column * 390
            image[top : top + side, left : left + side] = part
    return image


@pytest.fixture(scope="module")
def detectors(needs_detector):
    """Makes each detector once for the module; closes all at its end."""
    made = {}

    def get(name):
        if name not in made:
            needs_detector(name)
            made[name] = make_detector(name)
        return made[name]

    yield get
    for detector in made.values():
        detector.close()


@pytest.mark.parametrize("name", ALL)
def test_blank_image_has_no_face(detectors, name):
    assert detectors(name).detect(np.full((240, 320, 3), 127, np.uint8)) == []


def test_yunet_sees_no_faces_in_flat_black_strips(astronaut, needs_detector):
    needs_detector("yunet")
    """OpenCV's network answers there with what freed memory holds: a fresh one shows it soon."""
    strip, found = np.zeros((3, 640, 3), np.uint8), []
    for number in range(25):
        with make_detector("yunet") as detector:
            if number % 2:
                detector.detect(astronaut)
            np.random.default_rng(number).integers(0, 255, (4000, 400), np.uint8)
            found += detector.detect(strip)
    assert found == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (17, 5)])
def test_tiny_images_do_no_harm(detectors, name, shape):
    assert detectors(name).detect(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 32_767), (40_000, 1), (3, 100_000), (17_000, 40)])
def test_very_long_images_do_no_harm(detectors, name, shape):
    """A side of 32,767 px or more aborts MediaPipe's process; other back ends refuse it."""
    assert detectors(name).detect(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize("tall", [True, False])
def test_faces_in_a_long_screenshot_are_found_once_and_in_place(
    detectors, astronaut, tall, needs_detector
):
    needs_detector("mediapipe")
    page = np.full((40_000, 600, 3), 235, np.uint8)
    tops = (0, 2_300, 20_000, 39_780)  # the second one crosses the end of the first strip
    for top in tops:
        page[top : top + 220, 200:420] = astronaut[:220, 112:332]
    faces = detectors("mediapipe").detect(page if tall else page.transpose(1, 0, 2)[:, ::-1])
    if not tall:  # turned by a quarter, faces lie on their sides; nothing may break
        return
    sure = sorted((f for f in faces if f.score > 0.8), key=lambda face: face.box.y1)
    assert [face.box.centre[1] for face in sure] == pytest.approx([t + 126 for t in tops], abs=15)
    for face in sure:
        assert face.keypoints[0][1] == pytest.approx(face.box.centre[1], abs=60)


def test_huge_panoramas_are_looked_at_shrunk(monkeypatch):
    from builder_tools.detectors import base

    monkeypatch.setattr(base, "LONGEST_SIDE_PX", 200)
    seen = []

    def find(image):
        seen.append(image.shape)
        return [Face(Box(10, 20, 30, 40), 0.9, np.array([[15.0, 25.0]]))]

    (face,) = base.find_in_parts(find, np.zeros((300, 800, 3), np.uint8))
    assert seen == [(75, 200, 3)] and face.box == Box(40, 80, 120, 160)
    assert face.keypoints.tolist() == [[60, 100]]


def test_arrays_of_two_gibibytes_are_refused():
    image = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (27_000, 27_000, 3))
    with pytest.raises(ValueError, match="less than 2 GiB"):
        make_detector("haar").detect(image)


@pytest.mark.parametrize("name", ALL)
def test_one_face(detectors, name, astronaut):
    faces = detectors(name).detect(astronaut)
    _check_contract(faces, astronaut)
    best = max(faces, key=lambda face: face.score)
    assert best.box.iou(Box(165, 65, 280, 195)) > 0.4
    if name in GIVES_EYES:
        left_eye, right_eye = best.keypoints[:2]
        np.testing.assert_allclose(left_eye, (201, 107), atol=10)
        np.testing.assert_allclose(right_eye, (246, 109), atol=10)


@pytest.mark.parametrize("name", ALL)
def test_many_faces_come_largest_first(detectors, name, crowd):
    faces = detectors(name).detect(crowd)
    _check_contract(faces, crowd)
    assert len(faces) >= 6
    centres = [(40 + c * 390, top) for top in (40, 480) for c in range(3)]
    for x, y in centres:
        near = [f for f in faces if x < f.box.centre[0] < x + 320 and y < f.box.centre[1] < y + 320]
        assert near, f"no face found in the square at {(x, y)}"


def _check_contract(faces, image):
    height, width = image.shape[:2]
    areas = [face.box.area for face in faces]
    assert areas == sorted(areas, reverse=True) and min(areas) > 0
    for face in faces:
        x1, y1, x2, y2 = face.box.xyxy
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        assert 0 <= face.score <= 1
        assert face.keypoints is None or face.keypoints.ndim == 2


@pytest.mark.parametrize("name", ALL)
def test_strides_do_not_matter(detectors, name, astronaut):
    doubled = np.repeat(astronaut[:, :, ::-1], 2, axis=1)
    view = doubled[:, ::2, ::-1]
    assert not view.flags.c_contiguous
    plain = [face.box for face in detectors(name).detect(astronaut)]
    assert [face.box for face in detectors(name).detect(view)] == plain


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "bad",
    [
        None,
        [[1, 2, 3]],
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
    ids=["none", "list", "grey", "rgba", "float", "empty"],
)
def test_anything_else_is_refused(detectors, name, bad):
    with pytest.raises(ValueError, match=r"Expected an \(H, W, 3\) uint8 RGB array. Received"):
        detectors(name).detect(bad)


@pytest.mark.parametrize("name", ALL)
def test_size_score_and_closing(name, astronaut, needs_detector):
    needs_detector(name)
    with make_detector(name, min_size_px=400) as detector:
        assert isinstance(detector, FaceDetector)
        assert detector.detect(astronaut) == []
        detector.close()
    detector.close()
    with pytest.raises(RuntimeError, match="is closed"):
        detector.detect(astronaut)
    with make_detector(name, min_score=1.0) as strict:
        assert all(face.score == 1.0 for face in strict.detect(astronaut))


@pytest.mark.parametrize("name", list(DETECTORS))
def test_classes_say_how_to_crop(name):
    kind = detector_class(name)
    assert 0.8 < kind.crop_scale < 2 and -0.5 < kind.crop_shift_y < 0.5
    for wrong in ({"min_score": 2}, {"min_score": float("nan")}, {"min_size_px": -1}):
        with pytest.raises(ValueError, match="Expected min_s"):
            kind(**wrong)


def test_unknown_detector_lists_the_known():
    with pytest.raises(ValueError, match=r"mediapipe.*mtcnn.*Received: detector='magic'"):
        make_detector("magic")


@pytest.mark.parametrize("wrong", [{"range": "long"}, {"max_tiles": -1}])
def test_mediapipe_refuses_wrong_options(wrong, needs_detector):
    needs_detector("mediapipe")
    with pytest.raises(ValueError, match="Expected"):
        make_detector("mediapipe", **wrong)


def test_mediapipe_finds_small_faces_in_a_large_frame(astronaut, needs_detector):
    """Faces of 3 % of the frame: too small for short range, found over tiles."""
    import cv2

    needs_detector("mediapipe")
    head = cv2.resize(astronaut[0:220, 112:332], (110, 110), interpolation=cv2.INTER_AREA)
    image = np.full((1080, 1920, 3), 110, np.uint8)
    corners = [(100, 100), (900, 500), (1700, 900)]
    for x, y in corners:
        image[y : y + 110, x : x + 110] = head
    with make_detector("mediapipe", range="short") as short, make_detector("mediapipe") as auto:
        assert short.detect(image) == []
        assert len(auto.detect(image)) == len(corners)


def test_mediapipe_looks_at_tiles_of_a_small_frame_before_it_gives_up(astronaut, needs_detector):
    import cv2

    needs_detector("mediapipe")
    image = np.full((480, 640, 3), 110, np.uint8)
    head = cv2.resize(astronaut[0:220, 112:332], (36, 36), interpolation=cv2.INTER_AREA)
    image[30:66, 30:66] = head
    tiled, whole = (make_detector("mediapipe", range="tiles", max_tiles=n) for n in (12, 0))
    with tiled, whole:
        assert whole.detect(image) == []
        assert len(tiled.detect(image)) == 1


def test_one_detector_may_serve_threads(detectors, astronaut):
    detector, found = detectors("mediapipe"), []
    threads = [
        threading.Thread(target=lambda: found.append(len(detector.detect(astronaut))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 8


def test_mediapipe_smooths_a_noisy_image_before_it_gives_up(astronaut, needs_detector):
    """Noise of sd 60 hides the face from every rung."""
    needs_detector("mediapipe")
    noise = np.random.default_rng(0).normal(0, 60, astronaut.shape)
    noisy = np.clip(astronaut + noise, 0, 255).astype(np.uint8)
    with make_detector("mediapipe") as auto, make_detector("mediapipe", range="short") as short:
        assert short.detect(noisy) == []
        (clean,), (found,) = auto.detect(astronaut), auto.detect(noisy)
    assert found.box.iou(clean.box) > 0.7


def test_no_face_photographs_stay_empty(detectors, media_dir):
    import cv2

    with open(media_dir / "photos" / "photos.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["category"] == "noface"]
    for name in names:
        image = cv2.cvtColor(cv2.imread(str(media_dir / "photos" / name)), cv2.COLOR_BGR2RGB)
        assert detectors("mediapipe").detect(image) == [], name


def test_mediapipe_start_is_light_and_quiet(needs_detector):
    """A fresh process: no TensorFlow, no Matplotlib, nothing on the terminal, even unclosed.

    MediaPipe itself is imported only where YuNet's file is not at hand.
    """
    needs_detector("mediapipe")
    script = (
        "import sys, numpy\n"
        "from builder_tools.detectors import MediaPipeDetector\n"
        "detector = MediaPipeDetector()\n"
        "detector.detect(numpy.zeros((64, 64, 3), numpy.uint8))\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'pandas', 'sounddevice'}\n"
        "from builder_tools.detectors.scales import yunet\n"
        "heavy |= {'mediapipe'} if yunet() else set()\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = _run(script)
    told = done.stderr.replace("YuNet's file", "", 1) if "not at hand" in done.stderr else ""
    assert (done.returncode, done.stdout) == (0, "") and done.stderr.count("\n") <= bool(told)
    assert told or not done.stderr, "only that the file is missing may be told"


def test_blocked_modules_import_as_before_afterwards(needs_detector):
    needs_detector("mediapipe")
    script = (
        "from builder_tools.detectors.mediapipe_import import import_mediapipe\n"
        "drawing = import_mediapipe().tasks.vision.drawing_utils\n"
        "import importlib.util, matplotlib.pyplot\n"
        "assert drawing.plt.Figure is matplotlib.pyplot.Figure\n"
        "importlib.util.find_spec('tensorflow')\n"
    )
    done = _run(script)
    assert done.returncode == 0, done.stderr


def _run(script):
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=environment,
    )


def test_one_face_seen_twice_is_one():
    large, twin, inner = Box(0, 0, 100, 100), Box(10, 0, 110, 100), Box(30, 30, 60, 60)
    apart = Box(300, 0, 400, 100)
    faces = [Face(twin, 0.9), Face(large, 0.8), Face(inner, 0.7), Face(apart, 0.6)]
    assert [face.box for face in suppress_overlaps(faces, 0.3)] == [twin, apart]


def test_mediapipe_is_given_no_authority_to_trust(monkeypatch):
    """With an empty file of certificate authorities its reports of use cannot be delivered."""
    import_mediapipe()
    from mediapipe.tasks.python.vision import face_detector

    given = []
    create = face_detector.FaceDetector.create_from_options
    monkeypatch.setattr(
        face_detector.FaceDetector,
        "create_from_options",
        lambda options: given.append(options.base_options.to_ctypes()) or create(options),
    )
    with make_detector("mediapipe", range="full"):
        assert [options.ca_bundle_path for options in given] == [os.devnull.encode()]
