"""What every row of the table needs: faces, labels, features, and the deep model's predictions."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.cards import file_sha256, find_model
from builder_tools.classical.cache import cached_features, is_cached
from builder_tools.classical.face_features import FACE_PX
from builder_tools.classical.features import make_features
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.identity import data_sha256, names_also_in_train
from builder_tools.datasets.made_images import kin_of
from builder_tools.datasets.sampling import draw_by_class
from builder_tools.datasets.table import SPLITS, ImageTable
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation import (
    PROTOCOLS,
    Judgement,
    Protocol,
    judge,
    own_labels,
    protocols_for,
)
from builder_tools.media.partial import kept_array, replacing
from builder_tools.release.predicting import predict_table

LEAST_FACES = 6
"""Least number of faces per class in a part of the training faces, if the class has as many."""

TABLE_PROTOCOLS = {"eight": "ferplus-majority-8", "nine": "ferplus-nine"}
"""Prefix of a column -> protocol, for data with votes."""

REMEMBERED = 4
"""Feature arrays kept in memory: two splits of two feature sets."""


class StudyFaces:
    """A data set prepared for the table.

    Args:
        table: The data set, split.
        folder: Where features, models and answers are kept.
        deep: Name or folder of the model that all others are compared with.
        seed: Seed for everything random: faces, searches, models.
        n_jobs: Number of processes, as in joblib.
    """

    def __init__(
        self,
        table: ImageTable,
        folder: str | Path,
        *,
        deep: str = "fast",
        seed: int = 0,
        n_jobs: int = -1,
    ) -> None:
        self.table = table
        self.folder = Path(folder)
        self.deep = deep
        self.seed = seed
        self.n_jobs = n_jobs
        self.parts = {split: table.split(split) for split in SPLITS}
        self._features = lru_cache(REMEMBERED)(self._describe)

    @property
    def emotions(self) -> EmotionSet:
        return self.table.emotions

    @cached_property
    def faces(self) -> dict[str, np.ndarray]:
        """Split -> faces `(n, H, W[, 3])` uint8."""
        return {split: _stack(part) for split, part in self.parts.items()}

    @cached_property
    def data_sha256(self) -> str:
        """Hash that identifies the data."""
        return data_sha256(self.table)

    @cached_property
    def duplicates(self) -> frozenset[str]:
        """Names of the images of valid and test that also occur in train."""
        return names_also_in_train(self.table)

    def labels(self, split: str) -> np.ndarray:
        """Return the labels of a split, `(n,)`."""
        return self.parts[split].labels

    def kin(self, split: str, rows: np.ndarray | None = None) -> np.ndarray | None:
        """Return the groups that faces of a split come from, for folds (`kin_of`)."""
        part = self.parts[split]
        rows = np.arange(len(part)) if rows is None else rows
        paths, persons = part.table["path"].to_numpy(object), part.persons
        return kin_of(paths[rows].tolist(), None if persons is None else persons[rows].tolist())

    def features(self, name: str, split: str) -> np.ndarray:
        """Return the features of all faces of a split, `(n, d)` float32."""
        return self._features(name, split)

    def some_features(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the features of some training faces, computing no others.

        If half of the split or more is wanted, the whole split is computed and kept for the next
        row.
        """
        faces = self.faces["train"]
        describer, _ = make_features(name)
        if 2 * len(rows) >= len(faces) or is_cached(describer, faces, self._cache):
            return self.features(name, "train")[rows]
        return cached_features(describer, faces[rows], self._cache, n_jobs=self.n_jobs)

    def deep_probabilities(self, split: str) -> np.ndarray:
        """Return the deep model's probabilities on a split, `(n, k)`; cached on disk by hash."""
        model = find_model(self.deep)
        key = f"deep-{file_sha256(model / 'card.json')[:16]}-{self.data_sha256[:16]}-{split}"
        path = self._cache / f"{key}.npy"
        found = kept_array(path, (len(self.labels(split)), None))
        if found is None:
            found = predict_table(EmotionClassifier(self.deep), self.parts[split])
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial, partial.open("wb") as file:
                np.save(file, found)
        return np.array(found)

    def model_folder(self, key: str) -> Path:
        """Return the folder of a row's model."""
        return self.folder / f"seed-{self.seed}" / "models" / key

    def answers_file(self, key: str) -> Path:
        """Return the file of a row's probabilities on valid, before temperature scaling."""
        return self.folder / f"seed-{self.seed}" / "answers" / f"{key}.npy"

    def training_rows(self, fraction: float) -> np.ndarray:
        """Return the rows of a part of the training faces; larger parts include smaller ones."""
        labels = self.labels("train")
        if fraction == 1:
            return np.arange(len(labels))
        sizes = np.bincount(labels, minlength=len(self.emotions))
        counts = np.maximum(np.rint(fraction * sizes), LEAST_FACES).astype(int)
        return draw_by_class(labels, counts, np.random.default_rng(self.seed))

    @property
    def protocols(self) -> dict[str, Protocol]:
        """Prefix of a column -> protocol."""
        if self.table.votes is not None:
            return {prefix: PROTOCOLS[name] for prefix, name in TABLE_PROTOCOLS.items()}
        return {"own": own_labels(self.emotions)}

    def judge(self, probabilities: np.ndarray) -> dict[str, Judgement]:
        """Judge probabilities `(n, k)` of valid: prefix of a column -> judgement."""
        return {
            prefix: judge(
                protocol,
                self.parts["valid"].table,
                probabilities,
                self.emotions,
                duplicates=self.duplicates,
            )
            for prefix, protocol in self.protocols.items()
        }

    def metrics(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Return the figures on valid for a model card, as from `evaluate`: protocol -> figures."""
        part = self.parts["valid"]
        return {
            protocol.name: judge(
                protocol, table, probabilities, self.emotions, duplicates=self.duplicates
            ).to_dict()
            for protocol, table in protocols_for(part, self.emotions)
        }

    def decided(self, prefix: str, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return true and predicted labels of the faces of valid that a protocol keeps."""
        protocol = self.protocols[prefix]
        kept = protocol.apply(self.parts["valid"].table, probabilities, self.emotions)
        return kept.labels, kept.probabilities.argmax(axis=1)

    @property
    def _cache(self) -> Path:
        return self.folder / "features"

    def _describe(self, name: str, split: str) -> np.ndarray:
        describer, _ = make_features(name)
        return cached_features(describer, self.faces[split], self._cache, n_jobs=self.n_jobs)


def _stack(part: ImageTable) -> np.ndarray:
    rows = part.table["index"].to_numpy(np.int64)
    if part.images is not None and (rows >= 0).all():
        return part.images[rows]
    return part.resized(FACE_PX)[:]
