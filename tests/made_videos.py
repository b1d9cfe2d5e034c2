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
        image: `(h, w, 3)` uint8 RGB with the face in its middle.
        place: Gives the (x, y) centre of the image at a time in seconds, in shares of the
            video's sides, or None while away. Later actors stand before earlier ones.
        face: Where the face is in the image, shares of its sides.
        height: Of the image, as a share of the video's height.
        blur_px: Length of the motion blur along x.
    """

    name: str
    image: np.ndarray
    place: Callable[[float], tuple[float, float] | None]
    face: tuple[float, float, float, float] = FACE_IN_HEAD
    height: float = 0.45
    blur_px: int = 0

    def box(self, time_s: float, size: tuple[int, int]) -> Box | None:
        """Gives the whole image's box in px, or None while away."""
        place = self.place(time_s)
        if place is None:
            return None
        height = self.height * size[1]
        width = height * self.image.shape[1] / self.image.shape[0]
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
        """Gives the image at a time: `(height, width, 3)` uint8 RGB."""
        width, height = self.size
        ramp = np.linspace(60, 150, width, dtype=np.float32)
        canvas = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2).astype(np.uint8)
        for actor in self.actors:
            box = actor.box(time_s, self.size)
            if box is not None:
                _paste(canvas, actor, box.round())
        return canvas

    def truth(self, time_s: float, most_hidden: float = 0.5) -> dict[str, Box]:
        """Gives who is to be seen where: the face inside the image and not hidden too far."""
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
    image = cv2.resize(actor.image, (width, height), interpolation=cv2.INTER_AREA)
    if actor.blur_px > 1:
        image = cv2.blur(image, (actor.blur_px, 1))
    shown = box.clip(canvas.shape[1], canvas.shape[0])
    x1, y1, x2, y2 = (int(value) for value in shown.xyxy)
    left, top = x1 - int(box.x1), y1 - int(box.y1)
    canvas[y1:y2, x1:x2] = image[top : top + y2 - y1, left : left + x2 - x1]


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
        heads: Four images of heads.
        faces: Where the face is in each of them, shares; that of the astronaut's by default.
        fps: Frames a second.
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


@dataclass(frozen=True)
class Party:
    """A film with sound and viewers whose brightness tells how they feel.

    Args:
        film: Every frame carries its number as 12 black or white blocks.
        viewers: By name: recordings that hear the film.
        starts_s: By name: when each recording began, in the film's seconds.
        peaks_s: When the viewers' planted reactions are strongest, in the film's seconds.
        fps: Of the film.
        sound: `(n,)` float32 of the film at `rate_hz`.
    """

    film: Path
    viewers: Mapping[str, Path]
    starts_s: Mapping[str, float]
    peaks_s: tuple[float, ...]
    fps: float
    sound: np.ndarray
    rate_hz: int = 16000


def numbered_image(number: int, size: tuple[int, int] = (96, 54)) -> np.ndarray:
    """Paints a number as 12 blocks from left to right, the lowest bit first."""
    image = np.full((size[1], size[0], 3), 30, np.uint8)
    for bit in range(12):
        image[15:40, 8 * bit : 8 * bit + 8] = 255 * (number >> bit & 1)
    return image


def number_in(image: np.ndarray) -> int:
    """Reads a number painted by `numbered_image`."""
    return sum(int(image[27, 8 * bit + 4].mean() > 127) << bit for bit in range(12))


