"""Videos whose truth is known: real faces that walk where a script says, and their true boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from builder_tools.media import VideoWriter
from builder_tools.results import Box, Face

HEAD_IN_ASTRONAUT = (slice(0, 200), slice(120, 330))
FACE_IN_HEAD = (0.26, 0.36, 0.74, 0.88)
"""Where MediaPipe sees the face in that cut-out, as shares of its sides (x1, y1, x2, y2)."""


@dataclass(frozen=True)
class Actor:
    """Somebody in a made video.

    Args:
        name: Who.
        picture: `(h, w, 3)` uint8 RGB with the face in its middle.
        place: Gives the (x, y) centre of the picture at a time in seconds, in shares of the
            video's sides, or None while away. Later actors stand before earlier ones.
        face: Where the face is in the picture, shares of its sides.
        height: Of the picture, as a share of the video's height.
        blur_px: Length of the motion blur along x.
    """

    name: str
    picture: np.ndarray
    place: Callable[[float], tuple[float, float] | None]
    face: tuple[float, float, float, float] = FACE_IN_HEAD
    height: float = 0.45
    blur_px: int = 0

    def box(self, time_s: float, size: tuple[int, int]) -> Box | None:
        """Gives the whole picture's box in px, or None while away."""
        place = self.place(time_s)
        if place is None:
            return None
        height = self.height * size[1]
        width = height * self.picture.shape[1] / self.picture.shape[0]
        x, y = place[0] * size[0], place[1] * size[1]
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def face_box(self, time_s: float, size: tuple[int, int]) -> Box | None:
        """Gives the face's box in px, or None while away."""
        box = self.box(time_s, size)
        if box is None:
            return None
        x1, y1, x2, y2 = self.face
        return Box(
            box.x1 + x1 * box.width,
            box.y1 + y1 * box.height,
            box.x1 + x2 * box.width,
            box.y1 + y2 * box.height,
        )


@dataclass(frozen=True)
class Scene:
    """A script: who, how long, how large, how fast."""

    actors: Sequence[Actor]
    seconds: float
    size: tuple[int, int] = (480, 270)
    fps: float = 25.0

    @property
    def times_s(self) -> list[float]:
        return [index / self.fps for index in range(round(self.seconds * self.fps))]

    def paint(self, time_s: float) -> np.ndarray:
        """Gives the picture at a time: `(height, width, 3)` uint8 RGB."""
        width, height = self.size
        ramp = np.linspace(60, 150, width, dtype=np.float32)
        canvas = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2).astype(np.uint8)
        for actor in self.actors:
            box = actor.box(time_s, self.size)
            if box is not None:
                _paste(canvas, actor, box.round())
        return canvas

    def truth(self, time_s: float, most_hidden: float = 0.5) -> dict[str, Box]:
        """Gives who is to be seen where: the face inside the picture and not hidden too far."""
        width, height = self.size
        seen: dict[str, Box] = {}
        before: list[Box] = []
        for actor in reversed(self.actors):
            box = actor.face_box(time_s, self.size)
            if box is None:
                continue
            hidden = max((_shared(box, other) / box.area for other in before), default=0.0)
            inside = box.clip(width, height).area / box.area
            if hidden < most_hidden and inside > 0.7:
                seen[actor.name] = box
            before.append(actor.box(time_s, self.size))
        return seen

    def write(self, path: Path) -> Path:
        """Writes the video."""
        with VideoWriter(path, self.fps, self.size) as writer:
            for time_s in self.times_s:
                writer.write(self.paint(time_s))
        return path


def _paste(canvas: np.ndarray, actor: Actor, box: Box) -> None:
    width, height = int(box.width), int(box.height)
    picture = cv2.resize(actor.picture, (width, height), interpolation=cv2.INTER_AREA)
    if actor.blur_px > 1:
        picture = cv2.blur(picture, (actor.blur_px, 1))
    shown = box.clip(canvas.shape[1], canvas.shape[0])
    x1, y1, x2, y2 = (int(value) for value in shown.xyxy)
    left, top = x1 - int(box.x1), y1 - int(box.y1)
    canvas[y1:y2, x1:x2] = picture[top : top + y2 - y1, left : left + x2 - x1]


