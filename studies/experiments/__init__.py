"""Experiments of the study on FER+: planned as data, run one process each, logged in one table.

`screening` compares every network on the same small budget, `ablations` compares one choice at a
time on the compact network. A run that was interrupted goes on from its checkpoint, a run that
stands in the table is not run again.
"""

from studies.experiments.plans import PLANS, Trial
from studies.experiments.schedule import run_plan
from studies.experiments.trial import run_trial

__all__ = ["PLANS", "Trial", "run_plan", "run_trial"]
