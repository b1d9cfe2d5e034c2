"""Evaluation on a data set with other names and classes, on the classes that both know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from builder_tools.datasets.class_words import class_of
from builder_tools.emotions import EmotionSet
from builder_tools.evaluation.bootstrap import group_numbers
from builder_tools.evaluation.judgement import format_figures, format_recall, format_share
from builder_tools.evaluation.metrics import Evaluation, evaluate
from builder_tools.evaluation.protocols import restrict


@dataclass(frozen=True)
class CrossJudgement:
    """The evaluation of a model on one data set.

    Args:
        name: Name of the data set.
        free: The prediction is the most probable of all the model's classes.
        restricted: The prediction is the most probable of the classes that both know.
        left_out: Class of the data set that the model does not know -> its number of images.
        found: Share of the images in which a face was found; None if no detector was used.
        unreadable: Name of an image that could not be read -> the reason; it is not evaluated.
    """

    name: str
    free: Evaluation
    restricted: Evaluation
    left_out: Mapping[str, int]
    found: float | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as JSON values."""
        free = self.free.to_dict()
        return {
            "set": self.name,
            "classes": list(self.restricted.emotions),
            "left_out": dict(self.left_out),
            "found": None if self.found is None else round(self.found, 4),
            "accuracy_free": free["accuracy"],
            "accuracy_free_95": free["accuracy_95"],
            **self.restricted.to_dict(),
            **({"unreadable": dict(self.unreadable)} if self.unreadable else {}),
        }


def judge_common(
    name: str,
    words: Sequence[str],
    probabilities: np.ndarray,
    emotions: EmotionSet,
    *,
    groups: Sequence[Hashable] | None = None,
    found: np.ndarray | None = None,
) -> CrossJudgement:
    """Evaluate a model on the classes that it shares with a data set, under any known names.

    Args:
        name: Name of the data set.
        words: The class of each image, as named by the data set.
        probabilities: `(n, k)` in the order of `emotions`.
        emotions: The model's classes.
        groups: Who is in each image, if intervals are to be drawn over people; see `evaluate`.
        found: `(n,)` bool, whether a face was found; None if no detector was used.

    Raises:
        ValueError: If there is no common class, or no image, or the numbers of words,
            probabilities and groups differ; see `evaluate`, too.
    """
    words, probabilities = [str(word) for word in words], np.asarray(probabilities, np.float64)
    if probabilities.shape != (len(words), len(emotions)):
        raise ValueError(
            f"Expected probabilities of {len(emotions)} classes for each of {len(words)} images "
            f"of {name}. Received: {probabilities.shape}."
        )
    meant = {word: class_of(word, emotions, {}) for word in set(words)}
    known = {word: emotions.label(name) for word, name in meant.items() if name in emotions}
    labels = np.array([known.get(word, -1) for word in words], np.int64)
    kept = labels >= 0
    if not kept.any():
        raise ValueError(
            f"Expected a class of {name} that the model knows ({', '.join(emotions)}). Received: "
            f"{', '.join(sorted(set(words))) or 'no image'}. Say what they mean: "
            "--classes NAME=CLASS."
        )
    common = EmotionSet([emotions[label] for label in np.unique(labels[kept])])
    place = {emotions.label(emotion): number for number, emotion in enumerate(common)}
    inside = restrict(probabilities[kept], emotions, common)
    people = None if groups is None else group_numbers(groups, len(words))[kept]
    unknown = Counter(word for word, keep in zip(words, kept, strict=True) if not keep)
    return CrossJudgement(
        name=name,
        free=evaluate(labels[kept], probabilities[kept], emotions, groups=people),
        restricted=evaluate(
            np.array([place[n] for n in labels[kept]]), inside, common, groups=people
        ),
        left_out=dict(sorted(unknown.items())),
        found=None if found is None else float(np.asarray(found)[kept].mean()),
    )


def format_cross(found: Mapping[str, Any]) -> str:
    """Return a judgement (`CrossJudgement.to_dict`) as text for a terminal."""
    classes = found["classes"]
    lines = [f"{found['set']}: {found['n']} images of {len(classes)} classes that both know"]
    if found["left_out"]:
        counts = ", ".join(f"{name} ({number})" for name, number in found["left_out"].items())
        lines.append(f"    left out, unknown to the model: {counts}")
    if found["found"] is not None:
        lines.append(f"    {'faces found':<28}{found['found']:7.4f}")
    free = format_share(found["accuracy_free"], found["accuracy_free_95"])
    lines.append(f"    {'accuracy, any class':<28}{free}")
    alone = "only one common class, so it is always found"
    lines.append(f"  {alone if len(classes) == 1 else 'among the common classes'}")
    lines += [*format_figures(found), "  recall by emotion", *format_recall(found)]
    width = max(map(len, classes)) + 2
    lines.append("  confusion: true in rows, predicted in columns")
    lines.append("    " + " " * width + "".join(f"{name[:8]:>9}" for name in classes))
    for name, row in zip(classes, found["confusion"], strict=True):
        lines.append(f"    {name:<{width}}" + "".join(f"{number:>9}" for number in row))
    return "\n".join(lines)


def format_cross_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return several judgements as one Markdown table; a row may name its `model`."""
    lines = [
        "| set | model | images | classes | faces found | accuracy, any class "
        "| accuracy, common classes | macro-F1 | mean recall | recall by emotion |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = "-" if row["found"] is None else f"{row['found']:.3f}"
        figures = [
            f"{row[name]:.3f} [{', '.join(map(_end, row[f'{name}_95']))}]"
            for name in ("accuracy_free", "accuracy", "macro_f1", "mean_recall")
        ]
        recalls = ", ".join(f"{n} {value:.2f}" for n, value in row["per_class_recall"].items())
        images = f"{row['n']} of {row['people']} people" if "people" in row else row["n"]
        cells = [row["set"], row.get("model", ""), images, len(row["classes"]), found]
        lines.append(f"| {' | '.join(map(str, [*cells, *figures, recalls]))} |")
    return "\n".join(lines)


def _end(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
