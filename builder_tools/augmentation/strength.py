"""How strongly faces are augmented, as ranges, and predefined strengths by name."""

from __future__ import annotations

from dataclasses import dataclass

from builder_tools.fields import check_types


@dataclass(frozen=True)
class AugmentationStrength:
    """How strongly a face may be changed; each value is drawn anew for each face.

    The defaults are the recipe of the shipped model.

    Args:
        rotation_deg: Rotation up to this many degrees either way.
        scale: Lowest and highest zoom factor (1 = unchanged).
        shift: Shift up to this share of the side either way.
        shear: Horizontal shear up to this slope either way.
        brightness: Largest added value either way, as a share of 255.
        contrast: Lowest and highest factor around the face's mean.
        erase: Highest probability that a rectangle is replaced by noise; each face draws its
            own between 0 and this, so half of it on average.
        vertical_shear: Vertical shear up to this slope either way.
        tilt: Perspective: one edge comes closer and the opposite edge moves away by up to this
            share, along both axes of the image; below 0.5.
        mirror: Probability that a face is mirrored.
        saturation: Lowest and highest factor of colourfulness (0 = grey). Grey faces are
            unchanged.
        hue_deg: Rotation of hues up to this many degrees either way. Grey faces are unchanged.

    Raises:
        ValueError: If a value is out of range.
    """

    rotation_deg: float = 15.0
    scale: tuple[float, float] = (0.85, 1.18)
    shift: float = 0.08
    shear: float = 0.1
    brightness: float = 0.15
    contrast: tuple[float, float] = (0.7, 1.35)
    erase: float = 0.3
    vertical_shear: float = 0.0
    tilt: float = 0.0
    mirror: float = 0.5
    saturation: tuple[float, float] = (1.0, 1.0)
    hue_deg: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("scale", "contrast", "saturation"):
            low, high = getattr(self, name)
            if not 0 <= low <= high or (name == "scale" and low == 0):
                raise ValueError(
                    f"Expected {name} as (lowest, highest) factors above 0. "
                    f"Received: {name}={(low, high)}."
                )
        for name, most in _HIGHEST.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(
                    f"Expected {name} in [0, {most}]. Received: {name}={getattr(self, name)!r}."
                )


_HIGHEST = {
    "rotation_deg": 180,
    "shift": 1,
    "shear": 2,
    "brightness": 1,
    "erase": 1,
    "vertical_shear": 2,
    "tilt": 0.49,
    "mirror": 1,
    "hue_deg": 180,
}

AUGMENTATIONS: dict[str, AugmentationStrength] = {
    "off": AugmentationStrength(
        rotation_deg=0.0,
        scale=(1.0, 1.0),
        shift=0.0,
        shear=0.0,
        brightness=0.0,
        contrast=(1.0, 1.0),
        erase=0.0,
        mirror=0.0,
    ),
    "light": AugmentationStrength(
        rotation_deg=7.0,
        scale=(0.93, 1.08),
        shift=0.04,
        shear=0.0,
        brightness=0.08,
        contrast=(0.85, 1.15),
        erase=0.0,
        saturation=(0.85, 1.15),
        hue_deg=3.0,
    ),
    "full": AugmentationStrength(saturation=(0.6, 1.4), hue_deg=8.0),
    "strong": AugmentationStrength(
        rotation_deg=25.0,
        scale=(0.75, 1.3),
        shift=0.12,
        shear=0.15,
        brightness=0.25,
        contrast=(0.5, 1.6),
        erase=0.5,
        vertical_shear=0.1,
        tilt=0.15,
        saturation=(0.3, 1.8),
        hue_deg=15.0,
    ),
}
"""Name -> strength. On grey faces, `full` is identical to the default strength."""
