"""Images as they should be seen: turned by quarters, mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from builder_tools.detectors.turning import AUTO, check_rotation, turned_back
from builder_tools.media import CameraReader, Frame, VideoReader


@dataclass(frozen=True)
class Orientation:
    """How images are turned before anything else.

    Args:
        rotate: By so many degrees, clockwise: 0, 90, 180 or 270. "auto" turns no image.
        mirror: Whether left and right are exchanged then.

    Raises:
        ValueError: If `rotate` is something else.
    """

    rotate: str | int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotate", check_rotation(self.rotate))

    @classmethod
    def of(cls, mode: str, rotate: str | int | None, mirror: bool) -> Orientation:
        """Return that of an inference mode; a `rotate` of None is "auto" for images, else 0."""
        usual = AUTO if mode in ("img", "img_batch") else 0
        return cls(usual if rotate is None else rotate, mirror)

    @property
    def search(self) -> str | int:
        """What is left for the search for faces to do: "auto", or 0."""
        return AUTO if self.rotate == AUTO else 0

    @property
    def lies(self) -> bool:
        """Whether width and height change places."""
        return self.rotate in (90, 270)

    def applied(self, image_rgb: np.ndarray) -> np.ndarray:
        """Return the image as it should be seen; itself where nothing has to be done."""
        if self.rotate not in (0, AUTO):
            image_rgb = turned_back(image_rgb, 360 - self.rotate)
        return np.ascontiguousarray(image_rgb[:, ::-1]) if self.mirror else image_rgb


AS_THEY_ARE = Orientation()


class OrientedReader:
    """A video or camera whose frames are turned; all else is the reader's own.

    Args:
        reader: Gives the frames; closed with this.
        orientation: How to turn them.
    """

    def __init__(self, reader: VideoReader | CameraReader, orientation: Orientation) -> None:
        self._reader, self._orientation = reader, orientation
        self.size = reader.size[::-1] if orientation.lies else reader.size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._turned, self._reader)

    def read(self, timeout_s: float | None = None) -> Frame | None:
        """Wait for the newest frame, as `CameraReader.read` does."""
        frame = self._reader.read(timeout_s)
        return None if frame is None else self._turned(frame)

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def _turned(self, frame: Frame) -> Frame:
        return replace(frame, image=self._orientation.applied(frame.image))


def oriented(reader: Any, orientation: Orientation) -> Any:
    """Return the reader itself where its frames are not to be turned, else one that turns them."""
    if orientation.rotate in (0, AUTO) and not orientation.mirror:
        return reader
    return OrientedReader(reader, orientation)
