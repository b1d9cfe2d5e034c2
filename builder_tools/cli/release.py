"""Verbs of the study: evaluate, quantize, ensemble, export. They need the `[study]` extra."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from builder_tools.cli.model import add_model_option
from builder_tools.cli.reading import add_data_options, reading_options
from builder_tools.cli.verb import Verb, folder_to_write, need_extra, print_escaped, side
from builder_tools.datasets import SPLITS
from builder_tools.decisions import DECISIONS
from builder_tools.detectors import DEFAULT_DETECTOR, DETECTORS
from builder_tools.export import WRITERS
from builder_tools.tasks import TASKS


def need_study() -> None:
    """Fail early, in one sentence, if the study's packages are not installed."""
    need_extra("study", "keras", "pandas", "sklearn")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


RUNS = Path("runs")
"""Where runs are kept, along with the log of all of them, `experiments.csv`."""


def add_reports_option(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add --reports; `more` tells what else it does."""
    parser.add_argument(
        "--reports",
        type=folder_to_write,
        metavar="DIR",
        help=f"also add the row of runs/experiments.csv to DIR/experiments.csv{more} "
        "(the repository's: reports)",
    )


def log_run(card, note: str, runs: Path, reports: Path | None = None) -> None:
    """Append a model's row to the log of the runs and, if given, to that of the reports."""
    from builder_tools.release import log_experiment

    for folder in dict.fromkeys([runs, reports or runs]):
        log_experiment(folder / "experiments.csv", card, note)


def add_va_labels_option(parser) -> None:
    """Add --va-labels."""
    parser.add_argument(
        "--va-labels", nargs="+", action="extend", default=[], type=Path, metavar="CSV",
        help="written by label-va; together they label train and valid (and test, to be evaluated)",
    )  # fmt: skip


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser, sources="+")
    add_model_option(parser)
    parser.add_argument(
        "--split",
        choices=[*SPLITS, "all"],
        help="the images to evaluate on (default: test, or all of a labelled folder without "
        "splits)",
    )
    parser.add_argument(
        "--detect",
        action="store_true",
        help="on labelled folders: find the face first, as in normal use; otherwise whole images",
    )
    parser.add_argument(
        "--detector", choices=list(DETECTORS), help=f"for --detect (default: {DEFAULT_DETECTOR})"
    )
    parser.add_argument(
        "--person",
        metavar="COLUMN|PATTERN",
        help="on labelled folders: compare each face with the other neutral images of its person, "
        "where there are any, before the emotion is decided, and draw people, not images, for the "
        "intervals; the person is named by a column of the table of labels, or by a regular "
        "expression with a group in parentheses, searched for in the images' names",
    )
    parser.add_argument(
        "--decision",
        choices=DECISIONS,
        default="natural",
        help="on labelled folders: balanced for images in which all emotions are about equally "
        "frequent; data sets of the card are evaluated by both",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, as in the card")
    parser.add_argument(
        "--update-card", action="store_true", help="write the test figures into the card"
    )
    add_va_labels_option(parser)


def _run_evaluate(options: argparse.Namespace) -> int:
    need_study()
    from builder_tools.cards import ModelCard, find_model
    from builder_tools.release import labels_of, load_data

    if options.detector and not options.detect:
        raise ValueError(f"Expected --detect with --detector {options.detector}. Received: none.")
    folder = find_model(options.model)
    card = ModelCard.read(folder)
    labels_of(card, options.va_labels)  # refuses files that cannot be used, before data are read
    sources = options.source or [None]
    if options.data == "folders":
        data = _data_of_the_card(options, card, sources)
        if data is None:
            return _judge_elsewhere(options, folder, sources)
    elif len(sources) > 1 or options.detect or options.person or options.split == "all":
        raise ValueError(
            f"Expected one source and a split with --data {options.data}. Several sources, --split "
            "all, --detect and --person are for --data folders."
        )
    else:
        data = load_data(
            options.data, sources[0], emotions=card.emotions, **reading_options(options)
        )
    return _judge_as_the_card(options, folder, card, data)


def _data_of_the_card(options: argparse.Namespace, card, sources: list[Path | None]):
    """Return the data set if the model was trained on it or its card needs it, else None."""
    from builder_tools.datasets.identity import data_sha256
    from builder_tools.release import load_data

    asked = options.update_card or options.va_labels
    trained = card.training.get("data") == "folders" and len(sources) == 1
    if options.person and asked:
        raise ValueError("Expected no --person with --update-card or --va-labels.")
    elsewhere = options.detect or options.person or options.split == "all"
    if not asked and (not trained or elsewhere):
        return None
    try:
        data = load_data(
            options.data, sources[0], emotions=card.emotions, **reading_options(options)
        )
    except ValueError:
        if asked:
            raise
        return None
    same = asked or data_sha256(data) == card.training.get("data_sha256")
    return data if same else None


def _judge_elsewhere(options: argparse.Namespace, folder: Path, sources: list[Path]) -> int:
    """Evaluate on labelled folders that the model was not trained on."""
    from dataclasses import replace

    from builder_tools.evaluation import format_cross, format_cross_table
    from builder_tools.media.listing import names_apart
    from builder_tools.release import judge_on, labelled_set

    if sources == [None]:
        raise ValueError("Expected labelled folders, tables or zips: say where with --source.")
    reading = reading_options(options)
    if {"valid", "test"} & set(reading):
        raise ValueError("Expected no --shares here: the whole set is judged on, or its --split.")
    reading |= {"split": options.split, "person": options.person}
    named = names_apart([(source, source.name) for source in sources])
    judged = judge_on(
        folder,
        [replace(labelled_set(source, **reading), name=name) for source, name in named],
        detector=(options.detector or DEFAULT_DETECTOR) if options.detect else None,
        decision=options.decision,
    )
    found = [each.to_dict() | {"model": folder.name} for each in judged]
    tables = [format_cross_table(found)] if len(found) > 1 else []
    words = "\n\n".join([*map(format_cross, found), *tables])
    print(json.dumps(found, indent=2) if options.json else words)
    for name, said in (pair for each in judged for pair in each.unreadable.items()):
        print_escaped(f"unreadable: {name}: {said}")
    return int(any(each.unreadable for each in judged))


def _judge_as_the_card(options: argparse.Namespace, folder: Path, card, data) -> int:
    from builder_tools.datasets.identity import names_also_in_train
    from builder_tools.release import (
        LABELS,
        VALENCE_AROUSAL,
        Predictions,
        judge_affect,
        judge_and_write,
        judge_predicted,
        labels_of,
        metrics_of,
    )

    labels, split = labels_of(card, options.va_labels), options.split or "test"
    if options.update_card:
        kept = ("against_labels" in affect_of(card, name) for name in ("valid", "test"))
        if labels is None and any(kept):
            raise ValueError(
                f"Expected --va-labels with --update-card: the card of {card.name!r} holds figures "
                f"against labels, {list(card.training.get('va_labels', {}))}. Received: none."
            )
        card, _ = judge_and_write(folder, data, labels=labels)
    if options.update_card and split == "test":
        metrics, affect = card.metrics["test"], affect_of(card, "test")
    else:
        predicted = Predictions(folder, data).split(split)
        duplicates = names_also_in_train(data)
        metrics = metrics_of(judge_predicted(card, predicted, duplicates=duplicates))
        has_affect = TASKS[card.task].affect
        affect = judge_affect(card, predicted, labels=labels) if has_affect else {}
    if labels is not None and LABELS not in affect:
        print(f"Not judged against --va-labels: images of {split} lack some.", file=sys.stderr)
    if options.json:
        print(json.dumps(metrics | ({VALENCE_AROUSAL: affect} if affect else {}), indent=2))
    else:
        print_report(metrics, affect)
    return _compare_with_card(card, split, metrics, affect)


def _compare_with_card(card, split: str, metrics: dict, affect: dict) -> int:
    """Compare the metrics with those of the card; return 1 if they differ, else 0.

    Those of valence and arousal are compared where both have them: computing them needs labels.
    """
    kept = affect_of(card, split)
    other = [name for name in affect if name in kept and affect[name] != kept[name]]
    if other:
        print(f"NOT the figures of the card of {card.name}: {other}", file=sys.stderr)
        return 1
    if split not in card.metrics:
        print(f"The card of {card.name} holds no figures for {split}.", file=sys.stderr)
        return 0
    differing = [name for name, found in metrics.items() if found != card.metrics[split].get(name)]
    if differing:
        print(f"NOT the figures of the card of {card.name}: {differing}", file=sys.stderr)
        return 1
    print(f"These are exactly the figures of the card of {card.name}.", file=sys.stderr)
    unseen = sorted(set(card.metrics[split]) - set(metrics))
    if unseen:
        print(f"Not compared, labels absent: {', '.join(unseen)}", file=sys.stderr)
    return 0


def affect_of(card, split: str) -> dict:
    """Return a card's valence and arousal metrics on a split; empty if the model has none."""
    from builder_tools.release import VALENCE_AROUSAL

    return card.metrics.get(VALENCE_AROUSAL, {}).get(split, {})


def print_report(metrics: dict, affect: dict) -> None:
    """Print the metrics by protocol, and those of valence and arousal if there are any."""
    from builder_tools.evaluation import format_report
    from builder_tools.release import format_affect

    print(format_report(metrics))
    if affect:
        print(f"\n{format_affect(affect)}")


def _export_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("network", type=Path, help="a .keras file, e.g. runs/fast/last.keras")
    parser.add_argument("--out", type=Path, required=True, help="new model folder to write")
    parser.add_argument("--size", type=side, help="side of the input, px (default: as trained)")
    parser.add_argument(
        "--format", nargs="+", action="extend", choices=[suffix[1:] for suffix in WRITERS],
        help="files to write; the first is deployed (default: onnx)",
    )  # fmt: skip
    parser.add_argument(
        "--emotions", nargs="+", action="extend", help="class order (default: the run's, or data's)"
    )
    parser.add_argument(
        "--int8", action="store_true", help="use 8-bit integers where they cost little on valid"
    )


def _run_export(options: argparse.Namespace) -> None:
    need_study()
    from builder_tools.release import export_network

    export = export_network(
        options.network,
        options.out,
        size=options.size,
        suffixes=[f".{name}" for name in dict.fromkeys(options.format or ["onnx"])],
        emotions=options.emotions,
        data=options.data,
        source=options.source,
        reading=reading_options(options),
        int8=options.int8,
    )
    print(
        f"{options.out}: {export.parity.faces} faces, largest difference "
        f"{export.parity.max_abs_difference:.2e}, {export.parity.changed_argmax} changed"
    )


def _quantize_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("model", help="name or folder of a float32 model")
    parser.add_argument("--out", type=Path, required=True, help="new model folder to write")
    add_reports_option(parser)
    parser.add_argument("--note", default="", help="remark for experiments.csv")
    add_va_labels_option(parser)


def _run_quantize(options: argparse.Namespace) -> None:
    need_study()
    from builder_tools.cards import find_model
    from builder_tools.datasets.new_folder import check_new_folder
    from builder_tools.release import float32_card, labels_of, load_data, quantize_model

    folder, reading = find_model(options.model), reading_options(options)
    check_new_folder(options.out)
    card = float32_card(folder)
    labels = labels_of(card, options.va_labels)
    data = load_data(options.data, options.source, emotions=card.emotions, **reading)
    card, _ = quantize_model(folder, options.out, data, labels=labels)
    log_run(card, options.note, RUNS, options.reports)
    print_report(card.metrics["test"], affect_of(card, "test"))


def _ensemble_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument("models", nargs="+", help="names or folders of two or more models")
    parser.add_argument("--out", type=Path, required=True, help="new model folder to write")
    parser.add_argument(
        "--member-shares", nargs="+", action="extend", type=float, metavar="NUMBER",
        help="weight of each model in the mean (default: equal)",
    )  # fmt: skip
    parser.add_argument(
        "--size",
        type=side,
        help="side of the input, px, at most the largest of the models'; each gets faces resized "
        "to its own (default: that of the first)",
    )
    parser.add_argument(
        "--flip-average", action="store_true", help="average with the mirrored face at inference"
    )
    add_reports_option(parser)
    parser.add_argument("--note", default="", help="remark for experiments.csv")


def _run_ensemble(options: argparse.Namespace) -> None:
    need_study()
    from builder_tools.cards import find_model
    from builder_tools.datasets.new_folder import check_new_folder
    from builder_tools.release import cards_to_join, join_models, load_data

    folders, reading = [find_model(name) for name in options.models], reading_options(options)
    joining = {"shares": options.member_shares, "size_px": options.size}
    check_new_folder(options.out)
    emotions = cards_to_join(folders, **joining)[0].emotions
    data = load_data(options.data, options.source, emotions=emotions, **reading)
    card, _ = join_models(folders, options.out, data, flip_average=options.flip_average, **joining)
    log_run(card, options.note, RUNS, options.reports)
    print_report(card.metrics["test"], {})


VERBS = {
    "evaluate": Verb(
        "evaluate a model under every protocol, or on any labelled folders",
        (
            "builder-tools evaluate --data ferplus --split test",
            "builder-tools evaluate --model saved_models/fast --split valid --json",
            "builder-tools evaluate --data folders --source faces/ more.zip --model fast",
        ),
        _evaluate_options,
        _run_evaluate,
        extra="study",
    ),
    "quantize": Verb(
        "make an int8 twin of a float32 model: faster and smaller, re-evaluated",
        ("builder-tools quantize saved_models/mine --out saved_models/mine_int8",),
        _quantize_options,
        _run_quantize,
        extra="study",
    ),
    "ensemble": Verb(
        "combine models into one: the (weighted) mean of their probabilities, re-evaluated",
        (
            "builder-tools ensemble fast saved_models/second --out saved_models/both",
            "builder-tools ensemble fast second third --member-shares 3 3 4 --flip-average "
            "--out saved_models/accurate",
        ),
        _ensemble_options,
        _run_ensemble,
        extra="study",
    ),
    "export": Verb(
        "turn a trained .keras network into a folder that runs without TensorFlow",
        ("builder-tools export runs/fast/last.keras --out saved_models/mine --format onnx tflite",),
        _export_options,
        _run_export,
        extra="study",
    ),
}
