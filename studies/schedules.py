"""Optimisers and schedules, each at its own best rate: `python -m studies.schedules`.

They train one cell of `studies.transfer`, a face network whose last layers learn. In a comparison
at a single rate, the optimiser that the rate suits wins. Here each tries three; the best on a tenth
of valid is chosen and judged on the rest.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from builder_tools.datasets.ferplus import load_ferplus
from builder_tools.datasets.labels import majority_eight_labels
from builder_tools.emotions import FERPLUS_EIGHT
from builder_tools.evaluation import paired_gains
from studies.intervals import by_variant, gain_columns, latest
from studies.plans import LOG, Plan, plan_command, read_answers
from studies.report import joined, markdown, points, write_page, write_table
from studies.table import made_rows
from studies.transfer import EPOCH_FACES, EPOCHS, HEAD_EPOCHS, LOW_RATE, RATE, STARTS, cell
from studies.trials import Trial

STUDY = "schedules"
SEEDS = (0, 1, 2)
NETWORK = "face_resnet"
BASELINE = "adam_exponential"
ADAM_RATES = (1e-3, 3e-3, 1e-2)
WAYS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    BASELINE: ({}, ADAM_RATES),
    "adam_cosine": ({"schedule": "cosine"}, ADAM_RATES),
    "adam_constant": ({"schedule": "constant"}, ADAM_RATES),
    "adamw_exponential": ({"optimizer": "adamw", "weight_decay": 0.05}, ADAM_RATES),
    "rmsprop_exponential": ({"optimizer": "rmsprop"}, ADAM_RATES),
    "sgd_exponential": ({"optimizer": "sgd"}, (1e-2, 3e-2, 1e-1)),
}
"""Way -> changes to the cell of `studies.transfer`, and the rates of the head to try."""
TENTH = 10
"""Every tenth face of valid is used to choose the rate, the others to judge it."""
FIGURES = ("accuracy", "macro_f1", "mean_recall")


def schedule_trials(seeds: Sequence[int] = SEEDS) -> Iterator[Trial]:
    """Yield every way at each of its rates with the first seed, then with the second, and so on."""
    for seed in seeds:
        base = cell(NETWORK, STARTS[NETWORK], "last", 100, seed)
        for way, (changes, tried) in WAYS.items():
            for rate in tried:
                rates = {"learning_rate": rate, "fine_tune_learning_rate": rate * LOW_RATE / RATE}
                config = dataclasses.replace(base.config, **rates, **changes)
                yield dataclasses.replace(
                    base, study=STUDY, group=way, variant=f"{rate:g}", config=config
                )


def schedules_table(
    rows: pd.DataFrame, answers: Mapping[str, np.ndarray], labels: np.ndarray
) -> pd.DataFrame:
    """Return one row per way, at the rate that is best on a tenth of valid, judged on the rest.

    Args:
        rows: Rows of the log that belong to this study.
        answers: Trial -> predicted labels of the faces of valid, indices into `FERPLUS_EIGHT`.
        labels: `(n,)` true labels of the same faces, -1 = left out.

    Returns:
        Columns `group` (the way), `variant` (its rate), `seeds`, `accuracy`; `<figure>_gain` over
        the baseline at its best rate with the same seed, with `_low` and `_high`, NaN without it;
        `choosing`: accuracy on the tenth; `lowest` and `highest`: range of the accuracy over all
        runs of the way, at every rate.
    """
    kept, tenth = labels >= 0, np.arange(len(labels)) % TENTH == 0
    rows = latest(rows[rows["trial"].isin(answers)], ["group", "variant"]).copy()
    right = {trial: answers[trial] == labels for trial in rows["trial"]}
    rows["choosing"] = [right[trial][kept & tenth].mean() for trial in rows["trial"]]
    rows["accuracy"] = [right[trial][kept & ~tenth].mean() for trial in rows["trial"]]
    means = rows.groupby(["group", "variant"], sort=False)["choosing"].mean()
    best = {way: own.idxmax()[1] for way, own in means.groupby("group")}
    of_way = rows.groupby("group")["accuracy"]
    rows = rows.assign(lowest=of_way.transform("min"), highest=of_way.transform("max"))
    rows = rows[rows["variant"] == rows["group"].map(best)]
    bases = {r["seed"]: r["trial"] for r in rows.to_dict("records") if r["group"] == BASELINE}
    found = []
    for row in rows.to_dict("records"):
        names = ("group", "variant", "seed", "choosing", "accuracy", "lowest", "highest")
        about = {name: row[name] for name in names}
        if row["seed"] in bases:
            judged = [each[kept & ~tenth] for each in
                      (labels, answers[row["trial"]], answers[bases[row["seed"]]])]  # fmt: skip
            about |= gain_columns(paired_gains(*judged, len(FERPLUS_EIGHT)))
        found.append(about)
    return by_variant(pd.DataFrame(found), ["group", "variant"])


def write_report(reports: Path, source: Path | None = None) -> list[Path]:
    """Write `schedules.md` and `schedules.csv`, from the log alone."""
    rows = made_rows(reports / LOG, STUDY, dtype={"variant": str})
    missing = len({trial.key for trial in schedule_trials()} - set(rows["trial"]))
    sections = [
        "# Optimisers and schedules, each at its own best rate",
        f"{NETWORK} as in the [transfer table](transfer.md), its last layers learning on all "
        f"faces: {EPOCHS} epochs of {EPOCH_FACES:,}, {HEAD_EPOCHS} of them of the head alone, then "
        f"{LOW_RATE / RATE:g} of the rate. Each way tries three rates; the best on every tenth "
        "face of FER+ valid (mean over seeds) is judged on the others, majority-8. A gain is on "
        "Adam with an exponential decay, as the study's documents have it, at its best rate and "
        "the same seed; brackets are 95 % intervals over seeds (Student's) and faces (paired "
        "bootstrap) together; of one seed no claim is made. The exponential schedule takes the "
        "rate times 0.8 an epoch, the cosine begins with a warm-up.",
        f"Runs that are missing: {missing}. Go on with `python -m studies.schedules`."
        if missing
        else "",
    ]
    labels = majority_eight_labels(load_ferplus(source).split("valid").votes)
    table = schedules_table(rows, read_answers(reports, "valid"), labels)
    shown = pd.DataFrame({
        "way": table["group"].str.replace("_", ", "),
        "rate": table["variant"],
        "rates tried": [", ".join(f"{r:g}" for r in WAYS[way][1]) for way in table["group"]],
        "seeds": table["seeds"],
        "accuracy": table["accuracy"].map("{:.3f}".format),
        "all rates and seeds": [f"{row['lowest']:.3f} to {row['highest']:.3f}"
                                for row in table.to_dict("records")],
        **{f"gain in {name.replace('_', ' ')}":
           [points(row, f"{name}_gain") for row in table.to_dict("records")]
           for name in FIGURES},
    })  # fmt: skip
    sections += [
        f"Hardware: {joined(rows['machine'])}. Commits: {joined(rows['commit'])}.",
        markdown(shown),
    ]
    csv = write_table(reports / "schedules.csv", table.round(5))
    return [write_page(reports / "schedules.md", sections), csv]


PLAN = Plan(
    STUDY,
    "Train the last layers of a face network with several optimisers and schedules, each at three "
    "rates.",
    ("--seeds 0", "--in-process", "--finished"),
    SEEDS,
    schedule_trials,
    write_report,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return plan_command(PLAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
