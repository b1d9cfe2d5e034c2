"""The verb `train`. It needs the `[study]` extra."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from builder_tools.augmentation.strength import AUGMENTATIONS
from builder_tools.cli.reading import add_data_options, reading_options
from builder_tools.cli.release import (
    RUNS,
    add_reports_option,
    add_va_labels_option,
    affect_of,
    log_run,
    need_study,
    print_report,
)
from builder_tools.cli.verb import Verb, positive, seed
from builder_tools.fields import read_json_object
from builder_tools.tasks import KEEP, MONITORS, TASKS
from builder_tools.training.optimizers import OPTIMIZERS, PRECISIONS, SCHEDULES


def _train_options(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser)
    parser.add_argument(
        "--name", default="mine", help="folder for the model in --models (default: %(default)s)"
    )
    parser.add_argument(
        "--run",
        dest="run_folder",
        metavar="FOLDER",
        type=Path,
        help="folder for checkpoints (default: runs/NAME); resumes there",
    )
    parser.add_argument(
        "--models", type=Path, default=Path("saved_models"), help="folder to write models to"
    )
    add_reports_option(parser, ", and draw figures there")
    parser.add_argument("--note", default="", help="remark for experiments.csv")
    parser.add_argument(
        "--train-only",
        action="store_true",
        help="stop after training; the same command without it, even on another machine with "
        "the run's folder, goes on to export and evaluate",
    )
    parser.add_argument("--tensorboard", action="store_true", help="write logs to the run's folder")
    parser.add_argument(
        "--int8", action="store_true", help="deploy 8-bit integers if accuracy on valid holds"
    )
    parser.add_argument(
        "--flip-average", action="store_true", help="average with the mirrored face at inference"
    )
    _add_network_options(parser.add_argument_group("network"))
    _add_schedule_options(parser.add_argument_group("schedule"))
    _add_loss_options(parser.add_argument_group("loss and faces"))
    _add_target_options(parser.add_argument_group("targets"))
    _add_affect_options(parser.add_argument_group("valence and arousal"))


def _add_affect_options(group) -> None:
    group.add_argument(
        "--task",
        choices=list(TASKS),
        help="what the network predicts: emotions, valence and arousal, or both in one pass "
        "(default: emotion)",
    )
    add_va_labels_option(group)
    group.add_argument(
        "--affect-weight",
        type=float,
        help="weight of their loss relative to the emotions' (default: 1)",
    )
    group.add_argument(
        "--ccc-weight", type=float, help="weight of 1 - concordance in their loss (default: 1)"
    )
    group.add_argument(
        "--mse-weight", type=float, help="weight of the squared error in it (default: 1)"
    )


def _add_network_options(group) -> None:
    group.add_argument(
        "--config", type=Path, help="configuration found by tune; other options override it"
    )
    group.add_argument("--network", help="name of the network (default: compact)")
    group.add_argument(
        "--weights",
        help="what the backbone starts from: pretrained, or a file (.keras, .h5, or as published)",
    )
    group.add_argument(
        "--keep-head",
        action="store_true",
        default=None,
        help="also start from the head in the --weights file, and go on learning the same classes",
    )
    group.add_argument(
        "--dense",
        type=int,
        nargs="*",
        metavar="WIDTH",
        help="widths of hidden layers (default: none)",
    )
    group.add_argument("--dropout", type=float, help="dropout before the last layer (default: 0.3)")
    group.add_argument("--precision", choices=PRECISIONS, help="default: mixed_bfloat16")


def _add_schedule_options(group) -> None:
    group.add_argument(
        "--stages",
        help="size:epochs[:what learns], small sizes first; what learns is all, head, last (the "
        "network's own number of last layers) or a number (default: 32:14,40:10,48:12)",
    )
    group.add_argument(
        "--cache-features",
        dest="feature_copies",
        type=positive,
        nargs="?",
        const=4,
        metavar="COPIES",
        help="compute the output of frozen layers once, for this many augmented copies of each "
        "face (without a number: 4), in the user's cache, and train the rest on that",
    )
    group.add_argument("--batch-size", type=positive, help="default: 64")
    group.add_argument("--optimizer", choices=list(OPTIMIZERS), help="default: adamw")
    group.add_argument("--learning-rate", type=float, help="peak rate (default: 0.002)")
    group.add_argument(
        "--fine-tune-learning-rate",
        type=float,
        help="peak rate in phases after the first (default: --learning-rate)",
    )
    group.add_argument("--schedule", choices=list(SCHEDULES), help="default: cosine")
    group.add_argument(
        "--decay-rate",
        type=float,
        help="factor of the exponential schedule, per epoch (default: 0.9)",
    )
    group.add_argument("--weight-decay", type=float, help="default: 0.05")
    group.add_argument("--seed", type=seed, help="default: 0")
    group.add_argument(
        "--patience", type=positive, help="early stopping, epochs per phase (default: none)"
    )
    group.add_argument(
        "--monitor",
        choices=list(MONITORS),
        help="what --patience and --keep best are based on (default: val_loss)",
    )
    group.add_argument("--keep", choices=KEEP, help="which epoch to keep (default: last)")


def _add_loss_options(group) -> None:
    group.add_argument("--focal-gamma", type=float, help="0 is cross-entropy (default: 0)")
    group.add_argument(
        "--label-smoothing",
        type=float,
        help="share of a target spread over all classes (default: 0)",
    )
    group.add_argument(
        "--class-weight-power",
        type=float,
        help="0 for no class weights, 1 for balanced ones; the exported model's probabilities "
        "have their effect removed (for balanced answers, use it with --decision balanced) "
        "(default: 0)",
    )
    group.add_argument(
        "--augmentation", choices=list(AUGMENTATIONS), help="default: full, except colours"
    )
    group.add_argument(
        "--degrade",
        type=float,
        help="probability of lost resolution, blur, noise, JPEG, gamma (default: 0)",
    )
    group.add_argument("--mixup", type=float, help="alpha of mixup (default: 0)")
    group.add_argument("--cutmix", type=float, help="alpha of cutmix (default: 0)")
    group.add_argument(
        "--ema-decay",
        type=float,
        help="keep averaged weights with this decay, e.g. 0.999 (default: 0)",
    )
    group.add_argument(
        "--batch-norm-momentum", type=float, help="0.9 for short runs of Keras networks"
    )


def _add_target_options(group) -> None:
    group.add_argument(
        "--labels",
        choices=["soft", "hard"],
        default="soft",
        help="people's votes, or the label alone",
    )
    group.add_argument(
        "--teachers",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODEL[=WEIGHT]",
        help="distil these: models by name or folder, face_expression (fetched, verified), or "
        ".keras files; weights in their mean are equal unless given",
    )
    group.add_argument(
        "--match-teachers",
        action="store_true",
        help="ask the teachers about the exact faces trained on, augmented and mixed",
    )
    group.add_argument(
        "--unlabelled",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="FOLDER|ZIP",
        help="faces without labels, taught by the teachers alone",
    )
    group.add_argument(
        "--teacher-share", type=float, help="teachers' share of each target (default: 0.5)"
    )
    group.add_argument(
        "--original-share",
        type=float,
        default=0.0,
        help="share of FER2013's own label in each target",
    )


def teaching(options: argparse.Namespace):
    """Return the `Teaching` that options of `train` ask for."""
    from builder_tools.release import Teaching

    named = [teacher.partition("=") for teacher in options.teachers]
    weighted = any(weight for _, _, weight in named)
    share = options.teacher_share
    if share is None:
        share = 0.5 if named else 0.0
    try:
        weights = tuple(float(weight or 1) for _, _, weight in named) if weighted else ()
    except ValueError:
        raise ValueError(
            f"Expected --teachers as MODEL or MODEL=WEIGHT. Received: {options.teachers}."
        ) from None
    return Teaching(
        soft=options.labels == "soft",
        original_share=options.original_share,
        teachers=tuple(name for name, _, _ in named),
        teacher_share=share,
        teacher_weights=weights,
        match=options.match_teachers,
        unlabelled=tuple(map(str, options.unlabelled)),
    )


def _run_train(options: argparse.Namespace) -> None:
    need_study()
    from builder_tools.release import save_figures, train_and_ship

    if options.name == ".." or Path("models", options.name).name != options.name:
        raise ValueError(
            f"Expected --name as the name of one folder in --models. Received: {options.name!r}. "
            "Say with --models where that lies."
        )
    run_folder = options.run_folder or RUNS / options.name
    shipped = train_and_ship(
        training_config(options),
        data=options.data,
        source=options.source,
        reading=reading_options(options),
        run_folder=run_folder,
        model_folder=options.models / options.name,
        teaching=teaching(options),
        va_labels=options.va_labels,
        tensorboard=options.tensorboard,
        int8=options.int8,
        flip_average=options.flip_average,
        train_only=options.train_only,
    )
    if shipped is None:
        print("Trained. The same command without --train-only does the rest.", file=sys.stderr)
        return
    log_run(shipped.card, options.note, run_folder.parent, options.reports)
    for path in save_figures((options.reports or run_folder) / "figures", shipped):
        print(f"Drawn: {path}", file=sys.stderr)
    print_report(shipped.card.metrics["test"], affect_of(shipped.card, "test"))


def training_config(options: argparse.Namespace):
    """Return the configuration of --config, or the default one, with the given options applied."""
    import dataclasses

    from builder_tools.training import TrainingConfig

    base = TrainingConfig()
    if options.config:
        base = TrainingConfig.from_dict(read_json_object(options.config))
    plain = {field.name for field in dataclasses.fields(base)} - {"stages", "head", "augmentation"}
    changes = {n: v for n, v in vars(options).items() if n in plain and v is not None}
    if options.stages is not None:
        changes["stages"] = _stages(options.stages, changes.get("network", base.network))
    if options.augmentation:
        changes["augmentation"] = AUGMENTATIONS[options.augmentation]
    head = {"dense": options.dense and tuple(options.dense), "dropout": options.dropout}
    head["task"] = options.task
    head = {name: value for name, value in head.items() if value is not None}
    return dataclasses.replace(base, **changes, head=dataclasses.replace(base.head, **head))


def _stages(text: str, network: str):
    from builder_tools.networks import NETWORKS
    from builder_tools.training import Stage

    stages = []
    try:
        for part in text.split(","):
            size, epochs, *learns = part.split(":")
            if len(learns) > 1:
                _refuse(text)
            if learns == ["last"] and network in NETWORKS:
                learns = [NETWORKS[network].unfreeze or "all"]
            elif learns and learns[0] not in ("all", "head"):
                learns = [int(learns[0])]
            stages.append(Stage(int(size), int(epochs), *learns))
    except ValueError:
        _refuse(text)
    return tuple(stages)


def _refuse(text: str) -> None:
    raise ValueError(
        "Expected --stages as size:epochs,size:epochs, e.g. 32:10,48:20 or 48:3:head,48:5:last. "
        f"Received: {text!r}."
    ) from None


VERBS = {
    "train": Verb(
        "train, export and evaluate a network, and write its card; resumes where it stopped",
        (
            "builder-tools train --data ferplus",
            "builder-tools train --stages 32:2 --name quick --note 'two epochs, a check'",
            "builder-tools train --data folders --source faces/ --name mine --keep best",
            "builder-tools train --network vgg16 --weights pretrained --stages 48:3:head,48:9:last"
            " --schedule exponential --name vgg",
            "builder-tools train --network face_mobilenet --weights pretrained --cache-features 4"
            " --stages 64:8:head,64:8:15 --precision float32 --name faces",
            "builder-tools train --config runs/tune/compact/best.json --name tuned",
            "builder-tools train --weights saved_models/fast/model.keras --keep-head --stages 48:5"
            " --learning-rate 0.0004 --data folders --source ours/ --name ours",
            "builder-tools train --network compact_tiny --teachers fast --int8 --name tiny",
            "builder-tools train --network compact_wide --flip-average --name accurate",
            "builder-tools train --task both --va-labels labels.csv --name both",
        ),
        _train_options,
        _run_train,
        extra="study",
    ),
}
