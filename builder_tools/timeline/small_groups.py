"""How wide the 95 % interval of a mean is, also of a few values.

The standard error of a few values is itself uncertain: Student's t says by how much the interval
is wider than that of a normal distribution.
"""

from __future__ import annotations

import numpy as np

_TERMS = (1.95996, 2.37228, 2.82250, 2.55585, 1.58953, 1.40608)
"""Student's t by powers of 1 / degrees of freedom (Abramowitz and Stegun, 1964, 26.7.5, at 0.975);
the last is such that two values have the right one. None is off by more than 0.3 %."""


def standard_errors(count: np.ndarray | int) -> np.ndarray:
    """Return how many standard errors the 95 % interval of a mean reaches to either side.

    Args:
        count: How many values the mean is of, each >= 2.
    """
    return np.polynomial.polynomial.polyval(1 / (np.asarray(count, float) - 1), _TERMS)


def widening(count: int) -> float:
    """Return the factor, > 1, by which the middle 95 % of a bootstrapped mean is too narrow.

    Resamples of n values vary as if the variance were (n - 1) / n of what it is, and like a normal
    distribution (Hesterberg, 2015, "What Teachers Should Know About the Bootstrap", The American
    Statistician 69).

    Args:
        count: How many values the mean is of, >= 2.
    """
    return float(standard_errors(count)) / _TERMS[0] * (count / (count - 1)) ** 0.5
