"""What a backbone knows about emotions before it is taught any: a linear probe of its features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from builder_tools.datasets.labels import LEFT_OUT, majority_eight_labels
from builder_tools.datasets.table import ImageTable
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.evaluation import PROTOCOLS
from builder_tools.media import resize_faces
from builder_tools.networks import build_network
from studies.trials import JUDGED, figures_on

FACES = 10_000
"""Training faces of a probe, drawn with seed 0: the same for every network."""
STRENGTH = 0.01
"""`C` of the logistic regression: thousands of features need a strong prior. Not tuned."""
CHUNK = 512


def linear_probe(
    network: str, weights: str | Path | None, size: int, train: ImageTable, valid: ImageTable
) -> dict[str, Any]:
    """Return the figures of a logistic regression on the pooled features of a frozen backbone.

    Args:
        network: Name in `NETWORKS`.
        weights: Weights of its backbone, as for `build_network`; None for random ones of seed 0.
        size: Side that faces are resized to, px.
        train: Training faces of FER+; drawn from those with a majority emotion.
        valid: Faces of FER+ that it is judged on, majority-8.

    Returns:
        `accuracy`, `accuracy_95`, `macro_f1`, `mean_recall` and recall by emotion.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    keras.utils.set_random_seed(0)
    whole = build_network(network, len(FERPLUS_EIGHT), size, weights=weights)
    embed = keras.Model(whole.input, whole.get_layer("dropout").input)
    labels = majority_eight_labels(train.votes)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(labels != LEFT_OUT))[:FACES]
    rows.sort()
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=300))
    classifier.fit(_features(embed, train.images[rows], size), labels[rows])
    found = np.zeros((len(valid), len(FERPLUS_EIGHT)))
    found[:, classifier.classes_] = classifier.predict_proba(_features(embed, valid.images, size))
    return figures_on(PROTOCOLS[JUDGED["eight"]], valid, found, FERPLUS_EIGHT)


def _features(embed: keras.Model, images: np.ndarray, size: int) -> np.ndarray:
    """Return the features of faces, `(n, k)` float32."""
    chunks = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    found = [embed.predict(resize_faces(chunk, size), verbose=0) for chunk in chunks]
    return np.concatenate(found).astype(np.float32)
