"""One choice at a time against a baseline, three seeds each: `python -m studies.ablations`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.datasets.labels import majority_eight_labels
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.evaluation import paired_gains
from builder_tools.training import Stage, TrainingConfig
from studies.figures import plot_gains, plot_recalls
from studies.intervals import by_variant, gain_columns, recentred
from studies.plans import LOG, Plan, plan_command, read_answers
from studies.report import draw, joined, markdown, points, write_page, write_table
from studies.table import made_rows
from studies.trials import EMBEDDING_MODEL, STRENGTHS, Trial

STUDY = "ablations"
SEEDS = (0, 1, 2)
EPOCHS = 4
SIZE = 32
EPOCH_FACES = 28_544
"""Faces per epoch: as many as FER+ has for training, in whole batches of 64. The same for every
variant, however many faces balancing added, so that all take the same number of steps."""

VARIANTS: tuple[tuple[str, str, dict, dict], ...] = (
    ("baseline", "baseline", {}, {}),
    ("balancing", "class_weights", {"class_weight_power": 1.0}, {}),
    ("balancing", "random_oversampling", {}, {"balancer": "random_oversampling"}),
    ("balancing", "pixel_smote", {}, {"balancer": "pixel_smote"}),
    ("balancing", "embedding_smote", {}, {"balancer": "embedding_smote"}),
    ("balancing", "augmentation_smote", {}, {"balancer": "augmentation_smote"}),
    ("balancing", "balanced_batches", {"balanced_batches": True}, {}),
    ("balancing", "logit_adjustment", {}, {"decision": "balanced", "trained_as": "baseline"}),
    ("labels", "soft", {}, {"labels": "soft"}),
    ("augmentation", "off", {"augmentation": AUGMENTATIONS["off"]}, {}),
    ("augmentation", "light", {"augmentation": AUGMENTATIONS["light"]}, {}),
    ("optimizer", "adam", {"optimizer": "adam", "weight_decay": 0.0}, {}),
    ("optimizer", "sgd", {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.001}, {}),
    ("optimizer", "rmsprop", {"optimizer": "rmsprop", "learning_rate": 1e-3}, {}),
    ("input_size", "48", {"stages": (Stage(48, EPOCHS),)}, {}),
    ("input_size", "64", {"stages": (Stage(64, EPOCHS),)}, {}),
)
"""Group, variant, changes to the configuration, changes to the trial. SGD's decay is relative to
its higher learning rate: the same 1e-4 per step."""

BASELINE = "baseline"
FIGURES = ("accuracy", "macro_f1", "mean_recall")
RECALLS = tuple(f"recall_{name}" for name in FERPLUS_EIGHT)


def ablation_trials(seeds: Sequence[int] = SEEDS) -> Iterator[Trial]:
    """Yield the ablations: every variant with the first seed, then with the second, and so on."""
    for seed in seeds:
        stages = (Stage(SIZE, EPOCHS),)
        base = TrainingConfig(stages=stages, epoch_faces=EPOCH_FACES, seed=seed)
        for group, variant, changes, extra in VARIANTS:
            yield Trial(STUDY, group, variant, dataclasses.replace(base, **changes), **extra)


def summarise(
    trials: pd.DataFrame,
    answers: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Return one row per variant: its figures on valid and its gains over the baseline.

    A gain compares runs of the same seed and is averaged over seeds. How much it would vary with
    other faces is estimated from the answers face by face: on valid, or on test for runs whose
    answers were kept only there (the value itself is always that on valid).

    Args:
        trials: Rows of the log: `trial`, `group`, `variant`, `seed`, `valid_eight_<figure>`.
        answers: Split -> trial -> predicted labels of the faces, as indices into `FERPLUS_EIGHT`.
        labels: Split -> `(n,)` true labels of the same faces, -1 = left out.

    Returns:
        Columns `group`, `variant`, `seeds`; accuracy, macro_f1, mean_recall and
        `recall_<emotion>`; `<figure>_gain` for the first three with `_low`, `_high` and `_sd`.

    Raises:
        ValueError: If a baseline or answers are missing.
    """
    found = trials.rename(columns=lambda name: name.removeprefix("valid_eight_"))
    found = found[["trial", "group", "variant", "seed", *FIGURES, *RECALLS]].copy()
    bases = {row["seed"]: row for row in found.to_dict("records") if row["group"] == BASELINE}
    rows = []
    for row in found.to_dict("records"):
        base = bases.get(row["seed"])
        if base is None:
            raise ValueError(f"Expected a baseline of seed {row['seed']}. Received: none.")
        both = (row["trial"], base["trial"])
        split = next((s for s in ("valid", "test") if set(both) <= set(answers.get(s, ()))), None)
        if split is None:
            raise ValueError(f"Expected kept answers of {' and '.join(both)}. Received: none.")
        kept = labels[split] >= 0
        own, other = (answers[split][trial][kept] for trial in both)
        gains = paired_gains(labels[split][kept], own, other, len(FERPLUS_EIGHT))
        row |= gain_columns(
            {name: recentred(gains[name], row[name] - base[name]) for name in FIGURES}
        )
        rows.append(row)
    return by_variant(pd.DataFrame(rows), ["group", "variant"]).drop(columns=["trial", "seed"])


