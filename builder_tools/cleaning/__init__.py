"""From raw images to a folder of faces ready for training; the raw images are not changed.

`clean_folder` runs a detector on every image, assigns a status, and writes the faces worth keeping
to a new folder, with a `manifest.csv` that records what happened to every image.
`compare_detectors` runs several detectors on the same images.
"""

from builder_tools.lazy import lazy_names

_PLACES = {
    "STATUSES": "config",
    "CleaningConfig": "config",
    "CleaningReport": "manifest",
    "align_face": "looking",
    "clean_folder": "cleaner",
    "compare_detectors": "comparison",
    "cut_face": "looking",
    "find_faces": "looking",
    "sharpness": "looking",
}
__all__ = list(_PLACES)
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
