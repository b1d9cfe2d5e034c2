"""The study's figures, one module per subject.

Each function takes `ax=None` (for a new figure) and returns the axes. The figures of any trained
model are available here; `plots.data`, `plots.cleaning`, `plots.balancing`, `plots.tuning`,
`plots.valence_arousal` and `plots.timeline` are imported by name. The last needs only the extra
`[video]`, so the figures here are loaded on first access.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["plot_confusion", "plot_reliability", "plot_risk_coverage", "plot_training_curves"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("builder_tools.plots.judging"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
