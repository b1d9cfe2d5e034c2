"""Classical models and hybrids on blendshapes: the part of `geometry.py` that fits models.

Classical models are taught on FER+ train (nine classes, default settings). What joins them with a
network is learnt on FER+ valid, which no member was fitted on; its own figure on valid is
cross-validated. The development sets choose nothing but whether a hybrid is worth shipping.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from builder_tools.classical import (
    BlendshapeFeatures,
    NetworkFeatures,
    SoftVoting,
    Stacked,
    cached_features,
    make_features,
    make_pipeline,
)
from builder_tools.classical.models import stratified_folds
from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.datasets.labels import LEFT_OUT, majority_eight_labels, nine_class_labels
from builder_tools.detectors import MediaPipeDetector, face_frame, face_square
from builder_tools.emotions import FERPLUS_EIGHT, NINE_EMOTIONS
from builder_tools.geometry.landmarker import FRAME_TO_WINDOW, IMAGE_TO_WINDOW
from builder_tools.media import read_image
from builder_tools.rest import FLOOR, RestingFace
from builder_tools.results import crop

MODELS = {
    "logistic": ("logistic", {"model__C": 0.1}),
    "logistic, balanced": ("logistic", {"model__C": 0.1, "model__class_weight": "balanced"}),
    "discriminant": ("discriminant", {}),
    "forest": ("forest", {}),
    "boosting": ("boosting", {"reduce": "passthrough"}),
    "boosting, balanced": (
        "boosting",
        {"reduce": "passthrough", "model__class_weight": "balanced"},
    ),
}
"""Name in the report -> name in the registry and settings."""
NETWORKS = ("fast", "accurate")
PARTNERS = ("logistic, balanced", "boosting", "boosting, balanced")
"""Models on blendshapes to combine with networks."""
MOST_LOST = 0.003
NEUTRAL = NINE_EMOTIONS.label("neutral")
RULE = (
    "Rule, stated beforehand: a hybrid is worth shipping if on both development sets it is more "
    f"accurate than its network alone, and on FER+ valid not {100 * MOST_LOST:.1f} points less."
)
CONCLUSION = (
    "What speaks against shipping one: the best of so many is chosen on the sets that judge it, no "
    "interval is clear of zero on both, the gain is a tenth of what a person's own rest gives (and "
    "against a rest the network alone is at least as good, below), and a face then costs the "
    "landmarker's time, a multiple of the network's."
)


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces of one set.

    Args:
        name: Name of the set.
        images: RGB uint8, as the network reads them.
        views: The same faces with as much around them as the landmarker looks at in use.
        labels: Labels into the nine emotions; -1 for faces not judged.
        persons: Person in each image; None if unknown.
        features: Output of `BlendshapeFeatures`, `(n, 57)`.
    """

    name: str
    images: list[np.ndarray] | np.ndarray
    views: list[np.ndarray] | np.ndarray
    labels: np.ndarray
    persons: np.ndarray | None
    features: np.ndarray

    @property
    def is_judged(self) -> np.ndarray:
        return self.labels != LEFT_OUT

    def right(self, scores: np.ndarray) -> np.ndarray:
        """Return whether the best-scoring of the set's own classes is the true one, `(n,)` bool."""
        common = np.unique(self.labels[self.is_judged])
        return common[scores[:, common].argmax(axis=1)] == self.labels

    def neutrals_beside(self, row: int) -> np.ndarray:
        """Return the rows of the other neutral images of the person in an image."""
        same = (self.persons == self.persons[row]) & (self.labels == NEUTRAL)
        return np.flatnonzero(same & (np.arange(len(same)) != row))


def shapes_of(faces: Faces) -> dict[str, np.ndarray]:
    """Return the columns of the features by name."""
    return dict(zip(BlendshapeFeatures().get_feature_names_out(), faces.features.T, strict=True))


