"""The verb `label-va`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder_tools.cli.figures import figure_format
from builder_tools.cli.reading import add_reading_options, reading_options
from builder_tools.cli.verb import Verb, positive, seed
from builder_tools.datasets import DATASETS, SPLITS
from builder_tools.valence_arousal.labellers import LABELLERS

ALL_SPLITS = "all"
SAVED = ("isomap", "isomap-network", "pca")
"""Methods whose fitted labellers can be saved to a file."""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, help="class folders, optionally under train/ val/ test/"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="labels to write")
    parser.add_argument("--data", choices=list(DATASETS), help="a data set instead of a folder")
    parser.add_argument("--source", type=Path, help="zip, folder or table of --data")
    add_reading_options(parser)
    parser.add_argument(
        "--split", default=ALL_SPLITS, choices=(*SPLITS, ALL_SPLITS),
        help="which images to label (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--method", choices=list(LABELLERS), help="how to place the faces (default: isomap)"
    )
    parser.add_argument(
        "--neighbours",
        type=positive,
        metavar="K",
        help="neighbours of each face on the manifold (default: 10; umap 15)",
    )
    parser.add_argument(
        "--landmarks", type=_landmarks, metavar="N",
        help="faces the manifold is fitted on; all is exact but slow (default: 4000)",
    )  # fmt: skip
    parser.add_argument(
        "--stages",
        type=int,
        metavar="N",
        help="stages of the shift to the class; 0 for none (default: 3)",
    )
    parser.add_argument(
        "--pull", type=float, metavar="X", help="share of the way per stage (default: 0.5)"
    )
    parser.add_argument(
        "--network",
        type=Path,
        help="name, folder or .keras file for isomap-network (default: fast)",
    )
    parser.add_argument("--seed", type=seed, help="seed of the landmarks (default: 0)")
    parser.add_argument("--labeller", type=Path, metavar="NPZ", help="use a fitted labeller")
    parser.add_argument("--save", type=Path, metavar="NPZ", help="keep the fitted labeller")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="plot where the classes lie")


def _method(options: argparse.Namespace) -> str:
    return options.method or "isomap"


def _landmarks(text: str) -> int | str:
    return text if text == "all" else positive(text)


def _run(options: argparse.Namespace) -> None:
    from builder_tools.cli.release import need_study

    need_study()
    _check_outputs(options)
    from builder_tools.valence_arousal import (
        ValenceArousalLabeller,
        faces_of,
        labels_for,
        make_labeller,
        write_labels,
    )

    if options.labeller is not None:
        if given := sorted([*_given(options), *(["method"] if options.method else [])]):
            raise ValueError(
                f"Expected no options of a labeller with --labeller. Received: {given}."
            )
        labeller = ValenceArousalLabeller.load(options.labeller)
        table = _table(options)
        if unknown := sorted(set(table.table["emotion"]) - set(labeller.emotions)):
            raise ValueError(
                f"Expected images of the labeller's classes, {list(labeller.emotions)}. "
                f"Received: {unknown}."
            )
        table = table.with_emotions(labeller.emotions)
        places = labeller.transform(faces_of(table), table.labels)
    else:
        given = _given(options)
        if given.get("landmarks") == "all":
            given["landmarks"] = None
        labeller = make_labeller(_method(options), **given)  # refuses options before data are read
        table = _table(options)
        labeller.set_params(emotions=table.emotions)
        places = labeller.fit_transform(faces_of(table), labels_for(_method(options), table))
    write_labels(options.out, table, places)
    if options.save:
        print(f"Saved: {labeller.save(options.save)}", file=sys.stderr)
    if options.plot:
        _plot(options, table, places)
    _print_means(table, places)
    print(f"Written: {options.out} ({len(table)} images)", file=sys.stderr)


def _table(options: argparse.Namespace):
    """Return the images to label."""
    from builder_tools.datasets import DATASETS
    from builder_tools.datasets.labelled import list_labelled

    if (options.folder is None) == (options.data is None):
        raise ValueError("Expected a folder of class folders, or --data NAME: one of them.")
    if options.folder is not None and options.source is not None:
        raise ValueError(
            f"Expected --source with --data. Received: --source {options.source} and the folder "
            f"{options.folder}."
        )
    name, source = options.data or "folders", options.folder or options.source
    reading = reading_options(options)
    if (name, options.split) == ("folders", ALL_SPLITS) and source and not options.shares:
        table = list_labelled(source, **reading)  # a single image, or made ones, need no splits
    else:
        table = DATASETS[name](source, **reading)
    chosen = table if options.split == ALL_SPLITS else table.split(options.split)
    if not len(chosen):
        raise ValueError(f"Expected images in the split {options.split!r}. There are none.")
    return chosen


def _given(options: argparse.Namespace) -> dict:
    """Return the labeller's options that were given, under the labeller's own names."""
    named = {name: getattr(options, name) for name in
             ("neighbours", "landmarks", "stages", "pull", "network")}  # fmt: skip
    named["network"] = named["network"] and str(named["network"])
    named["random_state"] = options.seed
    return {name: value for name, value in named.items() if value is not None}


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse outputs that would fail, before any work is done."""
    if _method(options) not in SAVED and options.save and options.labeller is None:
        raise ValueError(
            f"Expected a method that can be saved with --save: {', '.join(SAVED)}. "
            f"Received: {_method(options)}."
        )
    if options.plot:
        figure_format(options.plot)


def _plot(options: argparse.Namespace, table, places) -> None:
    from matplotlib.figure import Figure

    from builder_tools.media.partial import replacing
    from builder_tools.plots.valence_arousal import plot_density

    figure = Figure(figsize=(6, 6), layout="constrained")
    title = f"{options.labeller or _method(options)}: {len(table)} faces"
    plot_density(places, table.labels, table.emotions, title=title, ax=figure.subplots())
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.plot) as partial:
        figure.savefig(partial, dpi=150, format=figure_format(options.plot))
    print(f"Drawn: {options.plot}", file=sys.stderr)


def _print_means(table, places) -> None:
    rows = table.table[["emotion"]].assign(valence=places[:, 0], arousal=places[:, 1])
    found = rows.groupby("emotion").agg(
        images=("valence", "size"),
        valence=("valence", "mean"),
        valence_sd=("valence", "std"),
        arousal=("arousal", "mean"),
        arousal_sd=("arousal", "std"),
    )
    print(found.rename_axis(None).to_string(float_format="{:.3f}".format))


VERBS = {
    "label-va": Verb(
        "label faces with valence and arousal, for training a regressor",
        (
            "builder-tools label-va faces/ --out labels.csv --plot labels.png",
            "builder-tools label-va --data ferplus --split train --out labels.csv",
            "builder-tools label-va faces/ --out labels.csv --method isomap-network --save va.npz",
            "builder-tools label-va new_faces/ --out new.csv --labeller va.npz",
        ),
        _options,
        _run,
        reads=("folder", "source", "labeller", "network"),
        writes=("out", "save", "plot"),
        extra="study",
    ),
}
