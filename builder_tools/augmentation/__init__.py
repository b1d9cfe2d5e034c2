"""Augmentation as Keras layers, what changes faces before them, and batches for training.

Faces go in and come out as float32 0...255. All layers run in float32 whatever the policy, and
only act when called with `training=True`. The same code runs under each Keras back end.
"""

from builder_tools.augmentation.batches import FaceBatches, FaceSource, balanced_order
from builder_tools.augmentation.degrading import DEGRADATIONS, degrade_faces
from builder_tools.augmentation.layers import (
    RandomColour,
    RandomFaceAffine,
    RandomFaceErasing,
    RandomLight,
)
from builder_tools.augmentation.mixing import mix_faces
from builder_tools.augmentation.model import (
    augmentation_model,
    with_augmentation,
)
from builder_tools.augmentation.strength import AUGMENTATIONS, AugmentationStrength

__all__ = [
    "AUGMENTATIONS",
    "DEGRADATIONS",
    "AugmentationStrength",
    "FaceBatches",
    "FaceSource",
    "RandomColour",
    "RandomFaceAffine",
    "RandomFaceErasing",
    "RandomLight",
    "augmentation_model",
    "balanced_order",
    "degrade_faces",
    "mix_faces",
    "with_augmentation",
]
