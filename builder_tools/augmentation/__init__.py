"""Augmentation as Keras layers, changes applied to faces before them, and batches for training.

Faces go in and come out as float32 0...255. All layers run in float32 whatever the policy, and
only act when called with `training=True`. The same code runs on every Keras backend.
"""

from builder_tools.lazy import lazy_names

_PLACES = {
    "AUGMENTATIONS": "strength",
    "DEGRADATIONS": "degrading",
    "AugmentationStrength": "strength",
    "FaceBatches": "batches",
    "FaceSource": "batches",
    "RandomColour": "layers",
    "RandomFaceAffine": "layers",
    "RandomFaceErasing": "layers",
    "RandomLight": "layers",
    "augmentation_model": "model",
    "balanced_order": "batches",
    "degrade_faces": "degrading",
    "mix_faces": "mixing",
    "with_augmentation": "model",
}
__all__ = list(_PLACES)
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
