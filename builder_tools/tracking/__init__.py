"""Who is who over time: face identities through a video, and emotions that do not flicker.

Light enough for every stream: numpy only. `FaceTracker` identifies the faces, `EmotionSmoother`
smooths their emotions, `RestTracker` compares these with each person's rest, and `score_tracks`
evaluates a tracker against ground truth.
"""

from builder_tools.tracking.flicker import label_changes_per_minute
from builder_tools.tracking.resting import RestTracker
from builder_tools.tracking.scores import TrackScores, score_tracks
from builder_tools.tracking.smoothing import EmotionSmoother, SteadyEmotion
from builder_tools.tracking.tracker import FaceTracker, TrackEvent

__all__ = [
    "EmotionSmoother",
    "FaceTracker",
    "RestTracker",
    "SteadyEmotion",
    "TrackEvent",
    "TrackScores",
    "label_changes_per_minute",
    "score_tracks",
]