@cache
def ferplus_faces(split: str, folder: Path) -> Faces:
    """Return the faces of a split, train with nine classes, others with the majority of eight."""
    part = load_ferplus().split(split)
    if split == "train":
        labels = nine_class_labels(part.votes)
    else:
        eight = majority_eight_labels(part.votes)
        ours = np.array([NINE_EMOTIONS.label(name) for name in FERPLUS_EIGHT])
        labels = np.where(eight == LEFT_OUT, LEFT_OUT, ours[eight])
    features = cached_features(BlendshapeFeatures(), part.images, folder, n_jobs=1)
    rgb = np.repeat(part.images[..., None], 3, axis=3)
    return Faces(f"FER+ {split}", rgb, rgb, labels, None, features)


def read_images(path: Path) -> tuple[list[dict[str, str]], list[np.ndarray]]:
    """Return the rows of `labels.csv` in a zip, and their images."""
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        return rows, [read_image(archive.read(row["file"])) for row in rows]


def dev_faces(name: str, path: Path) -> Faces:
    """Return a development set; posed faces are cut out where the detector finds them."""
    rows, images = read_images(path)
    views = list(images)
    if name == "posed":
        with MediaPipeDetector() as detector:
            for number, image in enumerate(images):
                if found := detector.detect(image):
                    box = found[0].box
                    images[number] = crop(image, face_square(box, detector))
                    view = face_frame(box, detector).scale(FRAME_TO_WINDOW / IMAGE_TO_WINDOW)
                    views[number] = crop(image, view)
    features = np.concatenate([BlendshapeFeatures().transform(view[None]) for view in views])
    labels = np.array([NINE_EMOTIONS.label(row["emotion"]) for row in rows])
    return Faces(name, images, views, labels, np.array([row["person"] for row in rows]), features)


@dataclass(frozen=True)
class Answers:
    """A model's probabilities on FER+ valid and the development sets, `(n, 9)` each."""

    valid: np.ndarray
    dev: list[np.ndarray]
    of_moved: list[np.ndarray] | None = None
    """The same on the development sets with blendshapes shifted by each person's rest."""


def models_section(train: Faces, valid: Faces, dev: list[Faces], folder: Path) -> str:
    """Fit all models and return the section of the report."""
    answers = {name: _of_network(name, valid, dev) for name in NETWORKS}
    answers |= {f"blendshapes: {name}": _of_shapes(name, train, valid, dev) for name in MODELS}
    answers |= _beside_embedding(train, valid, dev, folder)
    hybrids: dict[str, str] = {}
    weights: list[float] = []
    for network in NETWORKS:
        for partner in PARTNERS:
            members = [answers[network], answers[f"blendshapes: {partner}"]]
            name = f"{network} and {partner}, stacked"
            answers[name] = _stacked(members, valid)
            hybrids[name] = network
            weights.append(_partner_weight(members, valid))
            for share in (0.1, 0.2):
                name = f"{1 - share:g} {network} + {share:g} {partner}"
                answers[name] = _mixed(share, *members)
                hybrids[name] = network
    heads = [f"{each.name} ({each.is_judged.sum()})" for each in (valid, *dev)]
    lines = [f"| model | {' | '.join(heads)} | mean recall, {dev[0].name} | {dev[1].name} |"]
    lines.append("|---|---|---|---|---|---|")
    for name, found in answers.items():
        scores = [found.valid, *found.dev]
        accuracies = [_accuracy(f, s) for f, s in zip((valid, *dev), scores, strict=True)]
        recalls = [_mean_recall(f, s) for f, s in zip(dev, found.dev, strict=True)]
        cells = " | ".join(f"{value:.3f}" for value in (*accuracies, *recalls))
        lines.append(f"| {name} | {cells} |")
    return "\n\n".join(
        [
            "## Classical models and hybrids\n\n" + (__doc__ or "").partition("\n\n")[2].strip(),
            "\n".join(lines),
            "Soft voting, whose weights are those of the least cross-entropy on FER+ valid, gives "
            f"models on blendshapes {min(weights):.3f} to {max(weights):.3f}: their probabilities "
            "add next to nothing there.",
            _verdict(answers, hybrids, valid, dev),
            "## Against a person's rest\n\nImages of people with another neutral image, each "
            "judged against those (`RestingFace`, the population's rest measured for each model "
            "on FER+ valid's neutral faces). Moved: blendshapes minus the person's mean neutral "
            "ones plus those of FER+ train. Gain over the same without rest, in points, with 95 % "
            "intervals by bootstrap over people.",
            _rest_table(answers, valid, dev),
        ]
    )


