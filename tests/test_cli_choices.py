"""What the command line offers is what the registries hold."""

import argparse
from pathlib import Path

import pytest

from builder_tools.augmentation import AUGMENTATIONS
from builder_tools.cleaning.config import FORMATS, POLICIES
from builder_tools.cli import build_parser
from builder_tools.datasets import DATASETS, SPLITS
from builder_tools.datasets.fetch import FETCHED
from builder_tools.detectors import DETECTORS
from builder_tools.export import WRITERS
from builder_tools.tasks import KEEP, MONITORS, TASKS
from builder_tools.training.optimizers import OPTIMIZERS, PRECISIONS, SCHEDULES
from builder_tools.valence_arousal import LABELLERS


def _action(parser: argparse.ArgumentParser, *path: str) -> argparse.Action:
    *verbs, option = path
    for verb in verbs:
        found = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = next(found).choices[verb]
    return next(a for a in parser._actions if option in (*a.option_strings, a.dest))


@pytest.mark.parametrize(
    ("path", "registry"),
    [
        (("train", "--data"), DATASETS),
        (("train", "--task"), TASKS),
        (("train", "--optimizer"), OPTIMIZERS),
        (("train", "--schedule"), SCHEDULES),
        (("train", "--precision"), PRECISIONS),
        (("train", "--monitor"), MONITORS),
        (("train", "--keep"), KEEP),
        (("train", "--augmentation"), AUGMENTATIONS),
        (("tune", "--schedules"), SCHEDULES),
        (("tune", "--precision"), PRECISIONS),
        (("evaluate", "--split"), [*SPLITS, "all"]),
        (("export", "--format"), [suffix.lstrip(".") for suffix in WRITERS]),
        (("clean", "--detector"), DETECTORS),
        (("clean", "--format"), FORMATS),
        (("clean", "--multi-face"), POLICIES["multi_face"]),
        (("clean", "--leaks"), POLICIES["leaks"]),
        (("data", "fetch", "name"), FETCHED),
        (("data", "folders", "name"), DATASETS),
        (("label-va", "--method"), LABELLERS),
        (("label-va", "--split"), [*SPLITS, "all"]),
    ],
)
def test_choices_come_from_registries(path, registry) -> None:
    assert list(_action(build_parser(), *path).choices) == list(registry)


def test_every_plain_option_of_training_reaches_the_configuration() -> None:
    pytest.importorskip("keras")
    from builder_tools.cli.train import training_config

    words = [
        "train",
        "--learning-rate",
        "0.5",
        "--seed",
        "3",
        "--keep",
        "best",
        "--mixup",
        "0.2",
        "--mse-weight",
        "0.5",
    ]
    config = training_config(build_parser().parse_args(words))
    assert (config.learning_rate, config.seed, config.keep) == (0.5, 3, "best")
    assert (config.mixup, config.mse_weight, config.batch_size) == (0.2, 0.5, 64)


def test_registries_are_light() -> None:
    """Help texts list names without loading what they name."""
    import subprocess
    import sys

    code = (
        "import sys; from builder_tools.cli import build_parser; build_parser(); "
        "print([m for m in ('keras', 'tensorflow', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "option", "meant"),
    [
        ("evaluate --source a b --source c", "source", [Path("a"), Path("b"), Path("c")]),
        ("evaluate --classes a=b --classes=-1= --columns path=x", "classes", ["a=b", "-1="]),
        ("evaluate --va-labels a --va-labels b", "va_labels", [Path("a"), Path("b")]),
        ("train --source a --source b", "source", Path("b")),
        ("train --teachers a --teachers b", "teachers", ["a", "b"]),
        ("train --unlabelled a --unlabelled b", "unlabelled", [Path("a"), Path("b")]),
        ("ensemble a b --out c --member-shares 1 --member-shares 2", "member_shares", [1, 2]),
        ("export run --out x --emotions sad --emotions happy", "emotions", ["sad", "happy"]),
        ("tune --unfreeze 1 --unfreeze 2", "unfreeze", ["1", "2"]),
        ("benchmark --models a --models b", "models", ["a", "b"]),
        ("benchmark --detectors haar --detectors ssd", "detectors", ["haar", "ssd"]),
        ("export n --out m --format onnx --format tflite", "format", ["onnx", "tflite"]),
    ],
)
def test_options_of_several_words_may_be_given_again(words, option, meant):
    """Only the last counted, without a word: `--source a --source b` judged b alone."""
    assert getattr(build_parser().parse_args(words.split()), option) == meant
    assert getattr(build_parser().parse_args(words.split()), option) == meant