def talk(seconds: float, rate_hz: int, seed: int) -> np.ndarray:
    """Makes a sound with beginnings and ends, as speech has: `(n,)` float32 in [-1, 1]."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * rate_hz), np.float32)
    at = 0.0
    while at < seconds - 0.35:
        length = round(rng.uniform(0.05, 0.3) * rate_hz)
        tone = np.sin(2 * np.pi * rng.uniform(200, 2500) * np.arange(length) / rate_hz)
        first = round(at * rate_hz)
        sound[first : first + length] += rng.uniform(0.1, 0.5) * np.hanning(length) * tone
        at += rng.exponential(0.25)
    return np.clip(sound, -1, 1)


def heard(sound: np.ndarray, rate_hz: int, seed: int) -> np.ndarray:
    """Gives a sound as a room's microphone hears it: quieter, with echoes and noise."""
    rng = np.random.default_rng(seed)
    delays = rng.integers(1, rate_hz // 5, 40)
    echoes = sum(
        rng.normal() * np.exp(-d / (0.06 * rate_hz)) * np.pad(sound, (d, 0))[: len(sound)]
        for d in delays
    )
    return 0.3 * sound + 0.1 * echoes + rng.normal(0, 0.02, len(sound)).astype(np.float32)


def write_wave(path: Path, sound: np.ndarray, rate_hz: int) -> Path:
    """Writes a mono wave file."""
    import wave

    with wave.open(str(path), "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(rate_hz)
        output.writeframes((np.clip(sound, -1, 1) * 32000).astype("<i2").tobytes())
    return path


def feeling_at(time_s: float, peaks_s: Sequence[float], habit: float, strength: float) -> float:
    """Gives how bright a viewer's face is, 0...1: a habit, and a bump of 1 s at each peak."""
    bumps = [np.exp(-0.5 * ((time_s - peak) / 0.6) ** 2) for peak in peaks_s]
    return float(np.clip(habit + strength * sum(bumps), 0, 1))


def make_party(
    folder: Path,
    *,
    fps: float = 25.0,
    seconds: float = 21.0,
    peaks_s: tuple[float, ...] = (5.0, 10.5, 17.0),
) -> Party:
    """Writes a film and three viewers of other habits, frame rates and starts; one looks away."""
    rate_hz = Party.rate_hz
    sound = talk(seconds, rate_hz, seed=5)
    film = folder / "film.mp4"
    wave_path = write_wave(folder / "film.wav", sound, rate_hz)
    with VideoWriter(film, fps, (96, 54), audio_from=wave_path) as writer:
        for number in range(round(seconds * fps)):
            writer.write(numbered_image(number))
    cast = {"anna": (1.25, 25.0, 0.1, 0.5), "ben": (-1.6, 15.0, 0.45, 0.35)}
    cast["cleo"] = (0.4, 30000 / 1001, 0.25, 0.6)
    viewers = {}
    for seed, (name, (start_s, viewer_fps, habit, strength)) in enumerate(cast.items()):
        first = max(round(start_s * rate_hz), 0)
        heard_sound = np.pad(sound[first:], (max(round(-start_s * rate_hz), 0), 0))
        wave_path = write_wave(folder / f"{name}.wav", heard(heard_sound, rate_hz, seed), rate_hz)
        viewers[name] = folder / f"{name}.mp4"
        with VideoWriter(viewers[name], viewer_fps, (64, 64), audio_from=wave_path) as writer:
            for index in range(round((seconds - start_s) * viewer_fps)):
                film_s = index / viewer_fps + start_s
                away = name == "cleo" and 9.0 < film_s < 12.0
                bright = feeling_at(film_s, peaks_s, habit, strength)
                writer.write(
                    np.full((64, 64, 3), 0 if away else 40 + round(200 * bright), np.uint8)
                )
    return Party(film, viewers, {name: row[0] for name, row in cast.items()}, peaks_s, fps, sound)


class BrightFaceDetector:
    """Finds one face in the middle of every image that is not black."""

    crop_scale, crop_shift_y = 1.0, 0.0

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        height, width = image_rgb.shape[:2]
        box = Box(width * 0.25, height * 0.25, width * 0.75, height * 0.75)
        return [Face(box, 0.9)] if image_rgb.mean() > 20 else []

    def close(self) -> None:
        pass


class BrightnessModel:
    """Surprise is how bright the face is (40 is none, 240 all); the rest is neutral."""

    def __init__(self) -> None:
        from builder_tools.emotions import EmotionSet

        self.emotions = EmotionSet(("neutral", "surprise"))

    def predict(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        surprise = np.clip([(float(face.mean()) - 40) / 200 for face in faces], 0, 1)
        return np.stack([1 - surprise, surprise], axis=1).astype(np.float32)
