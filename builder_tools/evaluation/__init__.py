"""Evaluation: figures from true labels and probabilities, under named protocols.

`protocols` defines which images count and what their true labels are, `metrics` turns labels and
probabilities into figures with intervals, `judgement` combines both and formats reports, and
`cross_data` evaluates on data sets with other names and classes.
"""

from builder_tools.evaluation.bootstrap import Figure
from builder_tools.evaluation.calibration import RiskCoverage, fit_temperature, risk_coverage
from builder_tools.evaluation.cross_data import (
    CrossJudgement,
    format_cross,
    format_cross_table,
    judge_common,
)
from builder_tools.evaluation.gains import paired_gains
from builder_tools.evaluation.judgement import Judgement, format_report, judge
from builder_tools.evaluation.metrics import (
    Evaluation,
    balanced_decision,
    evaluate,
    expected_calibration_error,
    reliability_bins,
)
from builder_tools.evaluation.protocols import (
    OWN_LABELS,
    PROTOCOLS,
    Kept,
    Protocol,
    fer2013_seven_labels,
    majority_eight_labels,
    majority_seven_labels,
    nine_class_labels,
    own_labels,
    protocol_of,
    protocols_for,
    restrict,
)
from builder_tools.evaluation.regression import (
    Association,
    AxisAgreement,
    RegressionEvaluation,
    concordance,
    concordance_gain,
    evaluate_valence_arousal,
    rank_correlation,
)

__all__ = [
    "OWN_LABELS",
    "PROTOCOLS",
    "Association",
    "AxisAgreement",
    "CrossJudgement",
    "Evaluation",
    "Figure",
    "Judgement",
    "Kept",
    "Protocol",
    "RegressionEvaluation",
    "RiskCoverage",
    "balanced_decision",
    "concordance",
    "concordance_gain",
    "evaluate",
    "evaluate_valence_arousal",
    "expected_calibration_error",
    "fer2013_seven_labels",
    "fit_temperature",
    "format_cross",
    "format_cross_table",
    "format_report",
    "judge",
    "judge_common",
    "majority_eight_labels",
    "majority_seven_labels",
    "nine_class_labels",
    "own_labels",
    "paired_gains",
    "protocol_of",
    "protocols_for",
    "rank_correlation",
    "reliability_bins",
    "restrict",
    "risk_coverage",
]
