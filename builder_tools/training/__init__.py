"""Training: one run = a configuration, a folder, and as many sessions as it takes.

The folder holds `config.json` (written once), `last.keras` (network, optimiser and schedule
after the last complete epoch), `history.csv` (one row per epoch) and, if the best epoch is kept,
`best.keras`. Calling `train` again with the same folder resumes where it stopped. The order of
the faces, the augmentation and dropout depend only on seed and epoch, so a run in several
sessions ends with the same weights as one in a single session.

A run has one phase, or several for fine-tuning: first the head on frozen features, then the
last layers of the backbone, each phase with its own optimiser and schedule.
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
