"""The study's figures, a module a subject. Each takes `ax=None` (a new figure then) and returns
the axes.

Those of any trained model stand here; `plots.data`, `plots.cleaning`, `plots.balancing`,
`plots.tuning` and `plots.experiments` are imported by name.
"""

from builder_tools.plots.judging import (
    plot_confusion,
    plot_reliability,
    plot_risk_coverage,
    plot_training_curves,
)

__all__ = ["plot_confusion", "plot_reliability", "plot_risk_coverage", "plot_training_curves"]
