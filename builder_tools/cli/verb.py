"""Verbs of the command line, and helpers that several of them share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder_tools.fields import MOST_SEED

_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Verb:
    """A verb: its help, its options and what it does.

    Args:
        help: One line, lower case.
        examples: Command lines that work.
        add_options: Adds the options to the verb's parser.
        run: Called with the parsed options; returns the exit code, or None for 0.
        reads: Names of the options whose files or folders are read.
        writes: Names of the options whose files are written; none may be a file that is read.
        extra: The extra that the verb needs; "" if the base install is enough.
        also: Extra -> the options or inputs that need it.
    """

    help: str
    examples: tuple[str, ...]
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    extra: str = ""
    also: Mapping[str, str] = field(default_factory=dict)

    def wanted_files(self, options: argparse.Namespace) -> list[str]:
        """Return the files and folders that the user asked to write."""
        names = dict.fromkeys((*self.writes, "out"))
        wanted = (getattr(options, name, None) for name in names)
        return [str(path) for path in wanted if path is not None]

    def guard(self, options: argparse.Namespace) -> None:
        """Refuse to overwrite an input, or to write a file where there is a folder.

        Raises:
            ValueError: Names the option and the file.
        """
        if not self.writes:
            return
        from builder_tools.media.guarding import check_outputs

        read = []
        for name in self.reads:
            value = getattr(options, name)
            read += value if isinstance(value, list) else [] if value is None else [value]
        wanted = {f"--{name.replace('_', '-')}": getattr(options, name) for name in self.writes}
        check_outputs(wanted, read)
        for name, path in wanted.items():
            if path is not None and path.is_dir():
                raise ValueError(
                    f"Expected a file to write with {name}. Received a folder: {path}."
                )


def need_extra(extra: str, *modules: str) -> None:
    """Fail early, in one sentence, if the packages of an extra are not installed.

    Raises:
        ImportError: Names what is missing and the pip command.
    """
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(f"This needs {', '.join(missing)}: pip install 'builder-tools[{extra}]'.")


def need_video() -> None:
    """Fail early if the packages for tables and figures over time are not installed."""
    need_extra("video", "pandas", "matplotlib", "scipy")


def tell_defaults(parser: argparse.ArgumentParser) -> None:
    """Add the default to the help of every option, also of subcommands, that does not state it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                tell_defaults(own)
        untold = "default" not in (action.help or "") and not isinstance(action.default, bool)
        if (
            untold
            and action.option_strings
            and action.default not in (None, "", [], argparse.SUPPRESS)
        ):
            default = action.default
            told = f"default: {' '.join(default) if isinstance(default, list) else default}"
            action.help = f"{action.help} ({told})" if action.help else told


def refuse_empty_words(parser: argparse.ArgumentParser) -> None:
    """Have the positional arguments and paths of a parser and its subcommands refuse "".

    An empty path would mean the current folder; an unset variable in a script yields one:
    `clean "$PHOTOS"`.
    """
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                refuse_empty_words(own)
        elif action.type is Path:
            action.type = _path
        elif action.type is None and not action.option_strings:
            action.type = _word


def _word(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("received an empty text; . is the current folder")
    return text


def _path(text: str) -> Path:
    return Path(_word(text))


def escaped(text: str) -> str:
    """Return text with control characters and line breaks as escapes such as `\\x1b` and `\\n`.

    A file name may hold them; printed as they are, they would steer the terminal or forge lines.
    """
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def print_escaped(line: str) -> None:
    """Print a line that tells of a file or folder of others to stderr, `escaped`."""
    print(escaped(line), file=sys.stderr)


def counted(number: int, word: str) -> str:
    """Return a number with its noun: `1 frame`, `2 frames`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def folder_to_write(text: str) -> Path:
    """Parse a folder that can be created, so that a mistake shows before the work, not after."""
    path = _path(text)
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    if file is not None:
        raise argparse.ArgumentTypeError(f"expected a folder, and {file} is a file")
    return path


def seed(text: str) -> int:
    """Parse a seed, a whole number from 0 to `MOST_SEED`."""
    if not text.isdecimal() or int(text) > MOST_SEED:
        raise argparse.ArgumentTypeError(
            f"expected a whole number in 0...{MOST_SEED}, received {text!r}"
        )
    return int(text)


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, received {text!r}")
    return value


def side(text: str) -> int:
    """Parse the side of a network's input in px."""
    from builder_tools.cards import MOST_TRAINED_PX

    value = positive(text)
    if value > MOST_TRAINED_PX:
        raise argparse.ArgumentTypeError(f"expected 1...{MOST_TRAINED_PX} px, received {text!r}")
    return value


def port(text: str) -> int:
    """Parse a port number."""
    value = positive(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"expected a port of 1...65535, received {text!r}")
    return value
