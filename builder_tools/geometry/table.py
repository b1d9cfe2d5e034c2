"""The geometry of faces as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder_tools.geometry.names import BLENDSHAPES

MEASURES = ("yaw_deg", "pitch_deg", "roll_deg", "eyes_open", "mouth_open", "presence")
REASONS = ("no_geometry", "doubtful_because")
GEOMETRY_COLUMNS = (*MEASURES, *BLENDSHAPES, *REASONS)
"""Head pose, openness, the landmarker's confidence and blendshapes; why these are missing, and why
the emotion is doubtful."""


def geometry_cells(face: Mapping[str, Any]) -> list[Any]:
    """Return the cells of `GEOMETRY_COLUMNS`, None for those without a value.

    Args:
        face: The result of `FaceEmotion.to_dict()`.
    """
    reasons = [face.get(name) or None for name in REASONS]
    found = face.get("geometry")
    if found is None:
        return [*[None] * (len(MEASURES) + len(BLENDSHAPES)), *reasons]
    measures = [found[name] for name in MEASURES]
    return [*measures, *(found["blendshapes"][name] for name in BLENDSHAPES), *reasons]
