"""Judging: figures from true labels and probabilities, under named protocols.

`protocols` says which pictures count and what their true label is, `metrics` turns labels and
probabilities into figures with intervals, `report` puts both together and prints them.
"""

from builder_tools.evaluation.metrics import (
    Evaluation,
    Figure,
    apply_decision,
    balanced_decision,
    evaluate,
    expected_calibration_error,
    reliability_bins,
)
from builder_tools.evaluation.protocols import (
    PROTOCOLS,
    Protocol,
    fer2013_seven_labels,
    majority_eight_labels,
    majority_seven_labels,
    nine_class_labels,
    restrict,
)
from builder_tools.evaluation.report import Judgement, format_report, judge

__all__ = [
    "PROTOCOLS",
    "Evaluation",
    "Figure",
    "Judgement",
    "Protocol",
    "apply_decision",
    "balanced_decision",
    "evaluate",
    "expected_calibration_error",
    "fer2013_seven_labels",
    "format_report",
    "judge",
    "majority_eight_labels",
    "majority_seven_labels",
    "nine_class_labels",
    "reliability_bins",
    "restrict",
]
