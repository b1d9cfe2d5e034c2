"""Training: one run = a configuration, a folder, and as many sessions as it takes.

The folder holds `config.json` (written once), `last.keras` (network, optimiser and schedule
after the last whole epoch), `history.csv` (one row an epoch) and, where the best epoch is kept,
`best.keras`. Calling `train` again with the same folder goes on where it stopped. The order of
the faces, the augmentation and dropout follow from seed and epoch alone, so a run in several
sessions ends with the weights of a run in one.

A run has one phase, or several for fine-tuning: first the head on frozen features, then the
last layers of the backbone, each phase with an optimiser and a schedule of its own.
"""

from builder_tools.lazy import lazy_names

_PLACES = {
    "MONITORS": "config",
    "OPTIMIZERS": "optimizers",
    "SCHEDULES": "optimizers",
    "Samples": "run",
    "Stage": "config",
    "TrainingConfig": "config",
    "TrainingRun": "run",
    "commit_id": "checkpoints",
    "fine_tuning_stages": "config",
    "train": "run",
}
__all__ = list(_PLACES)
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