def _of_network(name: str, valid: Faces, dev: list[Faces]) -> Answers:
    classifier = EmotionClassifier(name)
    return Answers(classifier.predict(valid.images), [classifier.predict(f.images) for f in dev])


def _fitted(name: str, learn, features: np.ndarray, labels: np.ndarray):
    model, params = MODELS[name]
    counted = labels != LEFT_OUT
    pipeline = make_pipeline(model, learn=learn, params=params)
    return pipeline.fit(features[counted], labels[counted])


def _of_shapes(name: str, train: Faces, valid: Faces, dev: list[Faces]) -> Answers:
    fitted = _fitted(name, make_features("blendshapes")[1], train.features, train.labels)
    usual = np.nanmean(train.features[train.labels == NEUTRAL], axis=0)
    moved = [fitted.predict_proba(_moved(faces, usual)) for faces in dev]
    plain = [fitted.predict_proba(faces.features) for faces in dev]
    return Answers(fitted.predict_proba(valid.features), plain, moved)


def _moved(faces: Faces, usual: np.ndarray) -> np.ndarray:
    """Return features shifted as if each person's rest, from their other images, were `usual`."""
    moved = faces.features.copy()
    for row in range(len(moved)):
        neutrals = faces.features[faces.neutrals_beside(row)]
        neutrals = neutrals[neutrals[:, -1] == 1]
        if len(neutrals):
            moved[row, :-1] += (usual - neutrals.mean(axis=0))[:-1]
    return moved


def _beside_embedding(train: Faces, valid: Faces, dev: list[Faces], folder: Path) -> dict:
    """Return answers of logistic regressions on the embedding, without and with blendshapes."""
    describer = NetworkFeatures().pinned()
    embedded = [
        cached_features(describer, np.ascontiguousarray(faces.images[..., 0]), folder, n_jobs=1)
        for faces in (train, valid)
    ]
    embedded += [np.concatenate([describer.transform(i[None]) for i in f.images]) for f in dev]
    both = [np.hstack(pair) for pair in zip(embedded, (train.features, valid.features,
            *(f.features for f in dev)), strict=True)]  # fmt: skip
    answers = {}
    for name, numbers in (("embedding of `fast`", embedded), ("embedding and blendshapes", both)):
        fitted = _fitted("logistic", make_features("blendshapes")[1], numbers[0], train.labels)
        told = [fitted.predict_proba(each) for each in numbers[1:]]
        answers[f"{name}: logistic"] = Answers(told[0], told[1:])
    return answers


def _partner_weight(members: list[Answers], valid: Faces) -> float:
    """Return the weight that soft voting gives to the second member."""
    kept = valid.is_judged
    probabilities = np.stack([one.valid[kept] for one in members])
    return float(SoftVoting([]).fit_probabilities(probabilities, valid.labels[kept]).weights_[1])


def _stacked(members: list[Answers], valid: Faces) -> Answers:
    """Return the answers of a stack learnt on valid; those on valid itself are out of fold."""
    hybrid = Stacked([])
    kept = np.flatnonzero(valid.is_judged)
    labels, stacked = valid.labels[kept], np.stack([one.valid for one in members])
    on_valid = stacked[0].astype(float).copy()
    for learn, judge in stratified_folds(labels, 5).split(kept, labels):
        fitted = hybrid.fit_probabilities(stacked[:, kept[learn]], labels[learn])
        on_valid[kept[judge]] = fitted.combine(stacked[:, kept[judge]])
    fitted = hybrid.fit_probabilities(stacked[:, kept], labels)
    dev = [fitted.combine(np.stack(pair)) for pair in zip(*(m.dev for m in members), strict=True)]
    return Answers(on_valid, dev)


