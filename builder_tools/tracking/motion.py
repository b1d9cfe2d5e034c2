"""Where a face will be: a constant-velocity Kalman filter of its centre.

Both axes share one variance, since the noise is the same along x and y. All noise is in face
sides, so near and far faces move alike. Plain numbers, not arrays: six faces take microseconds.
"""

from __future__ import annotations

import math

from builder_tools.results import Box

MEASURED_SIDES = 0.05
"""How much a detector's box jitters, in face sides."""
ACCELERATION_SIDES = 1.5
"""Density of the white-noise acceleration, in face sides per second to the power 1.5."""
BIRTH_SPEED_SIDES = 3.0
"""How fast a face seen only once may be moving, in face sides per second."""
SIZE_SHARE = 0.5
"""Weight of a new box's size."""
_LEAST_SIDE_PX = 1.0


class Motion:
    """Centre, velocity and size of one face, in px and seconds.

    Args:
        box: Where it was first seen.
    """

    def __init__(self, box: Box) -> None:
        (self.x, self.y), self.width, self.height = box.centre, box.width, box.height
        self.vx = self.vy = 0.0
        self._place = (MEASURED_SIDES * self.side) ** 2
        self._both = 0.0
        self._speed = (BIRTH_SPEED_SIDES * self.side) ** 2

    @property
    def side(self) -> float:
        """The mean side of the face in px."""
        return max((self.width + self.height) / 2, _LEAST_SIDE_PX)

    @property
    def spread(self) -> float:
        """The standard deviation of the next box's position, in face sides."""
        return math.sqrt(self._place + (MEASURED_SIDES * self.side) ** 2) / self.side

    @property
    def box(self) -> Box:
        """The estimated box of the face."""
        w, h = self.width / 2, self.height / 2
        return Box(self.x - w, self.y - h, self.x + w, self.y + h)

    def predict(self, seconds: float) -> None:
        """Advance by a number of seconds."""
        self.x += self.vx * seconds
        self.y += self.vy * seconds
        noise = (ACCELERATION_SIDES * self.side) ** 2
        self._place += seconds * (2 * self._both + seconds * self._speed) + noise * seconds**3 / 3
        self._both += seconds * self._speed + noise * seconds**2 / 2
        self._speed += noise * seconds

    def correct(self, box: Box) -> None:
        """Update with where the face was actually seen."""
        total = self._place + (MEASURED_SIDES * self.side) ** 2
        for_place, for_speed = self._place / total, self._both / total
        (x, y), old_x, old_y = box.centre, self.x, self.y
        self.x += for_place * (x - old_x)
        self.y += for_place * (y - old_y)
        self.vx += for_speed * (x - old_x)
        self.vy += for_speed * (y - old_y)
        self._speed -= for_speed * self._both
        self._both *= 1 - for_place
        self._place *= 1 - for_place
        self.width += SIZE_SHARE * (box.width - self.width)
        self.height += SIZE_SHARE * (box.height - self.height)
