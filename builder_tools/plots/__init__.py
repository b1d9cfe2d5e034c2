"""The study's figures. Each takes `ax=None` (a new figure then) and returns the axes."""

from builder_tools.plots.judging import plot_confusion, plot_reliability, plot_training_curves

__all__ = ["plot_confusion", "plot_reliability", "plot_training_curves"]
