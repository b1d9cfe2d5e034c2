"""The registry of features, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sklearn.base import TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion

from builder_tools.classical.blendshapes import BlendshapeFeatures
from builder_tools.classical.embeddings import DlibEmbeddingFeatures, NetworkFeatures
from builder_tools.classical.face_features import FaceFeatures
from builder_tools.classical.landmarks import KeypointFeatures, LandmarkFeatures
from builder_tools.classical.texture import (
    GaborFeatures,
    HogFeatures,
    LbpFeatures,
    PixelFeatures,
)

JOINED = "+"
"""Separates the names of features that are used together: `hog+landmarks`."""


@dataclass(frozen=True)
class FeatureSpec:
    """An entry of the registry.

    Args:
        describe: Makes the describer, which learns nothing from the faces.
        description: One line for help and tables.
        learn: Makes the transformers after it that do learn, with their step names; they are
            fitted with the model, inside every fold.
        extra: The extra of `pip install 'builder-tools[...]'` that it needs, or "".
    """

    describe: Callable[[], FaceFeatures]
    description: str
    learn: Callable[[], list[tuple[str, Any]]] = list
    extra: str = ""


def impute() -> SimpleImputer:
    """Return an imputer that replaces missing features of faces by their medians.

    The feature `found` stays 0 for these faces, so a model can tell them apart.
    """
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _imputing() -> list[tuple[str, Any]]:
    return [("impute", impute())]


def _eigenfaces() -> list[tuple[str, Any]]:
    from builder_tools.classical.eigenfaces import MainDirections

    return [("eigenfaces", MainDirections())]


FEATURES: dict[str, FeatureSpec] = {
    "hog": FeatureSpec(HogFeatures, "histograms of oriented gradients, 8 px cells"),
    "lbp": FeatureSpec(LbpFeatures, "uniform local binary patterns on a 6 x 6 grid"),
    "gabor": FeatureSpec(GaborFeatures, "Gabor energies, 4 scales x 8 directions, 6 x 6 grid"),
    "eigenfaces": FeatureSpec(
        PixelFeatures, "the 150 main directions of the pixels", learn=_eigenfaces
    ),
    "landmarks": FeatureSpec(
        LandmarkFeatures, "geometry of dlib's 68 landmarks", learn=_imputing, extra="dlib"
    ),
    "landmarks5": FeatureSpec(
        lambda: LandmarkFeatures(num_points=5),
        "geometry of dlib's 5 landmarks",
        learn=_imputing,
        extra="dlib",
    ),
    "keypoints": FeatureSpec(
        KeypointFeatures, "geometry of MediaPipe's 6 key points", learn=_imputing
    ),
    "blendshapes": FeatureSpec(
        BlendshapeFeatures,
        "MediaPipe's 52 blendshapes and where the head is turned",
        learn=_imputing,
        extra="geometry",
    ),
    "network": FeatureSpec(
        lambda: NetworkFeatures().pinned(), "the shipped network before its last layer"
    ),
    "dlib_embedding": FeatureSpec(
        DlibEmbeddingFeatures, "dlib's face embedding, made to tell people apart", extra="dlib"
    ),
}
"""Name -> features."""


def make_features(name: str) -> tuple[TransformerMixin, list[tuple[str, Any]]]:
    """Return the describer of the named features, and the steps after it that learn.

    Args:
        name: Name in `FEATURES`, or several joined by `+`.

    Raises:
        ValueError: If a name is not in the registry or is repeated, or eigenfaces are joined with
            others.
    """
    names = check_features(name)
    if len(names) == 1:
        spec = FEATURES[name]
        return spec.describe(), spec.learn()
    learning = {step: one for each in names for step, one in FEATURES[each].learn()}
    if "eigenfaces" in learning:
        raise ValueError(f"Expected features to join without eigenfaces. Received: {name!r}.")
    union = FeatureUnion([(each, FEATURES[each].describe()) for each in names])
    return union, list(learning.items())


def check_features(name: str) -> list[str]:
    """Return the names that a name of features is joined from.

    Raises:
        ValueError: If one is not in the registry or is repeated.
    """
    names = name.split(JOINED)
    if not set(names) <= set(FEATURES) or len(set(names)) < len(names):
        raise ValueError(
            f"Expected features of {sorted(FEATURES)}, joined by '+'. Received: {name!r}."
        )
    return names
