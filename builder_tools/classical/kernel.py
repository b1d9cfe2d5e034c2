"""An approximation of the RBF kernel (Williams and Seeger, 2000)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.kernel_approximation import Nystroem


class QuietNystroem(Nystroem):
    """`Nystroem` that silently uses the whole kernel if there are fewer rows than components."""

    def fit(self, X: np.ndarray, y: Any = None) -> QuietNystroem:
        """Choose the rows that the kernel is approximated with."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="n_components > n_samples")
            return super().fit(X, y)