def read_summary(reports: Path, source: Path | None = None) -> pd.DataFrame:
    """Return `summarise` of the log and answers in a folder of reports."""
    rows, faces = made_rows(reports / LOG, STUDY), load_ferplus(source)
    splits = ("valid", "test")
    labels = {split: majority_eight_labels(faces.split(split).votes) for split in splits}
    answers = {split: read_answers(reports, split) for split in splits}
    return summarise(rows, answers, labels)


def write_report(reports: Path, source: Path | None = None) -> list[Path]:
    """Write `ablations.md`, `ablations.csv` and the figures, from the log alone."""
    rows, summary = made_rows(reports / LOG, STUDY), read_summary(reports, source)
    answered = set(read_answers(reports, "valid"))
    on_test = (~rows["trial"].isin(answered)).sum()
    embedded = rows.loc[rows["balancer"] == "embedding_smote", "date"]
    main = summary[["group", "variant", "seeds"]].copy()
    for name in FIGURES:
        words = name.replace("_", " ")
        main[words] = (100 * summary[name]).map("{:.1f}".format)
        main[f"gain in {words}"] = [
            points(row, f"{name}_gain") for row in summary.to_dict("records")
        ]
    main["sd of the gain in accuracy"] = (100 * summary["accuracy_gain_sd"]).map("{:.2f}".format)
    recalls = summary[["group", "variant"]].copy()
    for name in RECALLS:
        recalls[name.removeprefix("recall_")] = (100 * summary[name]).map("{:.0f}".format)
    sections = [
        "# Ablations on the compact network",
        "One choice at a time differs from the baseline (hard nine-class labels, no balancing, "
        "full augmentation, AdamW 2e-3 with a cosine, 32 px). All runs take the same number of "
        f"steps ({joined(rows['epochs'])} epochs of 28,544 faces, batch 64), however many faces "
        "balancing made. FER+ valid, majority-8: mean over "
        f"{joined(sorted(set(summary['seeds'])))} seeds. A gain is that on the baseline of the "
        "same seed; brackets are 95 % intervals over seeds (Student's) and faces (paired "
        "bootstrap) together. Fifteen variants and three figures are compared, so one or two "
        "intervals may leave 0 out by chance. Logit adjustment takes the strength of "
        f"{joined(STRENGTHS)} that is best on valid, on which it is then judged: its gain in mean "
        "recall is flattered."
        + (f" SMOTE in the embedding looked for neighbours with the `{EMBEDDING_MODEL}` of "
           f"{joined(embedded)}; later ones may do otherwise." if len(embedded) else "")
        + (f" {on_test} of the runs kept their answers face by face on test only: there they say "
           "how wide the interval over faces is, and nothing else." if on_test else ""),
        f"Hardware: {joined(rows['machine'])}. Commits: {joined(rows['commit'])}. "
        f"{rows['minutes'].sum() / 60:.1f} hours of runs. Rerun with "
        "`python -m studies.ablations --jobs 2`.",
        markdown(main),
        "## Recall by emotion, per cent",
        "Of the valid faces; only 16 show contempt and 25 disgust.",
        markdown(recalls),
        "![gain in accuracy](figures/ablations_accuracy.png)\n"
        "![gain in mean recall](figures/ablations_mean_recall.png)\n"
        "![recall by emotion](figures/ablations_recalls.png)",
    ]  # fmt: skip
    table = write_table(reports / "ablations.csv", summary.round(5))
    size = (7.5, 0.4 * len(summary) + 1)
    drawings = {
        "accuracy": lambda ax: plot_gains(summary, "accuracy", ax=ax),
        "mean_recall": lambda ax: plot_gains(summary, "mean_recall", ax=ax),
        "recalls": lambda ax: plot_recalls(summary, ax=ax),
    }
    drawn = [
        draw(reports / f"figures/ablations_{name}.png", onto, size)
        for name, onto in drawings.items()
    ]
    return [write_page(reports / "ablations.md", sections), table, *drawn]


PLAN = Plan(
    STUDY,
    "Change one choice at a time in the compact network's training, and see what it gains.",
    ("--jobs 2 --minutes 90", "--groups baseline balancing --list", "--report"),
    SEEDS,
    ablation_trials,
    write_report,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return plan_command(PLAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
