"""Valence and arousal: labels for faces, from manifolds, anchors and votes.

`labeller` is the study's method (ISOMAP), `anchors` has the methods that need no image,
`labellers` is the registry of all of them, and `labels_csv` stores labels.
"""

from builder_tools.lazy import lazy_names

_PLACES = {
    "LABELLERS": "labellers",
    "AnchorLabeller": "anchors",
    "LabellerSpec": "labellers",
    "ValenceArousalLabeller": "labeller",
    "faces_of": "labellers",
    "labels_by_name": "labels_csv",
    "labels_for": "labellers",
    "make_labeller": "labellers",
    "read_labels": "labels_csv",
    "vote_entropy": "anchors",
    "vote_shares": "anchors",
    "vote_weighted_anchors": "anchors",
    "write_labels": "labels_csv",
}
__all__ = list(_PLACES)
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
