"""What a verb of the command line is, and options that several share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder_tools.fields import MOST_SEED


@dataclass(frozen=True)
class Verb:
    """A verb: its help, its options, what it does.

    Args:
        help: One line, lower case.
        examples: Command lines that work.
        add_options: Adds the options to the verb's parser.
        run: Called with the parsed options; gives the exit code, or None for 0.
        reads: Names of the options whose files or folders are read.
        writes: Names of the options whose files are written; none may be one that is read.
        extra: The extra that the verb needs; "" for none, the base install does.
        also: Extras that some options need -> these options.
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
        """Return the files and folders that the user asked to be written."""
        names = dict.fromkeys((*self.writes, "out"))
        wanted = (getattr(options, name, None) for name in names)
        return [str(path) for path in wanted if path is not None]

    def guard(self, options: argparse.Namespace) -> None:
        """Refuse to write over what is read, and files where folders are.

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
    """Refuse early, in one sentence, where the packages of an extra are not installed.

    Raises:
        ImportError: Names what is missing and the pip command.
    """
    from importlib.util import find_spec

    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(f"This needs {', '.join(missing)}: pip install 'builder-tools[{extra}]'.")


def need_video() -> None:
    """Refuse early where the packages for tables and figures over time are not installed."""
    need_extra("video", "pandas", "matplotlib", "scipy")


def tell_defaults(parser: argparse.ArgumentParser) -> None:
    """Add the default to the help of every option, of its actions too, that does not say it."""
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
    """Have what a parser, and its actions, read, and every path, refuse "", or it is this folder.

    It is what an unset variable of a script gives: `clean "$PHOTOS"`.
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


def counted(number: int, word: str) -> str:
    """Return a number of things: `1 frame`, `2 frames`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def folder_to_write(text: str) -> Path:
    """Parse a folder that may be made, so that its want is not found after the work."""
    path = _path(text)
    file = next((place for place in (path, *path.parents) if place.is_file()), None)
    if file is not None:
        raise argparse.ArgumentTypeError(f"expected a folder, and {file} is a file")
    return path


def seed(text: str) -> int:
    """Parse a seed, a whole number from 0 on."""
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


def port(text: str) -> int:
    """Parse the number of a port."""
    value = positive(text)
    if value > 65535:
        raise argparse.ArgumentTypeError(f"expected a port of 1...65535, received {text!r}")
    return value