def _shared(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    return max(width, 0.0) * max(height, 0.0)


def astronaut_cast(astronaut: np.ndarray) -> list[np.ndarray]:
    """Gives four different heads made of one real one: as it is, mirrored, tinted, darker."""
    head = astronaut[HEAD_IN_ASTRONAUT]
    mirrored = np.ascontiguousarray(head[:, ::-1])
    tinted = np.ascontiguousarray(head[..., [2, 1, 0]])
    darker = (mirrored * 0.7).astype(np.uint8)
    return [head, mirrored, tinted, darker]


def line(
    start: tuple[float, float], end: tuple[float, float], begin_s: float, end_s: float
) -> Callable[[float], tuple[float, float] | None]:
    """Walks straight from one place to another between two times; away before and after."""

    def place(time_s: float) -> tuple[float, float] | None:
        if not begin_s <= time_s <= end_s:
            return None
        share = (time_s - begin_s) / (end_s - begin_s)
        return tuple(a + share * (b - a) for a, b in zip(start, end, strict=True))

    return place


def stay(x: float, y: float, *away: tuple[float, float]):
    """Stands still, but for the times away, as (from, to) in seconds."""

    def place(time_s: float) -> tuple[float, float] | None:
        gone = any(begin <= time_s < end for begin, end in away)
        return None if gone else (x, y)

    return place


def scenes(heads: Sequence[np.ndarray], faces=None, *, fps: float = 25.0) -> dict[str, Scene]:
    """Gives the scripts a tracker must pass, played by two to four heads.

    Args:
        heads: Four pictures of heads.
        faces: Where the face is in each of them, shares; that of the astronaut's by default.
        fps: Pictures a second.
    """
    faces = faces or [FACE_IN_HEAD] * len(heads)

    def actor(index: int, place, **more) -> Actor:
        return Actor("abcd"[index], heads[index], place, faces[index], **more)

    def sway(x: float, y: float, phase: float):
        return lambda t: (x + 0.03 * np.sin(2 * t + phase), y + 0.02 * np.cos(1.7 * t + phase))

    crossing = [
        actor(0, line((0.1, 0.5), (0.9, 0.5), 0, 4)),
        actor(1, line((0.9, 0.52), (0.1, 0.52), 0, 4)),
    ]
    four = [
        actor(0, line((0.1, 0.3), (0.9, 0.35), 0, 5)),
        actor(1, line((0.9, 0.33), (0.1, 0.3), 0, 5)),
        actor(2, line((0.05, 0.72), (0.95, 0.7), 0, 5)),
        actor(3, line((0.95, 0.7), (0.05, 0.72), 0, 5)),
    ]
    leaving = [
        actor(0, sway(0.25, 0.5, 0.0)),
        actor(1, stay(0.75, 0.5, (1.5, 2.3), (3.5, 4.2))),
    ]
    blurred = [
        actor(0, lambda t: (0.5 + 0.35 * np.sin(1.6 * t), 0.3), blur_px=9, height=0.42),
        actor(1, lambda t: (0.5 + 0.35 * np.cos(1.3 * t), 0.75), blur_px=9, height=0.42),
    ]
    three = [
        actor(0, sway(0.17, 0.5, 0.0)),
        actor(1, sway(0.5, 0.5, 2.0)),
        actor(2, line((-0.2, 0.55), (1.2, 0.55), 0.5, 4.5)),
    ]
    casts = {
        "two cross": (crossing, 4.0),
        "four cross in pairs": (four, 5.0),
        "one leaves and returns": (leaving, 5.0),
        "fast and blurred": (blurred, 5.0),
        "one walks past two": (three, 5.0),
    }
    return {name: Scene(cast, seconds, fps=fps) for name, (cast, seconds) in casts.items()}


def noisy_faces(
    truth: Mapping[str, Box], rng: np.random.Generator, *, missed: float, jitter: float
) -> list[Face]:
    """Gives what a poor detector would find: boxes that jump, scores that vary, some missed.

    Args:
        truth: Who is where.
        rng: Of the noise.
        missed: The share of faces not found.
        jitter: Standard deviation of centre and size, in face sides.
    """
    found = []
    for box in truth.values():
        dx, dy, grow = rng.normal(0, jitter, 3)
        if rng.random() >= missed:
            moved = box.shift(dx * box.width, dy * box.height).scale(1 + grow)
            found.append(Face(moved, float(rng.uniform(0.3, 1.0))))
    order = rng.permutation(len(found))
    return [found[index] for index in order]
