"""The default detector finds every face: near and far, many, turned; and none where none is."""

import csv
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from builder_tools.detectors import make_detector, scales
from builder_tools.detectors.base import SAME_FACE_IOU
from builder_tools.detectors.turning import as_turned, detect_at_any_turn, turned_back
from builder_tools.inference import face_square
from builder_tools.inference.reader import cut_faces
from builder_tools.media import read_image
from builder_tools.results import Box, Face


@pytest.fixture(scope="module")
def detector(needs_detector):
    needs_detector("mediapipe")
    needs_detector("yunet")
    with make_detector("mediapipe") as made:
        yield made


@pytest.fixture(scope="module")
def head(astronaut):
    return astronaut[0:220, 112:332]


def _scene(head, places, size=(1920, 1080)):
    """Return a grey image with the head at each x, y, side."""
    image = np.full((size[1], size[0], 3), 110, np.uint8)
    for x, y, side in places:
        image[y : y + side, x : x + side] = cv2.resize(
            head, (side, side), interpolation=cv2.INTER_AREA if side < 220 else cv2.INTER_CUBIC
        )
    return image


def _middles(places):
    """Where the faces of these heads are: the middle of brows to chin."""
    return [(x + 0.51 * side, y + 0.57 * side) for x, y, side in places]


def _all_found(faces, places):
    return all(
        sum(face.box.holds(middle) and face.size_px < 0.9 * side for face in faces) == 1
        for middle, (_, _, side) in zip(_middles(places), places, strict=True)
    )


@pytest.mark.parametrize("side", [60, 100, 190])
def test_a_near_face_hides_no_far_ones(detector, head, side):
    far = [(40 + 230 * i, 20 + 205 * j, side) for i in range(8) for j in range(2)]
    places = [*far, (700, 480, 560)]
    faces = detector.detect(_scene(head, places))
    assert len(faces) == len(places) and _all_found(faces, places)
    assert faces[0].size_px > 200


@pytest.mark.parametrize(("columns", "rows"), [(5, 5), (10, 10), (16, 16)])
def test_a_gallery_is_found_whole_without_a_cap(detector, head, columns, rows):
    width, height = 1920 // columns, 1080 // rows
    places = [
        (x * width + 4, y * height + 2, height - 4) for y in range(rows) for x in range(columns)
    ]
    faces = detector.detect(_scene(head, places))
    assert len(faces) == columns * rows and _all_found(faces, places)


@pytest.mark.parametrize("side", [48, 128, 700])
def test_an_image_that_is_a_face_is_found(detector, astronaut, side):
    face = cv2.resize(astronaut[75:185, 165:280], (side, side), interpolation=cv2.INTER_AREA)
    (found,) = detector.detect(face)
    assert found.size_px > 0.5 * side


@pytest.mark.parametrize("shape", [(1080, 1920), (1, 900), (900, 1), (700, 20_000), (33, 31)])
@pytest.mark.parametrize("grey", [0, 127, 255])
def test_one_colour_is_no_face_at_any_turn(detector, shape, grey):
    assert detect_at_any_turn(detector, np.full((*shape, 3), grey, np.uint8)) == []


def test_letters_are_no_faces(detector):
    for number, words in enumerate(["WHO ARE YOU", "OOPS 8:00", "(o_o) B&O", "Chapter 1"]):
        image = np.full((720, 1280, 3), (20 * number, 90, 160), np.uint8)
        cv2.putText(image, words, (60, 420), cv2.FONT_HERSHEY_DUPLEX, 4 + number, (250,) * 3, 14)
        assert detector.detect(image) == [], words


def test_boxes_and_key_points_are_as_short_range_gives_them(detector, astronaut):
    with make_detector("mediapipe", range="short") as short:
        (near,) = short.detect(astronaut)
    network = scales.yunet()
    (found,) = scales.search_scales(network, astronaut, 0.7)
    ours, theirs = (face_square(face.box, detector) for face in (found, near))
    assert ours.iou(theirs) > 0.7
    np.testing.assert_allclose(found.keypoints, near.keypoints[:4], atol=8)


def test_without_its_file_the_search_goes_on_in_tiles_and_says_so(monkeypatch, head, caplog):
    def absent(name):
        raise FileNotFoundError(f"No {name}.\nTried: ...")

    monkeypatch.setattr(scales, "asset_path", absent)
    scales._opened.cache_clear()
    places = [(100, 100, 150), (1200, 80, 150), (600, 400, 600)]
    try:
        with caplog.at_level(logging.WARNING), make_detector("mediapipe") as detector:
            faces = detector.detect(_scene(head, places))
            detector.detect(_scene(head, places[:1]))
            assert detector.follow(_scene(head, places), faces) is None
    finally:
        scales._opened.cache_clear()
    assert len(faces) == 3 and _all_found(faces, places)
    assert [record.message.count("YuNet") for record in caplog.records] == [1]


def test_threads_that_begin_together_are_warned_once(monkeypatch, caplog):
    def absent(name):
        time.sleep(0.2)  # all threads are in here, if they may
        raise FileNotFoundError(f"No {name}.")

    monkeypatch.setattr(scales, "asset_path", absent)
    scales._opened.cache_clear()
    try:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: scales.yunet(), range(4)))
    finally:
        scales._opened.cache_clear()
    assert found == [None] * 4 and len(caplog.records) == 1


@pytest.mark.parametrize("size", [(1920, 1200), (1200, 1920)])
def test_halves_of_a_large_image_give_each_face_once(detector, head, size, monkeypatch):
    """Faces before, on and after the middle of the longer side."""
    starts = [120, 480, 850, 1220, 1600]
    places = [(at, 300, 220) if size[0] > size[1] else (300, at, 220) for at in starts]
    image = _scene(head, places, size)
    in_halves = detector.detect(image)
    assert len(in_halves) == len(places) and _all_found(in_halves, places)
    monkeypatch.setattr(scales, "HALVED_PIXELS", 10**9)
    whole = detector.detect(image)
    assert len(whole) == len(places)
    for one in in_halves:
        assert max(one.box.iou(other.box) for other in whole) > 0.9


