"""Make the examples of the web page: a photo, a drawn group, a zip of portraits, and a short film.

    python benchmarks/example_media.py [--out builder_tools/web/examples]

The photo is scikit-image's astronaut (Eileen Collins, NASA, public domain); no one else is real.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from demo_photo import astronaut_path
from drawn_faces import EXPRESSIONS, LOOKS, Expression, Look, draw_person

from builder_tools.media import VideoWriter, read_image, write_image

EXAMPLES = Path(__file__).parents[1] / "builder_tools" / "web" / "examples"
PHOTO, GROUP, PORTRAITS, FILM = "astronaut.jpg", "group.jpg", "portraits.zip", "film.mp4"
GROUP_SIZE, FILM_SIZE = (1280, 640), (640, 360)
PORTRAIT_PX, PORTRAYED = 240, ("neutral", "happy", "sad", "surprise")
SECONDS, FPS = 16, 25
CHANGE_S = 0.6
"""Time to change from one expression to the next, seconds."""


@dataclass(frozen=True)
class Actor:
    """A drawn person in an image or a film.

    Args:
        look: Look of the person.
        middle: Centre of the head and shoulders, px; only their lower edge may leave the frame.
        side: Side of their square, px.
        script: Start in seconds -> emotion shown from then on; the first at 0.
    """

    look: Look
    middle: tuple[int, int]
    side: int
    script: Mapping[float, str]

    def expression(self, time_s: float) -> Expression:
        """Return the person's expression at a time in seconds."""
        shown = EXPRESSIONS[next(iter(self.script.values()))]
        for start_s, name in self.script.items():
            share = np.clip((time_s - start_s) / CHANGE_S, 0, 1)
            shown = shown.towards(EXPRESSIONS[name], float(share * share * (3 - 2 * share)))
        return shown

    def draw(self, frame: np.ndarray, time_s: float) -> None:
        """Draw the person on a frame, swaying a little."""
        x = round(self.middle[0] + 5 * np.sin(1.1 * time_s + self.side))
        y = round(self.middle[1] + 2 * np.sin(1.7 * time_s))
        left, top = x - self.side // 2, y - self.side // 2
        place = frame[top : top + self.side, left : left + self.side]
        below = self.side - place.shape[0]
        ground = cv2.copyMakeBorder(place, 0, below, 0, 0, cv2.BORDER_REPLICATE)
        place[:] = draw_person(ground, self.look, self.expression(time_s))[: place.shape[0]]


GROUP_CAST = tuple(
    Actor(look, (middle_x, 430 + 20 * (number % 2)), 430, {0.0: shown})
    for number, (look, middle_x, shown) in enumerate(
        zip(LOOKS, (250, 510, 770, 1030), ("happy", "surprise", "sad", "anger"), strict=True)
    )
)
FILM_CAST = (
    Actor(
        LOOKS[2],
        (180, 215),
        300,
        {0.0: "neutral", 2.5: "happy", 5.0: "neutral", 8.0: "surprise", 10.5: "happy", 13.5: "sad"},
    ),
    Actor(
        LOOKS[1],
        (460, 215),
        300,
        {0.0: "neutral", 4.0: "sad", 7.0: "neutral", 8.4: "surprise", 10.0: "fear", 12.0: "happy"},
    ),
)


def room(size: tuple[int, int]) -> np.ndarray:
    """Return a wall lit from above, `(height, width, 3)` uint8 RGB."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = 1.0 - 0.35 * (y / height) - 0.15 * np.abs(x / width - 0.5)
    return (light[..., None] * (206, 214, 216)).astype(np.uint8)


def group_image() -> np.ndarray:
    """Return four drawn people side by side, `(640, 1280, 3)` uint8 RGB."""
    return film_frame(GROUP_CAST, room(GROUP_SIZE), 9.0)


def write_portraits(path: Path) -> Path:
    """Write a zip with a portrait for each look and expression, and return its path."""
    with zipfile.ZipFile(path, "w") as packed, tempfile.TemporaryDirectory() as folder:
        for number, look in enumerate(LOOKS[:3], start=1):
            for name in PORTRAYED:
                drawn = draw_person(room((PORTRAIT_PX, PORTRAIT_PX)), look, EXPRESSIONS[name])
                image = write_image(Path(folder) / "portrait.jpg", drawn)
                entry = zipfile.ZipInfo(f"{name}_{number}.jpg")  # dated 1980, so always the same
                packed.writestr(entry, image.read_bytes())
    return path


def film_frame(cast: Sequence[Actor], ground: np.ndarray, time_s: float) -> np.ndarray:
    """Return the frame of a film at a time in seconds."""
    frame = ground.copy()
    for actor in cast:
        actor.draw(frame, time_s)
    return frame


def write_film(path: Path) -> Path:
    """Write the film of two drawn people watching something, and return its path."""
    ground = room(FILM_SIZE)
    with VideoWriter(path, FPS, FILM_SIZE) as writer:
        for index in range(SECONDS * FPS):
            writer.write(film_frame(FILM_CAST, ground, index / FPS))
    return path


def main() -> None:
    """Make all four, and print their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=EXAMPLES)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    write_image(out / PHOTO, read_image(astronaut_path()))
    write_image(out / GROUP, group_image())
    write_portraits(out / PORTRAITS)
    write_film(out / FILM)
    for name in (PHOTO, GROUP, PORTRAITS, FILM):
        print(f"{out / name}: {(out / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
