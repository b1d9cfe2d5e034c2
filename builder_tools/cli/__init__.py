"""`builder-tools VERB`: one verb for each capability.

Only results go to stdout; progress and messages go to stderr. Exit codes: 0 done; 1 some items
failed (they are listed); 2 wrong usage; 130, 143 and 129 ended by Ctrl-C, SIGTERM and SIGHUP; 141
the reader of stdout went away before all files were written.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections import UserDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext

import builder_tools
from builder_tools import __version__
from builder_tools.cli.endings import ended_by_signals, exit_code_of
from builder_tools.cli.process import (
    WRONG_USAGE,
    advice_on_place,
    allow_any_letter,
    hear_only_errors_of_opencv,
    keep_any_name_in_tables,
    open_closed_streams,
    say_reader_is_gone,
    write_out,
)
from builder_tools.cli.quiet import without_chatter
from builder_tools.cli.verb import Verb, escaped, refuse_empty_words, tell_defaults

DONE, SOME_FAILED = 0, 1

PLACES = {
    "images": ("img", "img-batch"),
    "use": ("video", "video-rec", "online"),
    "resting": ("rest",),
    "kaggle": ("submit",),
    "highlights": ("highlights",),
    "web": ("web",),
    "exhibits": ("exhibits",),
    "watch": ("watch",),
    "archive": ("archive",),
    "data": ("data",),
    "clean": ("clean",),
    "balance": ("balance",),
    "tune": ("tune",),
    "train": ("train",),
    "release": ("evaluate", "quantize", "ensemble", "export"),
    "label_va": ("label-va",),
    "benchmark": ("benchmark",),
    "house": ("assets", "models"),
    "doctor": ("doctor",),
    "completion": ("completion",),
}
"""The verbs of each module in this package; a command imports only its own module."""

GROUPS = {
    "faces in images, videos and cameras": (
        *("img", "img-batch", "video", "video-rec", "online", "web", "rest"),
    ),
    "people over time": ("highlights", "exhibits", "watch", "archive"),
    "data sets and the Kaggle competition": ("data", "clean", "balance", "label-va", "submit"),
    "models": ("models", "tune", "train", "evaluate", "quantize", "ensemble", "export"),
    "this machine": ("doctor", "assets", "benchmark", "completion"),
}
"""The verbs grouped by purpose, in the order of the help."""

STUDY_VERBS = {
    verb for name in ("balance", "label_va", "release", "train", "tune") for verb in PLACES[name]
}
"""Verbs that load TensorFlow."""
TABLE_VERBS = {*STUDY_VERBS, *PLACES["clean"], *PLACES["data"]}
"""Verbs that keep file names in pandas tables."""


class _Verbs(UserDict[str, Verb]):
    """Every verb by name, imported on first access."""

    def __init__(self, places: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._module = {verb: name for name, verbs in places.items() for verb in verbs}

    def __missing__(self, verb: str) -> Verb:
        module = importlib.import_module(f"{__name__}.{self._module[verb]}")
        self.data = {**module.VERBS, **self.data}
        return self.data[verb]

    def __iter__(self) -> Iterator[str]:
        return (verb for verbs in GROUPS.values() for verb in verbs)

    def __len__(self) -> int:
        return len(self._module)

    def __contains__(self, verb: object) -> bool:
        return verb in self._module


VERBS = _Verbs(PLACES)

OTHER_BACKENDS = ("jax", "torch")
"""Values of KERAS_BACKEND whose packages no extra installs."""

MOVED = {
    "classical": "`python -m studies.classical`",
    "experiment": "`python -m studies.screening` or `python -m studies.ablations`",
}
"""Verbs that only made this repository's own tables -> the commands that make them now."""


class _OneLine(logging.Formatter):
    """Formats a message as one line, whatever names of files it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escaped(super().formatMessage(record))


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of all verbs, or of one verb, in which case only its module is imported."""
    width = max(map(len, VERBS)) + 2
    groups = (
        [f"{title}:", *(f"  {name:<{width}}{VERBS[name].help}" for name in names)]
        for title, names in GROUPS.items()
    )
    parser = argparse.ArgumentParser(
        prog="builder-tools",
        description="Recognise nine emotions from faces, and study how it is done.",
        epilog=None if only else "\n\n".join(map("\n".join, groups)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"builder-tools {__version__}")
    verbs = parser.add_subparsers(
        dest="verb",
        metavar="VERB",
        required=True,
        help="one of these; see VERB --help for more",
    )
    for name in VERBS if only is None else (only,):
        verb = VERBS[name]
        own = verbs.add_parser(
            name,
            description=verb.help[0].upper() + verb.help[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in verb.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_options(own)
        tell_defaults(own)
        refuse_empty_words(own)
        own.set_defaults(run=verb.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; return the exit code."""
    open_closed_streams()
    allow_any_letter()
    hear_only_errors_of_opencv()
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in MOVED:
        moved = f"This left the package: run {MOVED[words[0]]} in a clone of the repository."
        print(f"builder-tools {words[0]}: {moved}", file=sys.stderr)
        return WRONG_USAGE
    only = words[0] if words and words[0] in VERBS else None
    try:
        options = build_parser(only).parse_args(words)
    except SystemExit as end:  # --help, or wrong usage
        raise SystemExit(write_out(end.code)) from None
    if options.verb in TABLE_VERBS:
        keep_any_name_in_tables()
    quiet = without_chatter() if options.verb in STUDY_VERBS else nullcontext()
    with quiet:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_OneLine("%(message)s"))
        logging.basicConfig(handlers=[handler])
        logging.getLogger(builder_tools.__name__).setLevel(logging.INFO)
        return write_out(_run(options))


def _run(options: argparse.Namespace) -> int:
    """Run the chosen verb; if it fails, say why in one sentence."""
    try:
        with ended_by_signals():
            VERBS[options.verb].guard(options)
            return options.run(options) or DONE
    except KeyboardInterrupt as end:
        print(f"builder-tools: interrupted ({str(end) or 'SIGINT'})", file=sys.stderr)
        return exit_code_of(end)
    except BrokenPipeError:
        return say_reader_is_gone(options.verb, VERBS[options.verb].wanted_files(options))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == builder_tools.__name__:
            raise
        extra = VERBS[options.verb].extra
        wanted = f"'builder-tools[{extra}]'" if extra else "builder-tools"
        if package in OTHER_BACKENDS:
            wanted = package
        print(
            f"builder-tools {options.verb}: This needs {package}: pip install {wanted}.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        advice = advice_on_place()
        words = str(error).removesuffix("." if advice else "") or "out of memory"
        words = "\n".join(map(escaped, words.split("\n")))
        print(f"builder-tools {options.verb}: {words}{advice}", file=sys.stderr)
        return WRONG_USAGE
    except Exception as error:
        if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's own class
            raise
        said = str(error).partition(" on ")[0].rpartition("}} ")[2]
        print(
            f"builder-tools {options.verb}: out of memory ({said}): take fewer or smaller faces at "
            "once, or a smaller network.",
            file=sys.stderr,
        )
        return WRONG_USAGE
