"""From raw images to a folder of faces fit to train on; the raw images stay as they are.

`clean_folder` looks at every image with a detector, gives it a status, and writes the faces of
those worth keeping to a new folder, with `manifest.csv` telling what became of every image.
`compare_detectors` runs several detectors over the same images.
"""

from builder_tools.cleaning.cleaner import clean_folder
from builder_tools.cleaning.comparison import compare_detectors
from builder_tools.cleaning.config import STATUSES, CleaningConfig
from builder_tools.cleaning.looking import align_face, cut_face, find_faces, sharpness
from builder_tools.cleaning.manifest import CleaningReport

__all__ = [
    "STATUSES",
    "CleaningConfig",
    "CleaningReport",
    "align_face",
    "clean_folder",
    "compare_detectors",
    "cut_face",
    "find_faces",
    "sharpness",
]
