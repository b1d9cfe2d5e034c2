"""The study's figures, a module a subject. Each takes `ax=None` (a new figure then) and returns
the axes.

Those of any trained model stand here; `plots.data`, `plots.cleaning`, `plots.balancing`,
`plots.tuning` and `plots.timeline` are imported by name. The latter needs no
more than the extra `[video]`, so what stands here is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["plot_confusion", "plot_reliability", "plot_risk_coverage", "plot_training_curves"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("builder_tools.plots.judging"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
