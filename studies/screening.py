"""Every network in the registry on the same small budget: `python -m studies.screening`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.networks import NETWORKS
from builder_tools.training import Stage, TrainingConfig
from studies.figures import plot_screening
from studies.intervals import by_variant
from studies.plans import LOG, Plan, plan_command
from studies.report import draw, interval, joined, markdown, write_page
from studies.table import made_rows
from studies.trials import Trial

STUDY = "screening"
FACES = 2_000
EPOCHS = 3
SIZE = 32
RATE = 1e-3
LOW_RATE = 1e-4
"""Second learning rate for networks without batch normalisation, many of which do not learn at the
first."""
MOMENTUM = 0.9
"""Momentum of batch normalisation. With Keras' 0.99, a network that has learnt is judged with the
statistics of its first steps: Xception reached 0.456 on its 2,000 training faces in 126 steps and
predicted the largest class for every face of valid."""
FIRST_STUDY = "screening-momentum-0.99"
"""Study, in the log, of the first screening, given up after twelve networks."""
LARGEST_CLASS = 0.375
"""Accuracy on valid, majority-8, below which a network tells no emotions apart."""
COSTS = "networks.csv"


def screening_trials(seeds: Sequence[int] = (0,)) -> Iterator[Trial]:
    """Yield every network in the registry, from scratch on the same faces for the same epochs.

    Networks that cannot take 32 px get the next larger size they can take. Networks without batch
    normalisation are also trained at a second, lower rate.
    """
    for seed in seeds:
        for name, spec in NETWORKS.items():
            yield _trial(name, RATE, seed)
            if not spec.batch_norm:
                yield _trial(name, LOW_RATE, seed)


def _trial(name: str, rate: float, seed: int) -> Trial:
    config = TrainingConfig(
        network=name,
        stages=(Stage(NETWORKS[name].size_from(SIZE), EPOCHS),),
        batch_size=32,
        learning_rate=rate,
        weight_decay=0.01,
        warmup_epochs=0,
        augmentation=AUGMENTATIONS["light"],
        batch_norm_momentum=MOMENTUM,
        seed=seed,
    )
    variant = name if rate == RATE else f"{name}_low_rate"
    return Trial(STUDY, "network", variant, config, "soft", train_faces=FACES)


def screening_table(rows: pd.DataFrame, costs: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row per network, best on valid first, with its cost if that was measured.

    A network that was trained at two rates is listed with the one that was better on valid.

    Args:
        rows: Rows of the log that belong to the screening.
        costs: Columns `network`, `gflop`, `ms_per_face`; None if not measured.

    Returns:
        `network`, `parameters`, `size`, `rate`, `accuracy` (on valid, with `_low` and `_high`),
        `macro_f1`, `minutes`, `seeds`, `gflop`, `ms_per_face`.
    """
    ends = [json.loads(text) for text in rows["valid_eight_accuracy_95"]]
    found = rows.rename(columns={"learning_rate": "rate"}).assign(
        accuracy=rows["valid_eight_accuracy"],
        accuracy_low=[low for low, _ in ends],
        accuracy_high=[high for _, high in ends],
        macro_f1=rows["valid_eight_macro_f1"],
    )
    figures = ["accuracy", "accuracy_low", "accuracy_high", "macro_f1", "minutes"]
    columns = ["network", "parameters", "size", "rate", *figures]
    found = by_variant(found[["variant", "seed", *columns]], ["variant"])
    best_first = found.sort_values("accuracy", ascending=False, kind="stable")
    found = best_first.drop_duplicates("network")[[*columns, "seeds"]].reset_index(drop=True)
    if costs is None:
        return found
    return found.merge(costs[["network", "gflop", "ms_per_face"]], on="network", how="left")


def read_table(reports: Path) -> pd.DataFrame:
    """Return `screening_table` for the log and the costs in a folder of reports."""
    rows, costs = made_rows(reports / LOG, STUDY), reports / COSTS
    return screening_table(rows, pd.read_csv(costs) if costs.is_file() else None)


def write_report(reports: Path, source: Path | None = None) -> list[Path]:
    """Write `screening.md` and its figure, from the log and the costs."""
    log, table = made_rows(reports / LOG), read_table(reports)
    rows = log[log["study"] == STUDY]
    shown = pd.DataFrame({
        "network": table["network"],
        "parameters": [f"{n / 1e6:.2f} M" for n in table["parameters"]],
        "size": table["size"].astype(int),
        "rate": table["rate"],
        "valid accuracy": [interval(row, "accuracy") for row in table.to_dict("records")],
        "valid macro-F1": table["macro_f1"].map("{:.3f}".format),
        "seeds": table["seeds"],
        "training minutes": table["minutes"],
        **{name: table[name] for name in ("gflop", "ms_per_face") if name in table},
    })  # fmt: skip
    missing = sorted(set(NETWORKS) - set(rows["network"]))
    first = log[log["study"] == FIRST_STUDY]
    sections = [
        "# Screening: every network on the same small budget",
        f"FER+, {FACES:,} stratified training faces, {EPOCHS} epochs, soft labels, light "
        f"augmentation, AdamW {RATE:g} with a cosine (networks without batch normalisation at "
        f"{LOW_RATE:g}, too: the better rate on valid), running statistics with momentum "
        f"{MOMENTUM:g}, batch 32, from scratch (`weights=None`). Judged on valid, majority-8; "
        "brackets are 95 % intervals over faces, and over seeds where there are several. What "
        "one seed and one rate of three epochs show is who is ahead after 189 steps: it ranks "
        "neither what the networks can become nor, where intervals overlap, these runs. Hardware: "
        f"{joined(rows['machine'])}. Commits: {joined(rows['commit'])}. Rerun with "
        "`python -m studies.screening`.",
        f"**Not run yet:** {', '.join(missing)}." if missing else "",
        markdown(shown),
        f"A first screening, at Keras' own momentum of batch normalisation (0.99), was given up: "
        f"{(first['valid_eight_accuracy'] < LARGEST_CLASS).sum()} of {len(first)} networks stayed "
        f"at the largest class, which has 0.37 of valid. Its rows are kept in `{LOG}` (study "
        f"`{FIRST_STUDY}`)." if len(first) else "",
        "![screening](figures/screening.png)",
    ]  # fmt: skip
    cost = "ms_per_face" if "ms_per_face" in table else "parameters"
    drawn = table.rename(columns={"accuracy": "valid_accuracy"})
    return [
        write_page(reports / "screening.md", sections),
        draw(reports / "figures/screening.png",
             lambda ax: plot_screening(drawn, cost, "valid_accuracy", ax=ax), (9, 6)),
    ]  # fmt: skip


PLAN = Plan(
    STUDY,
    "Train every network in the registry briefly, on the same few faces.",
    ("--jobs 2", "--seeds 0 1 2 --minutes 90", "--report"),
    (0,),
    screening_trials,
    write_report,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return plan_command(PLAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
