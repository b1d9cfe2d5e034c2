"""What to keep, what to drop, and what to write: the settings of a cleaning run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from builder_tools.fields import check_range, check_types

STATUSES = ("ok", "unreadable", "no_face", "multi_face", "too_small", "blurred", "duplicate")
"""Possible statuses of an image. With several faults, the first one that drops it counts."""

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
"""Setting -> what can be done with images of that kind."""

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

    An image that is kept despite a fault still has its status in the manifest, so it can be found
    there. Unreadable images are always dropped, as there is nothing to write.

    Args:
        no_face: "drop", or "keep" the whole image.
        multi_face: "drop", or keep the "largest" face.
        too_small: "drop" or "keep" faces smaller than `min_face_px`.
        blurred: "drop" or "keep" faces less sharp than `min_sharpness`.
        duplicates: The same photo again with the same emotion: "drop" all but the first, or
            "keep" them. Expressions of one person on the same background are different photos.
        conflicts: The same photo with different emotions: "keep" one of each and report them, or
            "drop" all of them, as it is unknown which one is right.
        leaks: The same photo in two splits: "drop" it from the split closer to training (from
            train rather than valid, from valid rather than test), or "keep" it. Whatever these
            three settings say, the test split never loses a duplicate, so that results on it stay
            comparable.
        min_face_px: Minimum longer side of the detector's box, in pixels of the image; 0 for any.
        min_sharpness: Minimum `sharpness`; None treats no image as blurred, and the manifest
            shows the values to choose from.
        crop: "face" writes the square around the face, "whole" the whole image.
        margin: Side of the square relative to the longer side of the detector's box; None for the
            detector's own `crop_scale` (framed like the faces of FER2013).
        shift_y: Vertical shift of the square, as a share of the box's height, negative is up;
            None for the detector's own `crop_shift_y`.
        align_eyes: Whether to rotate faces upright if the detector returns eyes (mediapipe,
            yunet, mtcnn).
        size_px: Side of the written images; None keeps faces at their original size. With
            crop="whole", images that are not square are squeezed, as everywhere in this package.
        format: "png" (lossless) or "jpg". Images that need no change at all (crop="whole"
            without `size_px`) are copied byte for byte with their own suffix.
        surround: Whether to also show the detector images inside a plain border, where detectors
            find faces that fill the image (see `find_faces`).

    Raises:
        ValueError: If a setting is out of range.
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
        """Return settings for images that are already faces, such as FER2013's 48x48 images.

        Whole images are written; an image without a detected face, with several or with a small
        one is flagged but not dropped. Unreadable images and duplicates are dropped as usual.
        """
        preset = {"crop": "whole", "no_face": "keep", "multi_face": "largest", "too_small": "keep"}
        return cls(**{**preset, **changes})
