"""Tuning: Bayesian search over the head and training of a network, alone or with workers.

Two functions run it: `tune` searches (or, as chief, hands out trials), and `join_search` runs a
worker. The networks, phases and resuming are those of `builder_tools.training`.
"""

from builder_tools.tuning.distribution import Chief, Worker
from builder_tools.tuning.hypermodel import OBJECTIVES, EmotionHyperModel
from builder_tools.tuning.search import tune
from builder_tools.tuning.space import SearchSpace
from builder_tools.tuning.trials import SearchResult, hyperparameters_of, summarise_trials
from builder_tools.tuning.work import join_search

__all__ = [
    "OBJECTIVES",
    "Chief",
    "EmotionHyperModel",
    "SearchResult",
    "SearchSpace",
    "Worker",
    "hyperparameters_of",
    "join_search",
    "summarise_trials",
    "tune",
]
