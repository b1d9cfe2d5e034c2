"""Public names for type checkers, which do not follow names that are loaded lazily."""

from builder_tools.balancing import FaceSMOTE as FaceSMOTE
from builder_tools.classifier import EmotionClassifier as EmotionClassifier
from builder_tools.detectors.mediapipe import MediaPipeDetector as MediaPipeDetector
from builder_tools.drawing import DrawBox as DrawBox
from builder_tools.emotions import EmotionSet as EmotionSet
from builder_tools.inference import Inference as Inference
from builder_tools.rest import RestingFace as RestingFace
from builder_tools.tuning import EmotionHyperModel as EmotionHyperModel
from builder_tools.valence_arousal import ValenceArousalLabeller as ValenceArousalLabeller

__all__ = [
    "DrawBox",
    "EmotionClassifier",
    "EmotionHyperModel",
    "EmotionSet",
    "FaceSMOTE",
    "Inference",
    "MediaPipeDetector",
    "RestingFace",
    "ValenceArousalLabeller",
]

__version__: str
