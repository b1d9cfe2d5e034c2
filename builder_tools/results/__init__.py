"""The values passed between modules: boxes, faces and the results for a frame.

Pixel conventions: images are `(H, W, 3)` uint8 RGB; boxes are x1, y1, x2, y2 in pixels of the
image they were found in, x to the right, y down, x2 and y2 exclusive. Times are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from builder_tools.results.boxes import Box, crop

__all__ = [
    "DOUBTFUL_BELOW",
    "Box",
    "Face",
    "FaceEmotion",
    "FaceGeometry",
    "FrameResult",
    "HeadPose",
    "Readings",
    "SteadyEmotion",
    "crop",
]

DOUBTFUL_BELOW = 0.5
"""Probability below which an emotion is doubtful, unless another threshold was fitted."""
PITCH_AHEAD_DEG = -6.0
"""The pitch of faces looking straight ahead: the median is -6.6 for posed frontal portraits, -3 for
faces in the wild and -7 for FER+."""
DOUBTFUL_TURN_DEG = 50.0
"""`HeadPose.turned_deg` beyond which an emotion is doubtful (measured: `reports/geometry.md`)."""
EYES_CLOSED_BELOW = 0.5
"""`FaceGeometry.eyes_open` below which the eyes count as closed: most FER+ faces below it have
visibly closed, narrowed or downcast eyes, but few of those above 0.6."""


@dataclass(frozen=True)
class Face:
    """A detected face.

    Args:
        box: Where it is, clipped to the image.
        score: The detector's confidence in [0, 1]; 1.0 from backends that give none.
        keypoints: `(k, 2)` x, y in pixels in the detector's own order, or None. Detectors that
            return eyes put them first: for an upright face, the one on the left of the image, then
            the one on the right; then the nose tip.
        track: The face's identity over a video, or None for still images.
        turned_deg: How far the face is rotated clockwise in the image, in quarter turns: 0, 90,
            180 or 270. It is rotated back before classification.
    """

    box: Box
    score: float
    keypoints: np.ndarray | None = field(default=None, compare=False)
    track: int | None = None
    turned_deg: int = field(default=0, kw_only=True)

    @property
    def size_px(self) -> float:
        """The longer side of the box."""
        return max(self.box.width, self.box.height)

    @property
    def roll_deg(self) -> float | None:
        """Tilt of the line of the eyes, clockwise in the image, -180...180; None without eyes."""
        if self.keypoints is None or len(self.keypoints) < 2:
            return None
        dx, dy = (float(value) for value in self.keypoints[1] - self.keypoints[0])
        return math.degrees(math.atan2(dy, dx))

    @property
    def tilt_deg(self) -> float | None:
        """Tilt of the face: `roll_deg`, or without eyes `turned_deg`, or None if that is 0.

        For a face in a rotated image, it is about 90, -90 or +-180.
        """
        return (self.turned_deg or None) if self.roll_deg is None else self.roll_deg

    def __repr__(self) -> str:
        track = "" if self.track is None else f", track {self.track}"
        return f"Face({_place(self.box)}, score {self.score:.2f}{track})"


@dataclass(frozen=True)
class Readings:
    """A model's predictions for several faces, from a single pass of its network.

    Args:
        probabilities: `(n, num_classes)` float32, rows sum to 1.
        places: `(n, 2)` float64 valence and arousal in [-1, 1]; NaN where unknown.
    """

    probabilities: np.ndarray
    places: np.ndarray


class HeadPose(NamedTuple):
    """The pose of a head in degrees, as seen in the image.

    Attributes:
        yaw: Positive if the nose points to the right of the image, -90...90.
        pitch: Positive if it points up. 0 is the average face of MediaPipe's model; people looking
            straight ahead are at about `PITCH_AHEAD_DEG`.
        roll: Positive if the head is tilted to the right of the image (clockwise), -180...180.
            Rotating the image changes only this angle; mirroring it flips the signs of yaw and
            roll.
    """

    yaw: float
    pitch: float
    roll: float

    @property
    def turned_deg(self) -> float:
        """How far the face is turned away from straight ahead: the larger of yaw and pitch."""
        return max(abs(self.yaw), abs(self.pitch - PITCH_AHEAD_DEG))


@dataclass(frozen=True)
class FaceGeometry:
    """The geometry of a face, as seen by MediaPipe's face landmarker.

    Args:
        landmarks_px: `(478, 3)` float32: x, y in pixels of the image, and depth in the same unit,
            smaller is nearer; in MediaPipe's order (468 of the face, 5 of each iris).
        blendshapes: 52 values by their published names, each 0...1: how much brows, eyes, mouth
            and cheeks are moved. See `geometry.ACTION_UNITS` for what they resemble.
        pose_deg: The head pose.
        presence: The landmarker's confidence that there is a face, 0.5...1.
    """

    landmarks_px: np.ndarray = field(compare=False, repr=False)
    blendshapes: Mapping[str, float] = field(repr=False)
    pose_deg: HeadPose
    presence: float

    @property
    def eyes_open(self) -> float:
        """How far the wider eye is open, 0 (closed) to 1, so winking counts as open."""
        blinks = self.blendshapes["eyeBlinkLeft"], self.blendshapes["eyeBlinkRight"]
        return 1 - min(blinks)

    @property
    def are_eyes_closed(self) -> bool:
        """Whether `eyes_open` is below `EYES_CLOSED_BELOW`."""
        return self.eyes_open < EYES_CLOSED_BELOW

    @property
    def mouth_open(self) -> float:
        """The gap between the lips relative to the width between the inner mouth corners."""
        upper, lower, left, right = self.landmarks_px[[13, 14, 78, 308]]
        width = float(np.linalg.norm(left - right))
        return float(np.linalg.norm(upper - lower)) / max(width, 1e-6)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry `geometry` of a face in a JSON line: everything but the landmarks."""
        return {
            **{f"{name}_deg": round(angle, 1) for name, angle in self.pose_deg._asdict().items()},
            "eyes_open": round(self.eyes_open, 4),
            "mouth_open": round(self.mouth_open, 4),
            "presence": round(self.presence, 4),
            "blendshapes": _rounded_all(self.blendshapes),
        }


