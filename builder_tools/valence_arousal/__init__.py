"""Valence and arousal: labels for faces, from manifolds, anchors and votes, and their judgement.

`labeller` is the study's method (ISOMAP), `anchors` what needs no image, `registry` names all
of them, `labels_csv` keeps labels, `validation` and `choice` judge them.
"""

from builder_tools.valence_arousal.anchors import (
    AnchorLabeller,
    vote_entropy,
    vote_shares,
    vote_weighted_anchors,
)
from builder_tools.valence_arousal.labeller import ValenceArousalLabeller
from builder_tools.valence_arousal.labellers import (
    LABELLERS,
    LabellerSpec,
    faces_of,
    label_table,
    labels_for,
    make_labeller,
)
from builder_tools.valence_arousal.labels_csv import labels_by_name, read_labels, write_labels

__all__ = [
    "LABELLERS",
    "AnchorLabeller",
    "LabellerSpec",
    "ValenceArousalLabeller",
    "faces_of",
    "label_table",
    "labels_by_name",
    "labels_for",
    "make_labeller",
    "read_labels",
    "vote_entropy",
    "vote_shares",
    "vote_weighted_anchors",
    "write_labels",
]
