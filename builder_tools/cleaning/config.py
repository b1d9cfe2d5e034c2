"""What to keep, what to drop, and what to write: the settings of a cleaning run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from builder_tools.fields import check_range, check_types

STATUSES = ("ok", "unreadable", "no_face", "multi_face", "too_small", "blurred", "duplicate")
"""What an image can be. One with several faults has the first for which it is dropped."""

KEEP_OR_DROP = ("drop", "keep")
POLICIES: dict[str, tuple[str, ...]] = {
    "no_face": KEEP_OR_DROP,
    "multi_face": ("drop", "largest"),
    "too_small": KEEP_OR_DROP,
    "blurred": KEEP_OR_DROP,
    "duplicates": KEEP_OR_DROP,
    "conflicts": KEEP_OR_DROP,
    "leaks": KEEP_OR_DROP,
}
"""What can be done with each kind of image, by the name of the setting."""

CROPS = ("face", "whole")
FORMATS = ("png", "jpg")
DEFAULT_MIN_FACE_PX = 24.0


_RANGES = {
    "min_face_px": (0, math.inf),
    "min_sharpness": (0, math.inf),
    "margin": (0.5, 4),
    "shift_y": (-1, 1),
    "size_px": (8, 4096),
}


@dataclass(frozen=True, kw_only=True)
class CleaningConfig:
    """The settings of a cleaning run.

    An image that is kept although something is wrong with it keeps its status in the manifest,
    so it can still be found. Unreadable images are always dropped: there is nothing to write.

    Args:
        no_face: "drop", or "keep" the whole image.
        multi_face: "drop", or keep the "largest" face.
        too_small: "drop" or "keep" faces smaller than `min_face_px`.
        blurred: "drop" or "keep" faces less sharp than `min_sharpness`.
        duplicates: The same photo again with the same emotion: "drop" all but the first, or
            "keep" them. Expressions of one person before one background are different photos.
        conflicts: The same photo with different emotions: "keep" one of each and report them, or
            "drop" all of them, because nobody knows which is right.
        leaks: The same photo in two splits: "drop" it from the one trained on (from train before
            valid, from valid before test), or "keep" it. Whatever these three say, the test split
            never loses an image as a duplicate: figures on it stay comparable.
        min_face_px: Longer side of the detector's box in pixels of the image; 0 for any.
        min_sharpness: See `sharpness`; None judges no image blurred, and the manifest shows
            the figures to choose from.
        crop: "face" writes the square around the face, "whole" the whole image.
        margin: Side of the square over the longer side of the detector's box; None for the
            detector's own `crop_scale` (framed as FER2013 frames faces).
        shift_y: How far the square moves, as a share of the box's height, negative is up; None
            for the detector's own `crop_shift_y`.
        align_eyes: Turn faces upright where the detector gives eyes (mediapipe, yunet, mtcnn).
        size_px: Side of what is written; None leaves faces as large as they are. With
            crop="whole" images that are not square are squeezed, as everywhere in the house.
        format: "png" (lossless) or "jpg". Images that need no change at all (crop="whole"
            without `size_px`) are copied byte for byte with their own suffix.
        surround: Also look at images amid a plain border, where detectors find faces that fill
            the image (see `find_faces`).

    Raises:
        ValueError: If a setting is out of its range.
    """

    no_face: str = "drop"
    multi_face: str = "drop"
    too_small: str = "drop"
    blurred: str = "drop"
    duplicates: str = "drop"
    conflicts: str = "keep"
    leaks: str = "drop"
    min_face_px: float = DEFAULT_MIN_FACE_PX
    min_sharpness: float | None = None
    crop: str = "face"
    margin: float | None = None
    shift_y: float | None = None
    align_eyes: bool = False
    size_px: int | None = None
    format: str = "png"
    surround: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        for name, allowed in (*POLICIES.items(), ("crop", CROPS), ("format", FORMATS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"Expected {name} to be one of {list(allowed)}. "
                    f"Received: {getattr(self, name)!r}."
                )
        for name, (least, most) in _RANGES.items():
            if (value := getattr(self, name)) is not None:
                check_range(least, most, **{name: value})
        if self.crop == "whole" and self.align_eyes:
            raise ValueError(
                "Expected align_eyes with crop='face'. Received: crop='whole': a whole image "
                "is not turned. Try without one of them."
            )

    @classmethod
    def already_cropped(cls, **changes: object) -> Self:
        """Return settings for images that are faces already, such as FER2013's 48x48 ones.

        Whole images are written; an image is flagged, not dropped, where the detector sees no
        face or several. Unreadable ones and duplicates are dropped as ever.
        """
        preset = {"crop": "whole", "no_face": "keep", "multi_face": "largest", "too_small": "keep"}
        return cls(**{**preset, **changes})