def test_a_limit_that_is_reached_is_told(detector, head, monkeypatch, caplog):
    monkeypatch.setattr(scales, "MOST_CANDIDATES", 3)
    places = [(40 + 300 * i, 100, 250) for i in range(6)]
    with caplog.at_level(logging.WARNING):
        assert len(detector.detect(_scene(head, places))) == 3
    assert "surest 3" in caplog.text


@pytest.mark.parametrize("turned_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(800, 600), (500, 480)])
def test_turned_images_give_the_same_faces_and_say_their_turn(detector, head, turned_deg, size):
    upright = _scene(head, [(60, 40, 260), (320, 200, 120)], size)
    lying = turned_back(upright, (360 - turned_deg) % 360)
    wanted, found = detector.detect(upright), detect_at_any_turn(detector, lying)
    assert [face.turned_deg for face in found] == [turned_deg] * len(wanted)
    for face, own in zip(found, wanted, strict=True):
        back = as_turned(face, (360 - turned_deg) % 360, upright.shape)
        assert back.box.iou(own.box) > 0.8
        roll = (face.roll_deg - turned_deg + 180) % 360 - 180
        assert abs(roll) < 15
    images = cut_faces(lying, found, detector)
    for image, own in zip(images, cut_faces(upright, wanted, detector), strict=True):
        small = [cv2.resize(each, (24, 24)).astype(float) for each in (image, own)]
        assert np.abs(small[0] - small[1]).mean() < 20


@pytest.mark.parametrize(
    "photo",
    [
        "group/human_group-4.jpg",
        "group/human_stock-group-1.jpg",
        "single/deepface_img61.jpg",
        "single/human_stock-emotions-a-1.jpg",
    ],
)
def test_a_photograph_upside_down_is_not_taken_for_upright(detector, media_dir, photo):
    """The detector sees upright faces in these photographs upside down, of a score up to 0.91."""
    image = read_image(media_dir / "photos" / photo)
    found = detect_at_any_turn(detector, turned_back(image, 180))
    assert {face.turned_deg for face in found} == {180}
    assert {face.turned_deg for face in detect_at_any_turn(detector, image)} == {0}


def test_followed_faces_are_where_a_search_finds_them(detector, head):
    before, now = [(300, 200, 300), (900, 500, 110)], [(312, 190, 300), (894, 505, 112)]
    known = detector.detect(_scene(head, before))
    followed, searched = (
        detector.follow(_scene(head, now), known),
        detector.detect(_scene(head, now)),
    )
    assert len(followed) == 2
    for one, other in zip(followed, searched, strict=True):
        assert one.box.iou(other.box) > 0.75
    assert len(detector.follow(_scene(head, now[:1]), known)) == 1
    assert detector.follow(_scene(head, now), []) == []
    (new,) = detector.detect_large(_scene(head, now))
    assert new.box.iou(searched[0].box) > 0.7, "one quick look shows the near face only"


def test_places_are_searched_as_the_whole_image_is(detector, head):
    """A small face is found where it is looked for, with the box that a search of all gives it."""
    image = _scene(head, [(300, 200, 300), (900, 500, 60)])
    found, doubts = detector.detect_and_doubt(image)
    assert len(found) == 2 and not any(
        doubt.box.iou(face.box) > SAME_FACE_IOU for doubt in doubts for face in found
    )
    (face,), _ = detector.detect_at(image, [], [replace(found[1], box=found[1].box.shift(30, -20))])
    assert face.box.iou(found[1].box) > 0.9 and face.score == pytest.approx(found[1].score, abs=0.1)
    assert detector.detect_at(image, [], []) == ([], [])
    large = [replace(found[0], box=found[0].box.scale(2.5))]
    assert detector.detect_at(image, large, []) is None, "faces so large need the coarse look"
    many = [
        Face(Box(x, y, x + 40, y + 40), 0.5) for x in range(200, 1900, 300) for y in (200, 500, 800)
    ]
    assert detector.detect_at(image, [], many) is None, "all of the image costs hardly more"


def test_a_turned_face_is_followed_as_it_lies(detector, head):
    lying = turned_back(_scene(head, [(300, 200, 300)]), 90)
    known = detect_at_any_turn(detector, lying)
    (face,) = detector.follow(lying, known)
    assert face.turned_deg == 270 and face.box.iou(known[0].box) > 0.75


def test_every_face_of_the_photographs(detector, media_dir):
    """All 87 faces that are not optional, and at most three boxes that are none of them."""
    from pathlib import Path

    truth, found, wanted, others = {}, 0, 0, 0
    listed = Path(__file__).parents[1] / "benchmarks" / "photo_faces.csv"
    with open(listed, newline="") as file:
        for row in csv.DictReader(file):
            box = Box(*(float(row[key]) for key in ("x1", "y1", "x2", "y2")))
            truth.setdefault(row["file"], []).append((box, row["optional"] == "1"))
    for name, boxes in truth.items():
        image = cv2.cvtColor(cv2.imread(str(media_dir / "photos" / name)), cv2.COLOR_BGR2RGB)
        faces = detector.detect(image)
        must = [box for box, optional in boxes if not optional]
        wanted += len(must)
        found += sum(any(face.box.iou(box) > 0.3 for face in faces) for box in must)
        others += sum(all(face.box.iou(box) <= 0.3 for box, _ in boxes) for face in faces)
    assert (found, wanted) == (87, 87)
    assert others <= 3
