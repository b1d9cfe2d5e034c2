"""From raw images to a folder of faces fit to train on; the raw images stay as they are.

`clean_folder` looks at every image with a detector, gives it a status, and writes the faces of
those worth keeping to a new folder, with `manifest.csv` telling what became of every image.
`compare_detectors` runs several detectors over the same images.
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
