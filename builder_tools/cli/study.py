"""Verbs of the study: train, evaluate, export. They need the `[study]` extra."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from builder_tools.cli.verb import Verb, positive


def need_study() -> None:
    """Refuses early, in one sentence, where the study's packages are not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("keras", "pandas", "sklearn") if find_spec(name) is None]
    if missing:
        raise ImportError(f"This needs {', '.join(missing)}: pip install 'builder-tools[study]'.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default="ferplus", choices=["ferplus"])
    parser.add_argument("--source", type=Path, help="zip or folder (see data/README.md)")


def _train_options(parser: argparse.ArgumentParser) -> None:
    _add_data_options(parser)
    parser.add_argument("--name", default="fast", help="folder of the model in --models")
    parser.add_argument("--network", default="compact")
    parser.add_argument(
        "--stages", default="32:14,40:10,48:12", help="picture size:epochs, small first"
    )
    parser.add_argument("--batch-size", type=positive, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--precision", choices=["mixed_bfloat16", "float32"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--run",
        dest="run_folder",
        metavar="FOLDER",
        type=Path,
        help="checkpoints (default: runs/NAME); resumes there",
    )
    parser.add_argument("--models", type=Path, default=Path("saved_models"))
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--note", default="", help="a remark for experiments.csv")


def _run_train(options: argparse.Namespace) -> None:
    need_study()
    from builder_tools.study import log_experiment, save_figures, train_and_ship

    shipped = train_and_ship(
        _training_config(options),
        data=options.data,
        source=options.source,
        run_folder=options.run_folder or Path("runs") / options.name,
        model_folder=options.models / options.name,
    )
    log_experiment(options.reports / "experiments.csv", shipped.card, options.note)
    for path in save_figures(options.reports / "figures", shipped):
        print(f"Drawn: {path}", file=sys.stderr)
    _print_report(shipped.card.metrics["test"])


def _training_config(options: argparse.Namespace):
    from builder_tools.training import TrainingConfig

    return TrainingConfig(
        network=options.network,
        stages=_stages(options.stages),
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        precision=options.precision or "mixed_bfloat16",
        seed=options.seed,
    )


def _stages(text: str):
    from builder_tools.training import Stage

    try:
        pairs = [[int(number) for number in part.split(":")] for part in text.split(",")]
        return tuple(Stage(size, epochs) for size, epochs in pairs)
    except ValueError:
        raise ValueError(
            f"Expected --stages as size:epochs,size:epochs, e.g. 32:10,48:20. Received: {text!r}."
        ) from None


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    _add_data_options(parser)
    parser.add_argument("--model", help="name or folder of a model")
    parser.add_argument("--split", default="test", choices=["train", "valid", "test"])
    parser.add_argument("--json", action="store_true", help="as in the card")


def _run_evaluate(options: argparse.Namespace) -> int:
    need_study()
    import json

    from builder_tools.cards import ModelCard, find_model
    from builder_tools.study import DATASETS, judge_model, metrics_of

    folder = find_model(options.model)
    card = ModelCard.read(folder)
    faces = DATASETS[options.data](options.source)
    metrics = metrics_of(judge_model(card, folder, faces, options.split))
    print(json.dumps(metrics, indent=2)) if options.json else _print_report(metrics)
    return _compare_with_card(card, options.split, metrics)


def _compare_with_card(card, split: str, metrics: dict) -> int:
    """Says whether the figures are those of the card; 1 if they are not."""
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


def _print_report(metrics: dict) -> None:
    from builder_tools.evaluation import format_report

    print(format_report(metrics))


def _export_options(parser: argparse.ArgumentParser) -> None:
    _add_data_options(parser)
    parser.add_argument("network", type=Path, help="a .keras file, e.g. runs/fast/last.keras")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--size", type=positive, default=48, help="side of the input, px")
    parser.add_argument(
        "--format", nargs="+", default=["onnx"], choices=["onnx", "tflite", "keras"]
    )
    parser.add_argument("--emotions", nargs="+", help="class order (default: the nine)")


def _run_export(options: argparse.Namespace) -> None:
    need_study()
    from builder_tools.study import export_network

    export = export_network(
        options.network,
        options.out,
        size=options.size,
        suffixes=[f".{name}" for name in options.format],
        emotions=options.emotions,
        source=options.source,
    )
    print(
        f"{options.out}: {export.parity.faces} faces, largest difference "
        f"{export.parity.max_abs_difference:.2e}, {export.parity.changed_argmax} changed"
    )


VERBS = {
    "train": Verb(
        "train a network, export it, judge it, write its card; goes on where it stopped",
        (
            "builder-tools train --data ferplus",
            "builder-tools train --stages 32:2 --name quick --note 'two epochs, a check'",
        ),
        _train_options,
        _run_train,
    ),
    "evaluate": Verb(
        "judge a model under every protocol and compare with its card",
        (
            "builder-tools evaluate --data ferplus --split test",
            "builder-tools evaluate --model saved_models/fast --split valid --json",
        ),
        _evaluate_options,
        _run_evaluate,
    ),
    "export": Verb(
        "turn a trained .keras network into a folder that runs without TensorFlow",
        ("builder-tools export runs/fast/last.keras --out saved_models/mine --format onnx tflite",),
        _export_options,
        _run_export,
    ),
}
