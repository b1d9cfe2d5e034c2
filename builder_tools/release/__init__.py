"""From a data set to a shipped model: train, export, evaluate, write the card, add a log entry.

Metrics are measured with the exported file as users run it, on the untouched images of the
split, once, after training has ended.
"""

from builder_tools.release.affect import (
    LABELS,
    VALENCE_AROUSAL,
    format_affect,
    judge_affect,
    labels_of,
    read_label_files,
)
from builder_tools.release.data import load_data
from builder_tools.release.exporting import export_network
from builder_tools.release.finishing import (
    finish_model,
    float32_card,
    judge_and_write,
    quantize_model,
)
from builder_tools.release.joined import cards_to_join, join_models
from builder_tools.release.judging import judge_predicted, metrics_of
from builder_tools.release.labelled_sets import judge_on, labelled_set
from builder_tools.release.log import add_rows, log_experiment, read_rows
from builder_tools.release.predicting import Predicted, Predictions, predict_table
from builder_tools.release.ship import (
    ShippedModel,
    save_figures,
    train_and_ship,
    train_on_table,
)
from builder_tools.release.targets import Teaching

__all__ = [
    "LABELS",
    "VALENCE_AROUSAL",
    "Predicted",
    "Predictions",
    "ShippedModel",
    "Teaching",
    "add_rows",
    "cards_to_join",
    "export_network",
    "finish_model",
    "float32_card",
    "format_affect",
    "join_models",
    "judge_affect",
    "judge_and_write",
    "judge_on",
    "judge_predicted",
    "labelled_set",
    "labels_of",
    "load_data",
    "log_experiment",
    "metrics_of",
    "predict_table",
    "quantize_model",
    "read_label_files",
    "read_rows",
    "save_figures",
    "train_and_ship",
    "train_on_table",
]
