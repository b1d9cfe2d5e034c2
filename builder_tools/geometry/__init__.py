"""The geometry of faces: 478 landmarks, 52 blendshapes and the head pose.

`FaceLandmarker` runs the networks of MediaPipe's `face_landmarker.task` (Apache-2.0) on faces
whose boxes are known and returns a `results.FaceGeometry`. Left and right in names are the
person's own; x, yaw and roll are positive to the right of the image.
"""

from builder_tools.geometry.bundle import BUNDLE_FILE, read_bundle
from builder_tools.geometry.landmarker import FaceLandmarker
from builder_tools.geometry.names import ACTION_UNITS, BLENDSHAPES
from builder_tools.geometry.pose import angles_of, head_pose
from builder_tools.geometry.table import GEOMETRY_COLUMNS, geometry_cells
from builder_tools.results import FaceGeometry, HeadPose

__all__ = [
    "ACTION_UNITS",
    "BLENDSHAPES",
    "BUNDLE_FILE",
    "GEOMETRY_COLUMNS",
    "FaceGeometry",
    "FaceLandmarker",
    "HeadPose",
    "angles_of",
    "geometry_cells",
    "head_pose",
    "read_bundle",
]