@dataclass(frozen=True)
class FaceEmotion:
    """A face and what it shows.

    Args:
        face: The detected face.
        probabilities: Probability of each emotion in the model's class order; they sum to 1.
        valence: In [-1, 1], or None if the model gives none.
        arousal: In [-1, 1], or None if the model gives none.
        doubtful_below: Probability below which the emotion is doubtful, from the model's card.
        relative_probabilities: Probabilities of what the face shows compared with its rest; None
            if not requested.
        geometry: The geometry of the face; None if not requested or not found.
        no_geometry: Why it was not found; empty otherwise.
    """

    face: Face
    probabilities: Mapping[str, float]
    valence: float | None = None
    arousal: float | None = None
    doubtful_below: float = DOUBTFUL_BELOW
    relative_probabilities: Mapping[str, float] | None = field(default=None, kw_only=True)
    geometry: FaceGeometry | None = field(default=None, kw_only=True)
    no_geometry: str = field(default="", kw_only=True)

    def __repr__(self) -> str:
        track = "" if self.face.track is None else f", track {self.face.track}"
        doubt = ", doubtful" if self.doubtful else ""
        shown = f"{self.emotion} {self.probability:.0%}{doubt}"
        return f"FaceEmotion({shown} at {_place(self.face.box)}{track})"

    @staticmethod
    def from_dict(entry: Mapping[str, Any]) -> FaceEmotion:
        """Return the face from an entry as returned by `to_dict`, with its rounded numbers.

        It has no geometry, as the entry lacks the landmarks, and no tilt.
        """
        box, score = Box(*entry["box"]), entry["detection_score"]
        found = FaceEmotion(
            Face(box, score, track=entry["track"]),
            entry["probabilities"],
            entry["valence"],
            entry["arousal"],
            math.inf if entry["doubtful"] else 0.0,
            relative_probabilities=entry.get("relative_probabilities"),
        )
        if found.emotion == entry["emotion"]:
            return found
        return SteadyEmotion(**vars(found), shown=entry["emotion"])  # it was smoothed, or close

    @property
    def emotion(self) -> str:
        """The most probable emotion (the first in class order if tied)."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def probability(self) -> float:
        """The probability of `emotion`."""
        return self.probabilities[self.emotion]

    @property
    def doubtful(self) -> bool:
        """Whether there is a reason not to rely on the emotion (see `doubtful_because`)."""
        return bool(self.doubtful_because)

    @property
    def doubtful_because(self) -> str:
        """Why the emotion is doubtful: too improbable, or the face turned away; else empty."""
        reasons = []
        if self.probability < self.doubtful_below:
            reasons.append(f"probability under {self.doubtful_below:.2f}")
        if self.geometry is not None and self.geometry.pose_deg.turned_deg > DOUBTFUL_TURN_DEG:
            reasons.append(f"face turned by more than {DOUBTFUL_TURN_DEG:.0f} degrees")
        return " and ".join(reasons)

    @property
    def relative_emotion(self) -> str | None:
        """The most probable emotion compared with the face's rest; None if not requested."""
        relative = self.relative_probabilities
        return None if relative is None else max(relative, key=relative.__getitem__)

    @property
    def relative_probability(self) -> float | None:
        """The probability of `relative_emotion`; None if not requested."""
        relative = self.relative_probabilities
        return None if relative is None else max(relative.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the face as the `faces` entry of a JSON line (see `FrameResult.to_dict`).

        `track`, `valence` and `arousal` are None (null) if the source or the model gives none;
        `tilt_deg` is only present if the face is rotated by quarter turns. The keys `relative_...`
        are only present if the face was compared with its rest, and `geometry` only if requested:
        it is null if not found, with the reason in `no_geometry`. `doubtful_because` comes with
        it.
        """
        relative: dict[str, Any] = {}
        shape: dict[str, Any] = {}
        tilt = self.face.tilt_deg if self.face.turned_deg else None
        if self.relative_probabilities is not None:
            relative = {
                "relative_emotion": self.relative_emotion,
                "relative_probability": _rounded(self.relative_probability),
                "relative_probabilities": _rounded_all(self.relative_probabilities),
            }
        if self.geometry is not None:
            shape = {"geometry": self.geometry.to_dict()}
        elif self.no_geometry:
            shape = {"geometry": None, "no_geometry": self.no_geometry}
        if shape:
            shape["doubtful_because"] = self.doubtful_because
        return {
            "box": [round(float(value), 1) for value in self.face.box.xyxy],
            "detection_score": round(float(self.face.score), 4),
            "track": self.face.track,
            "emotion": self.emotion,
            "probability": round(float(self.probability), 4),
            "probabilities": _rounded_all(self.probabilities),
            "valence": _rounded(self.valence),
            "arousal": _rounded(self.arousal),
            "doubtful": bool(self.doubtful),
            **({} if tilt is None else {"tilt_deg": round(tilt, 1)}),
            **relative,
            **shape,
        }


@dataclass(frozen=True)
class SteadyEmotion(FaceEmotion):
    """A face whose displayed emotion also depends on the previous images, or on digits not kept.

    Args:
        shown: The emotion to display; it may be slightly less probable than another one.
    """

    shown: str = ""

    @property
    def emotion(self) -> str:
        """The emotion displayed before, unless another has become clearly more probable."""
        return self.shown


@dataclass(frozen=True)
class FrameResult:
    """What was found in one image or one frame of a video.

    Args:
        source: File name, URL or camera that the image came from ("array" for arrays).
        frame: Index of the frame in its source, from 0.
        time_s: When the frame is shown, in seconds from the start of the source (0.0 for images).
        faces: The faces, largest first.
        image: The image itself, `(H, W, 3)` uint8 RGB, with boxes if drawing was on; None if it
            was not kept.
    """

    source: str
    frame: int
    time_s: float
    faces: tuple[FaceEmotion, ...]
    image: np.ndarray | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        when = f", frame {self.frame} at {self.time_s:.3f} s" if self.frame or self.time_s else ""
        faces = ", ".join(map(repr, self.faces)) or "no face"
        return f"FrameResult({self.source!r}{when}: {faces})"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as one line of the `--json` output."""
        return {
            "source": self.source,
            "frame": self.frame,
            "time_s": round(self.time_s, 6),
            "faces": [face.to_dict() for face in self.faces],
        }


def _place(box: Box) -> str:
    return f"x {box.x1:.0f}...{box.x2:.0f}, y {box.y1:.0f}...{box.y2:.0f}"


def _rounded_all(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in probabilities.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
