"""Classical machine learning on faces, alone and combined with networks.

`FEATURES` turn faces into numbers, `MODELS` turn numbers into probabilities, `hybrids` combine
them with networks, and `save_model` writes any of them to a folder that `EmotionClassifier` opens.
"""

from builder_tools.classical.blendshapes import BlendshapeFeatures
from builder_tools.classical.cache import cached_features, features_key
from builder_tools.classical.eigenfaces import MainDirections
from builder_tools.classical.embeddings import DlibEmbeddingFeatures, NetworkFeatures
from builder_tools.classical.face_features import FaceFeatures
from builder_tools.classical.features import FEATURES, FeatureSpec, make_features
from builder_tools.classical.hybrids import DeepModel, SoftVoting, Stacked, out_of_fold
from builder_tools.classical.landmarks import KeypointFeatures, LandmarkFeatures, face_geometry
from builder_tools.classical.models import MODELS, ModelSpec, make_pipeline, with_probabilities
from builder_tools.classical.sampling import SAMPLERS
from builder_tools.classical.search import search_params
from builder_tools.classical.storage import face_model, load_model, save_model
from builder_tools.classical.texture import GaborFeatures, HogFeatures, LbpFeatures, PixelFeatures

__all__ = [
    "FEATURES",
    "MODELS",
    "SAMPLERS",
    "BlendshapeFeatures",
    "DeepModel",
    "DlibEmbeddingFeatures",
    "FaceFeatures",
    "FeatureSpec",
    "GaborFeatures",
    "HogFeatures",
    "KeypointFeatures",
    "LandmarkFeatures",
    "LbpFeatures",
    "MainDirections",
    "ModelSpec",
    "NetworkFeatures",
    "PixelFeatures",
    "SoftVoting",
    "Stacked",
    "cached_features",
    "face_geometry",
    "face_model",
    "features_key",
    "load_model",
    "make_features",
    "make_pipeline",
    "out_of_fold",
    "save_model",
    "search_params",
    "with_probabilities",
]
