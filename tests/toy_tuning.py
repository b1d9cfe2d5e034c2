"""A toy of a search: faces, a space, a hypermodel of seconds, and one that trains nothing."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("keras_tuner")

from toy_study import pattern, tiny_spec

from builder_tools.networks import NETWORKS
from builder_tools.training import Samples
from builder_tools.tuning import EmotionHyperModel, SearchSpace

SMALL = {"epochs": 2, "batch_size": 16, "precision": "float32"}
SPACE = SearchSpace(dense_layers=(0, 1), dense_width=(8, 16), learning_rate=(1e-3, 2e-2))


def toy_samples(count: int, seed: int, classes: int = 3) -> Samples:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = np.stack([pattern(int(label), 16, rng) for label in labels])
    return Samples(images, np.eye(3, dtype=np.float32)[labels])


TRAIN, VALID = toy_samples(48, 0), toy_samples(24, 1)


class Imagined(EmotionHyperModel):
    """Trains nothing: the score is best at a learning rate of 0.003 without dropout."""

    def __init__(
        self, *, failing=(), error: type[Exception] = MemoryError, space=SPACE, **options
    ) -> None:
        super().__init__("tiny", 3, space=space, **SMALL, **options)
        self.failing, self.error, self.calls = failing, error, 0

    def fit(self, hp, model, train, valid, *, monitor, folder, callbacks=()):
        self.calls += 1
        if self.calls in self.failing:
            raise self.error("no room for that")
        config = self.config(hp)
        score = 0.9 - 0.2 * np.log10(config.learning_rate / 3e-3) ** 2 - 0.3 * config.head.dropout
        figures = {"val_accuracy": score, "val_macro_f1": score - 0.1, "val_loss": 1 - score}
        return {**figures, "best_epoch": 1, "epochs": 2, "seconds": 3.0, "parameters": 99}


def toy_hypermodel(**options) -> EmotionHyperModel:
    return EmotionHyperModel("tiny", 3, space=SPACE, **{**SMALL, **options})


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", tiny_spec(16))
        yield
