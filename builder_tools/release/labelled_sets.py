"""Models evaluated on data sets they have never seen, on whole images or through a detector."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from builder_tools.classifier import EmotionClassifier
from builder_tools.datasets.labelled import list_labelled, load_labelled
from builder_tools.datasets.table import ImageTable
from builder_tools.decisions import apply_decision, read_outputs
from builder_tools.emotions import EmotionSet, own_word
from builder_tools.evaluation import CrossJudgement, judge_common
from builder_tools.inference import Inference
from builder_tools.persons import persons_by_pattern
from builder_tools.release.predicting import predict_table
from builder_tools.rest import relative_by_person

_logger = logging.getLogger(__name__)

ALL = "all"


@dataclass(frozen=True)
class LabelledSet:
    """Images for evaluation.

    Args:
        name: Name of the set.
        images: The images, with the column `person` if known; intervals are then drawn over people.
        compared: Whether each face is compared with its person's rest.
    """

    name: str
    images: ImageTable
    compared: bool = False


def labelled_set(
    source: str | Path,
    *,
    split: str | None = None,
    classes: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    person: str | None = None,
) -> LabelledSet:
    """Read a labelled folder, table or zip for evaluation.

    Args:
        source: See `datasets.labelled.list_labelled`.
        split: train, valid, test or "all"; None: test if the set has its own, else all.
        classes: Word -> class.
        columns: Names of the columns of a table.
        person: Who is in each image, if faces are to be compared with their person's rest: a
            column of the table; or a regular expression with a group in parentheses, searched for
            in the images' names (`(..)\\.` or `/(\\w+)/`).

    Raises:
        ValueError: If the split has no images, or no person is found in any.
    """
    if person is not None and "(" not in person:
        columns = {**(columns or {}), "person": person}
    table = list_labelled(source, classes=classes, columns=columns)
    own = set(table.table["split"])
    if split is None:
        split = "test" if "test" in own else ALL
    if split != ALL and "" in own:
        table = load_labelled(source, classes=classes, columns=columns)
    part = table if split == ALL else table.split(split)
    if not len(part):
        raise ValueError(f"Expected images in the split {split!r} of {source}. There are none.")
    if person is not None and "(" in person:
        part = replace(
            part, table=part.table.assign(person=persons_by_pattern(part.table["name"], person))
        )
    if person is not None and not ("person" in part.table and part.table["person"].any()):
        raise ValueError(
            f"Expected persons of {source} by {person!r}. Received: none. Give the column of a "
            "table of labels, or a regular expression with one group, such as '/(\\w+)-[0-9]+'."
        )
    return LabelledSet(Path(source).name, part, compared=person is not None)


def judge_on(
    model: str | Path | EmotionClassifier,
    sets: Sequence[LabelledSet],
    *,
    detector: str | None = None,
    decision: str = "natural",
) -> list[CrossJudgement]:
    """Evaluate a model on labelled sets, each on the classes that both have in common.

    Images that cannot be read are left out, and reported in the judgement. If the model learnt from
    labelled folders, whose images its card does not list, sets that are not all test are warned of.

    Args:
        model: A model's name or folder, or a loaded model, whose own decision does not matter.
        sets: As returned by `labelled_set`.
        detector: Name of a detector, whose largest face is classified, framed as in use (the
            whole image if it finds none); None classifies whole images.
        decision: natural, or balanced by the biases in the card. In sets to be `compared`, faces
            are first compared with their person's rest (`rest.relative_by_person`).

    Raises:
        ValueError: If a set shares no class with the model, or the card holds no biases.
    """
    classifier = model if isinstance(model, EmotionClassifier) else EmotionClassifier(model)
    biases = classifier.card.decision
    if decision == "balanced" and not biases:
        raise ValueError(
            f"Expected a model with a balanced decision. The card of {classifier.card.name!r} "
            "holds none; leave out the decision."
        )
    k = len(classifier.emotions)
    for each in sets:
        # Reject sets without a common class before hours of reading.
        words = each.images.table["emotion"].tolist()
        blank = np.full((len(words), k), 1 / k)
        judge_common(each.name, words, blank, classifier.emotions)
        if classifier.card.training.get("data") == "folders":
            _warn_of_learnt(classifier.card.name, each)
    judged = []
    for whole in sets:
        images, unreadable = whole.images.readable()
        if not len(images):
            raise ValueError(
                f"Expected images of {whole.name} that can be read. Received: "
                f"{'; '.join(list(unreadable.values())[:3])}"
            )
        each = replace(whole, images=images)
        words = images.table["emotion"].tolist()
        probabilities, found = predict_table(classifier, each.images), None
        if detector is not None:
            probabilities, found = _through_detector(classifier, detector, each, probabilities)
        persons = images.persons
        if each.compared:
            calm = np.array([own_word(word) == "neutral" for word in words])
            probabilities = relative_by_person(probabilities, classifier.emotions, persons, calm)
        if decision == "balanced":
            probabilities = apply_decision(probabilities, classifier.emotions, biases)
        one = judge_common(
            each.name, words, probabilities, classifier.emotions, groups=persons, found=found
        )
        judged.append(replace(one, unreadable=unreadable))
    return judged


def _warn_of_learnt(model: str, judged: LabelledSet) -> None:
    if set(judged.images.table["split"]) != {"test"}:
        _logger.warning(
            "If %s learnt from images of %s, these figures flatter it. Its own test images are "
            "judged if you give the same folder, unchanged and alone, with the --classes and "
            "--shares of its training, and without --detect, --person and --split all.",
            model,
            judged.name,
        )


@dataclass(frozen=True)
class _Natural:
    """A classifier whose probabilities are those of the natural decision."""

    classifier: EmotionClassifier

    @property
    def emotions(self) -> EmotionSet:
        return self.classifier.emotions

    def predict(self, faces: Any) -> np.ndarray:
        """Return the probabilities `(n, k)` of faces as `EmotionClassifier.predict` takes them."""
        return read_outputs(self.classifier.card, self.classifier.outputs(faces)).probabilities


def _through_detector(
    classifier: EmotionClassifier, detector: str, part: LabelledSet, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the largest faces, or of whole images if there are none."""
    probabilities, found = np.array(whole, np.float64), np.zeros(len(whole), bool)
    with Inference(_Natural(classifier), show_state_mode="none", detector=detector) as inference:
        for row in range(len(whole)):
            faces = inference.analyse(part.images.image(row))
            if faces:
                found[row] = True
                probabilities[row] = [faces[0].probabilities[e] for e in classifier.emotions]
    return probabilities, found
