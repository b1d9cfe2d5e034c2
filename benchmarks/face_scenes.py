"""Made images for measuring detectors: galleries, crowds, cut faces, and traps without a face.

Faces come from the shared photographs (with their surroundings) and from `wild_dev` (tight crops,
extended outwards with their blurred edges); no face occurs twice in an image. Everything follows
from the seed. The truth gives the centre and size of each face, so that no detector's way of
drawing boxes is favoured.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import sklearn.datasets
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from scenes import patch_with_rim
from skimage import data

from builder_tools.datasets.ferplus import data_folder
from builder_tools.emotions import own_word
from builder_tools.release.labelled_sets import labelled_set
from builder_tools.results import Box, Face, crop

FULL_HD = (1920, 1080)
PERSON_SCALE = 2.2
"""Side of the square image of a person, relative to the side of the face."""
SMALLEST_SOURCE_PX = 60
OBJECTS = (
    *("brick", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "grass", "gravel"),
    *("horse", "hubble_deep_field", "immunohistochemistry", "logo", "microaneurysms", "moon"),
    *("page", "retina", "rocket", "text"),
)
TITLES = ("WHO ARE YOU?", "OOPS 8:00", "The End", "(o_o)", "B&O", "Chapter 1", "QQ %% @@ 88", "ЖФЮ")


@dataclass(frozen=True)
class Scene:
    """An image and its faces.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        faces: A box around each face, from brows to chin.
    """

    image: np.ndarray
    faces: tuple[Box, ...]


@dataclass(frozen=True)
class Person:
    """A square image of a person, and the box of the face in fractions of its side."""

    image: np.ndarray
    face: Box


def matched(found: list[Face], scene: Scene) -> tuple[int, int]:
    """Return how many faces of a scene were found, each once, and how many boxes are false.

    A face is found by a box whose centre is at most 0.4 of the face's side from the face's centre
    and whose side is 0.4 to 2.2 times the face's.
    """
    free, hits = list(scene.faces), 0
    for face in sorted(found, key=lambda face: face.score, reverse=True):
        best = min(free, key=lambda box: _away(face.box, box), default=None)
        if best is not None and _is_of(face.box, best):
            free.remove(best)
            hits += 1
    return hits, len(found) - hits


def gallery(columns: int, rows: int, seed: int, size: tuple[int, int] = FULL_HD) -> Scene:
    """Return a video call's gallery: one person per tile, each tile with its own background."""
    rng = np.random.default_rng(seed)
    width, height = size[0] // columns, size[1] // rows
    people = _distinct(columns * rows, rng)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    faces = []
    for number, person in enumerate(people):
        x, y = number % columns * width, number // columns * height
        canvas[y : y + height, x : x + width] = rng.integers(20, 235, 3)
        side = round(min(width, height) * 0.94)
        faces.append(_put(canvas, person, x + (width - side) // 2, y + (height - side) // 2, side))
    return Scene(canvas, tuple(faces))


def grid(columns: int, rows: int, seed: int, side: int) -> Scene:
    """Return tight crops of faces edge to edge, as on contact sheets."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(_tight()))[: columns * rows]
    canvas = np.zeros((rows * side, columns * side, 3), np.uint8)
    faces = []
    for number, index in enumerate(chosen):
        x, y = number % columns * side, number // columns * side
        canvas[y : y + side, x : x + side] = cv2.resize(
            _tight()[index], (side, side), interpolation=cv2.INTER_AREA
        )
        faces.append(Box(0.15 * side, 0.2 * side, 0.85 * side, 0.9 * side).shift(x, y))
    return Scene(canvas, tuple(faces))


def crowd(seed: int, *, near_px: int = 420, far_px: int = 78, far: int = 36) -> Scene:
    """Return one near face in front of `far` others in rows, each person `far_px` wide."""
    rng = np.random.default_rng(seed)
    people = _distinct(far + 1, rng)
    canvas = np.full((FULL_HD[1], FULL_HD[0], 3), rng.integers(60, 190, 3), np.uint8)
    columns = far // 3
    faces = []
    for number, person in enumerate(people[1:]):
        x = 60 + number % columns * ((FULL_HD[0] - 120) // columns) + int(rng.integers(-8, 9))
        y = 40 + number // columns * 130 + int(rng.integers(-8, 9))
        faces.append(_put(canvas, person, x, y, far_px))
    side = round(near_px * PERSON_SCALE * 0.68)
    faces.append(_put(canvas, people[0], (FULL_HD[0] - side) // 2, FULL_HD[1] - side, side))
    return Scene(canvas, tuple(faces))


def cut_at_edge(person: Person, cut: float, edge: str) -> Scene:
    """Return a person whose face is partly cut off by the image's edge.

    Args:
        person: The person.
        cut: Fraction of the face's side outside the image.
        edge: left, right, top or bottom.
    """
    side, canvas = 400, np.full((480, 640, 3), 120, np.uint8)
    face = Box(*(value * side for value in person.face.xyxy))
    x, y = 120, 40
    x = {"left": -face.x1 - cut * face.width, "right": 640 - face.x2 + cut * face.width}.get(
        edge, x
    )
    y = {"top": -face.y1 - cut * face.height, "bottom": 480 - face.y2 + cut * face.height}.get(
        edge, y
    )
    return Scene(canvas, (_put(canvas, person, round(x), round(y), side).clip(640, 480),))


def people() -> list[Person]:
    """Return all people: those of the shared photographs first, then those of `wild_dev`."""
    return [*_from_photos(), *_from_crops()]


def traps(seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield kind and image of traps without faces: objects, titles, textures, parts of photos."""
    rng = np.random.default_rng(seed)
    objects = list(_objects())
    for image in objects:
        yield "object", image
    for image in (each for each in objects for _ in range(3)):
        yield "part of an object", _window(image, rng)
    for number in range(150):
        yield "title", _title(number, rng)
    for number in range(60):
        yield "texture", _texture(number, rng)
    for image, faces in _photos_with_faces():
        for _ in range(6):
            window = _without(image, faces, rng)
            if window is not None:
                yield "part of a photograph", window


def tight_crops(emotions: Iterable[str]) -> tuple[list[np.ndarray], np.ndarray, list[int]]:
    """Return `wild_dev`: images, labels into its classes, and each class's index in `emotions`."""
    table, own = labelled_set(data_folder() / "wild_dev.zip").images, list(emotions)
    words = table.table["emotion"].tolist()
    names = sorted(set(words))
    columns = [own.index(own_word(name) or name) for name in names]
    images = [table.image(row) for row in range(len(table))]
    return images, np.array([names.index(word) for word in words]), columns


def default_photos() -> Path:
    """Return the folder of the shared photographs."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "media"
    return Path(os.environ.get("BUILDER_TOOLS_MEDIA", beside)) / "photos"


def read_truth() -> dict[str, list[tuple[Box, bool]]]:
    """Read the faces of each photograph: box, and whether finding it is optional."""
    truth: dict[str, list[tuple[Box, bool]]] = {}
    with open(Path(__file__).with_name("photo_faces.csv"), newline="") as file:
        for row in csv.DictReader(file):
            box = Box(*(float(row[key]) for key in ("x1", "y1", "x2", "y2")))
            truth.setdefault(row["file"], []).append((box, row["optional"] == "1"))
    return truth


def read_photos(folder: Path | None = None) -> dict[str, np.ndarray]:
    """Read every photograph named in `photos.csv`, `(H, W, 3)` uint8 RGB."""
    folder = folder or default_photos()
    with open(folder / "photos.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    images = {name: cv2.imread(str(folder / name)) for name in names}
    return {name: cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for name, image in images.items()}


def _away(one: Box, other: Box) -> float:
    return float(np.hypot(*np.subtract(one.centre, other.centre)))


def _is_of(found: Box, wanted: Box) -> bool:
    own = max(wanted.width, wanted.height)
    side = max(found.width, found.height)
    return _away(found, wanted) <= 0.4 * own and 0.4 * own <= side <= 2.2 * own


def _put(canvas: np.ndarray, person: Person, x: int, y: int, side: int) -> Box:
    """Put a person on the canvas, cut at its edges; return the box of the face there."""
    height, width = canvas.shape[:2]
    image = cv2.resize(person.image, (side, side), interpolation=cv2.INTER_AREA)
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    canvas[y1:y2, x1:x2] = image[y1 - y : y2 - y, x1 - x : x2 - x]
    return Box(*(value * side for value in person.face.xyxy)).shift(x, y)


def _distinct(count: int, rng: np.random.Generator) -> list[Person]:
    everybody = people()
    return [everybody[index] for index in rng.permutation(len(everybody))[:count]]


@cache
def _from_photos() -> tuple[Person, ...]:
    found = []
    for image, faces in _photos_with_faces():
        for box in faces:
            if max(box.width, box.height) < SMALLEST_SOURCE_PX:
                continue
            square = box.square().scale(PERSON_SCALE)
            others = [b for b in faces if b is not box and b.iou(square) > 0]
            if not others:
                own = (1 - 1 / PERSON_SCALE) / 2
                found.append(Person(crop(image, square), Box(own, own, 1 - own, 1 - own)))
    return tuple(found)


@cache
def _from_crops() -> tuple[Person, ...]:
    found = []
    for image in _tight():
        wide = patch_with_rim(image[..., 0], 128)[0]
        found.append(Person(np.repeat(wide[..., None], 3, axis=-1), Box(0.325, 0.35, 0.675, 0.7)))
    return tuple(found)


@cache
def _tight() -> tuple[np.ndarray, ...]:
    table = labelled_set(data_folder() / "wild_dev.zip").images
    return tuple(cv2.resize(table.image(row), (128, 128)) for row in range(len(table)))


@cache
def _photos_with_faces() -> tuple[tuple[np.ndarray, tuple[Box, ...]], ...]:
    truth = read_truth()
    return tuple(
        (image, tuple(box for box, _ in truth[name]))
        for name, image in read_photos().items()
        if truth.get(name)
    )


def _objects() -> Iterator[np.ndarray]:
    for name in OBJECTS:
        image = getattr(data, name)()
        image = image if image.dtype == np.uint8 else (255 * image.astype(float)).astype(np.uint8)
        yield np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image[..., :3].copy()
    yield data.stereo_motorcycle()[0]
    yield from sklearn.datasets.load_sample_images().images
    truth = read_truth()
    yield from (image for name, image in read_photos().items() if not truth.get(name))


def _window(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    side = int(rng.uniform(0.35, 0.8) * min(height, width))
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return image[y : y + side, x : x + side].copy()


def _without(image: np.ndarray, faces: tuple[Box, ...], rng) -> np.ndarray | None:
    """Return a part of a photograph without any part of a face: coats, walls, hands."""
    height, width = image.shape[:2]
    wide = [box.scale(1.6) for box in faces]
    for _ in range(40):
        side = int(rng.uniform(0.2, 0.6) * min(height, width))
        y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        if all(box.iou(Box(x, y, x + side, y + side)) == 0 for box in wide):
            return image[y : y + side, x : x + side].copy()
    return None


def _title(number: int, rng: np.random.Generator) -> np.ndarray:
    fonts = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVu*.ttf"))
    fonts = fonts or [Path(font_manager.findfont("DejaVu Sans"))]
    image = Image.new("RGB", (1280, 720), tuple(int(v) for v in rng.integers(0, 256, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 5))):
        size = int(rng.integers(24, 320))
        font = ImageFont.truetype(str(fonts[int(rng.integers(len(fonts)))]), size)
        place = (int(rng.integers(-60, 800)), int(rng.integers(-40, 600)))
        text = TITLES[int(rng.integers(len(TITLES)))]
        pen.text(place, text, font=font, fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return np.asarray(image).copy()


def _texture(number: int, rng: np.random.Generator) -> np.ndarray:
    """Return clouds, stripes or blots of random size."""
    height, width = (720, 1280) if number % 2 else (480, 640)
    scale = float(rng.uniform(2, 60))
    small = rng.integers(0, 256, (round(height / scale) + 2, round(width / scale) + 2, 3), np.uint8)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    if number % 3 == 0:
        waves = np.sin(np.arange(width) / rng.uniform(3, 40))[None, :, None]
        image = np.clip(image * 0.5 + 64 * (1 + waves), 0, 255).astype(np.uint8)
    if number % 3 == 1:
        for _ in range(40):
            middle = tuple(int(rng.integers(0, side)) for side in (width, height))
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            cv2.circle(image, middle, int(rng.integers(4, 90)), colour, -1, cv2.LINE_AA)
    return image
