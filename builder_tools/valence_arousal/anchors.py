"""Labels that need no image: an emotion's anchor, and the expected anchor of votes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from builder_tools.datasets.ferplus import vote_distribution
from builder_tools.datasets.labels import vote_counts
from builder_tools.emotions import NINE_EMOTIONS, EmotionSet

MOST_OFF = 0.05
"""How far the sum of a face's shares may be from 1."""


class AnchorLabeller(BaseEstimator):
    """Places every face at the anchor of its emotion, or at the weighted mean of several.

    With hard labels, this is the simplest possible labeller: one place per class. With shares, it
    returns the expected anchor.

    Args:
        emotions: The classes, in label order.

    Attributes:
        anchors_: `(k, 2)` valence and arousal.
    """

    def __init__(self, *, emotions: EmotionSet = NINE_EMOTIONS) -> None:
        self.emotions = emotions

    def fit(self, images=None, labels: np.ndarray | None = None) -> AnchorLabeller:
        """Take the anchors of the emotions; images and labels are ignored.

        Raises:
            ValueError: If an emotion has no anchor; names it.
        """
        anchors = self.emotions.anchors
        unknown = [n for n, row in zip(self.emotions, anchors, strict=True) if np.isnan(row).any()]
        if unknown:
            raise ValueError(f"Expected emotions with anchors. Received: {unknown} without.")
        self.anchors_ = anchors
        return self

    def transform(self, images, labels: np.ndarray | None = None) -> np.ndarray:
        """Return valence and arousal, `(n, 2)` float64.

        Args:
            images: Ignored.
            labels: `(n,)` int labels, or `(n, k)` shares of the classes that sum to 1.

        Raises:
            ValueError: If there are no labels, one is none of the classes (-1, say), or a row holds
                no shares: at least 0, with a sum of 1 to within 0.05.
        """
        if labels is None:
            raise ValueError(
                "Expected labels: anchors follow from them, not from images. Received: None."
            )
        found, k = np.asarray(labels), len(self.anchors_)
        if found.ndim == 1:
            is_right = found.dtype.kind in "iu" and ((found >= 0) & (found < k)).all()
        else:
            is_right = found.shape[1:] == (k,) and bool((found >= 0).all())
            is_right = is_right and (np.abs(found.sum(axis=1) - 1) <= MOST_OFF).all()
        if not is_right:
            raise ValueError(
                f"Expected labels 0...{k - 1}, whole numbers, or shares (n, {k}): at least 0, with "
                f"a sum of 1 in each row. Received: shape {found.shape}, of {found.dtype}, the "
                f"first {found[:1].tolist()}. Leave out the images labelled -1, and divide counts "
                "by their sum."
            )
        return self.anchors_[found] if found.ndim == 1 else found @ self.anchors_

    def fit_transform(self, images, labels: np.ndarray) -> np.ndarray:
        """Return `fit(images, labels).transform(images, labels)`."""
        return self.fit(images, labels).transform(images, labels)


def vote_shares(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the shares of FER+'s votes, `(n, 9)` in `NINE_EMOTIONS` order.

    Votes for `unknown` count as `uncertain`.

    Args:
        votes: `(n, 10)` counts, or a table; see `datasets.labels.vote_counts`. Single votes and
            votes for "no face" are dropped.
    """
    return vote_distribution(votes, no_majority_uncertain=0.0).astype(np.float64)


def vote_weighted_anchors(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the expected anchor of each face, weighted by its votes, `(n, 2)` float64.

    This is the study's reference: it knows what ten people saw, but nothing about pixels or
    manifolds. It is not a rating of valence and arousal, as none exists for FER+.

    Args:
        votes: `(n, 10)` counts, or a table; see `datasets.labels.vote_counts`.
    """
    return AnchorLabeller().fit().transform(None, vote_shares(votes))


def vote_entropy(votes: np.ndarray | pd.DataFrame) -> np.ndarray:
    """Return the annotators' disagreement, `(n,)`: the entropy of vote shares in bits, 0 if none.

    Single votes count here, as they are disagreement, too. Votes for "no face" do not.

    Args:
        votes: `(n, 10)` counts, or a table; see `datasets.labels.vote_counts`.
    """
    counts = vote_counts(votes)[:, :-1]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1) + 0.0
