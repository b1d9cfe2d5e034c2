"""Figures of a search: its progress, and its results across the search space."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from builder_tools.plots.canvas import FIRST_COLOUR, SECOND_COLOUR, axes_or_new

NOT_TUNED = (
    "trial",
    "status",
    "score",
    "val_accuracy",
    "val_macro_f1",
    "val_loss",
    "best_epoch",
    "epochs",
    "seconds",
    "parameters",
    "error",
)
"""Columns of a table of trials that are not hyperparameters."""

LOGARITHMIC = ("learning_rate", "fine_tune_factor", "weight_decay", "dense_width")
"""Prefixes of the names of hyperparameters with a logarithmic axis."""

ABSENT = "none"
"""Label below an axis for trials in which the hyperparameter had no effect."""

_ROOM = 0.12
"""Room for that label, in axis heights."""


def plot_trials(trials: pd.DataFrame, score: str = "score", ax: Axes | None = None) -> Axes:
    """Draw the score of each trial, the best so far, and which trials failed.

    Args:
        trials: One row per trial with `trial`, `status` and `score` (see `SearchResult.trials`).
        score: Name of the score, for the axis.
        ax: Axes to draw on.

    Raises:
        ValueError: If no trial was completed.
    """
    done = _completed(trials)
    ax = axes_or_new(ax, (7, 4))
    best = done["score"].cummax()
    first = done.loc[done["score"].idxmax()]
    ax.step(done["trial"], best, where="post", color=SECOND_COLOUR, label="best so far")
    ax.scatter(done["trial"], done["score"], s=28, color=FIRST_COLOUR, label="trial", zorder=3)
    failed = trials.loc[trials["status"] == "failed", "trial"]
    if len(failed):
        floor = np.full(len(failed), 0.02)
        transform = ax.get_xaxis_transform()
        ax.scatter(failed, floor, marker="x", color="0.4", transform=transform, label="failed")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.margins(y=0.12)
    ax.set(xlabel="trial", ylabel=score.replace("_", " "))
    ax.set_title(f"best {first['score']:.3f}, trial {first['trial']:.0f}", loc="left")
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
    return ax


def plot_parallel_coordinates(
    trials: pd.DataFrame, score: str = "score", ax: Axes | None = None
) -> Axes:
    """Draw each completed trial as a line through its hyperparameters, coloured by score.

    Each axis has its own scale: rates are logarithmic, a few whole numbers are evenly spaced, and
    words are ordered from the worst mean score to the best. If a hyperparameter had no effect in a
    trial, the line passes below the axis ("none"). Better trials are drawn over worse ones; the
    last axis is the score. Hyperparameters with only one value are left out.

    Args:
        trials: One row per trial (see `SearchResult.trials`).
        score: Name of the score, for the axis.
        ax: Axes to draw on.

    Raises:
        ValueError: If no trial was completed.
    """
    done = _completed(trials).sort_values("score", kind="stable")
    names = [n for n in done if n not in NOT_TUNED and done[n].nunique(dropna=False) > 1]
    scales = [_Scale(done[name], name, done["score"]) for name in names]
    scales.append(_Scale(done["score"], score, done["score"]))
    ax = axes_or_new(ax, (1.5 * len(scales) + 1, 5))
    heights = np.stack([scale.heights for scale in scales], axis=1)
    lines = [np.column_stack([np.arange(len(scales)), row]) for row in heights]
    scores = done["score"].to_numpy(float)
    spread = scores.max() - scores.min()
    shares = (scores - scores.min()) / spread if spread else np.ones(len(scores))
    collection = LineCollection(lines, array=scores, cmap="viridis_r", alpha=0.85)
    collection.set_linewidths(0.8 + 2.2 * shares)
    ax.add_collection(collection)
    bar = ax.figure.colorbar(
        mpl.cm.ScalarMappable(collection.norm, collection.cmap), ax=ax, pad=0.01, fraction=0.03
    )
    bar.set_label("score (darker is better)")
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    for place, scale in enumerate(scales):
        ax.plot([place, place], [0, 1], color="0.25", linewidth=1, zorder=3)
        absent = [(-_ROOM, ABSENT)] if scale.has_absent else []
        for height, text in [*scale.ticks, *absent]:
            ax.plot([place - 0.03, place], [height, height], color="0.25", linewidth=1, zorder=3)
            ax.text(place + 0.04, height, text, fontsize=8, va="center", bbox=box, zorder=4)
    ax.set(xlim=(-0.3, len(scales) - 0.35), ylim=(-_ROOM - 0.04, 1.04), yticks=[])
    ax.set_xticks(
        range(len(scales)),
        ["\n".join(scale.name.rsplit("_", 1)).replace("_", " ") for scale in scales],
    )
    ax.tick_params(axis="x", length=0, pad=8)
    ax.spines[:].set_visible(False)
    return ax


def _completed(trials: pd.DataFrame) -> pd.DataFrame:
    done = trials[trials["status"] == "completed"]
    if done.empty:
        raise ValueError("Expected a completed trial to draw. Received: none.")
    return done


class _Scale:
    """One axis: the height of each value (0 bottom ... 1 top), and the ticks next to it."""

    def __init__(self, values: pd.Series, name: str, scores: pd.Series) -> None:
        self.name = name
        known = values.dropna()
        self.has_absent = len(known) < len(values)
        if not pd.api.types.is_numeric_dtype(known):
            means = scores[known.index].groupby(known).mean()
            self._place = self._word_place(list(means.sort_values(kind="stable").index))
        elif known.nunique() < 2 or (known.nunique() < 6 and (known % 1 == 0).all()):
            self._place = self._word_place(sorted(known.unique()))
        else:
            self._place = self._number_place(known.astype(float), name)
        self.heights = np.array([-_ROOM if pd.isna(v) else self._place(v) for v in values])

    def _number_place(self, known: pd.Series, name: str):
        least, most = known.min(), known.max()
        convert, ticks = np.asarray, np.linspace(least, most, 5)
        if name.startswith(LOGARITHMIC):  # lowest, highest, and powers of ten well between them
            convert = np.log10
            exponents = range(int(np.ceil(np.log10(least))), int(np.floor(np.log10(most))) + 1)
            margin = (most / least) ** 0.08
            inner = [10.0**e for e in exponents if least * margin < 10.0**e < most / margin]
            ticks = [least, *inner, most]
        low, high = convert(least), convert(most)
        self.ticks = [((convert(tick) - low) / (high - low), f"{tick:.3g}") for tick in ticks]
        return lambda value: (convert(float(value)) - low) / (high - low)

    def _word_place(self, words: list):
        places = np.linspace(0, 1, len(words)) if len(words) > 1 else [0.5]
        height = dict(zip(words, places, strict=True))
        self.ticks = [
            (place, word if isinstance(word, str) else f"{word:.3g}")
            for word, place in height.items()
        ]
        return height.__getitem__