def _mixed(share: float, network: Answers, partner: Answers) -> Answers:
    def mix(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (1 - share) * one + share * other

    dev = [mix(*pair) for pair in zip(network.dev, partner.dev, strict=True)]
    return Answers(mix(network.valid, partner.valid), dev)


def _accuracy(faces: Faces, scores: np.ndarray) -> float:
    return float(faces.right(scores)[faces.is_judged].mean())


def _mean_recall(faces: Faces, scores: np.ndarray) -> float:
    right = faces.right(scores)
    labels = np.unique(faces.labels[faces.is_judged])
    return float(np.mean([right[faces.labels == label].mean() for label in labels]))


def _verdict(answers: dict[str, Answers], hybrids: dict[str, str], valid, dev) -> str:
    """Return the hybrids that satisfy the rule, with their gains over the network alone."""
    kept = []
    for name, network in hybrids.items():
        alone, now = answers[network], answers[name]
        lost = _accuracy(valid, alone.valid) - _accuracy(valid, now.valid)
        gains = [
            _accuracy(f, mine) - _accuracy(f, theirs)
            for f, mine, theirs in zip(dev, now.dev, alone.dev, strict=True)
        ]
        if min(gains) > 0 and lost <= MOST_LOST:
            spans = [
                _gain(f, f.right(mine)[f.is_judged], f.right(theirs)[f.is_judged], f.is_judged)
                for f, mine, theirs in zip(dev, now.dev, alone.dev, strict=True)
            ]
            kept.append(f"- {name}: {spans[0]} {dev[0].name}, {spans[1]} {dev[1].name}, "
                        f"{-100 * lost:+.1f} FER+ valid")  # fmt: skip
    head = (
        f"{RULE} Of {len(hybrids)} hybrids these do (gains in points over the network alone, with "
        "95 % intervals by bootstrap over people):"
    )
    return "\n".join([head, "", *(kept or ["- none"]), "", CONCLUSION])


def _gain(faces: Faces, now: np.ndarray, before: np.ndarray, rows: np.ndarray) -> str:
    """Return the mean gain in percentage points with a 95 % bootstrap interval over people."""
    gains, owners = now.astype(float) - before, faces.persons[rows]
    names = np.unique(owners)
    sums = np.array([gains[owners == name].sum() for name in names])
    counts = np.array([(owners == name).sum() for name in names], float)
    drawn = np.random.default_rng(0).integers(0, len(names), (2000, len(names)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return f"{100 * gains.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _rest_table(answers: dict[str, Answers], valid: Faces, dev: list[Faces]) -> str:
    judged = [[r for r in range(len(f.labels)) if len(f.neutrals_beside(r))] for f in dev]
    heads = [f"{f.name} ({len(rows)})" for f, rows in zip(dev, judged, strict=True)]
    lines = [f"| model | {heads[0]} | against rest | gain | {heads[1]} | against rest | gain |"]
    lines.append("|---|---|---|---|---|---|---|")
    calm = valid.labels == NEUTRAL
    for name, found in answers.items():
        logs = np.log(np.maximum(found.valid[calm], FLOOR)).mean(axis=0)
        population = dict(zip(NINE_EMOTIONS, logs.tolist(), strict=True))

        def relative(faces: Faces, scores: np.ndarray, row: int, population=population):
            rest = RestingFace.from_probabilities(
                scores[faces.neutrals_beside(row)], population=population
            )
            return rest.relative(scores[row][None])[0]

        lines.append(_rest_line(name, dev, judged, found.dev, relative))
        if found.of_moved is not None:

            def take(faces: Faces, scores: np.ndarray, row: int, moved=found.of_moved):
                return moved[dev.index(faces)][row]

            lines.append(_rest_line(f"{name}, moved", dev, judged, found.dev, take))
    return "\n".join(lines)


def _rest_line(name: str, dev, judged, scores, compare: Callable) -> str:
    cells = []
    for faces, rows, found in zip(dev, judged, scores, strict=True):
        before = faces.right(found)[rows]
        told = found.copy()
        for row in rows:
            told[row] = compare(faces, found, row)
        now = faces.right(told)[rows]
        cells += [f"{before.mean():.3f}", f"{now.mean():.3f}", _gain(faces, now, before, rows)]
    return f"| {name} | {' | '.join(cells)} |"
