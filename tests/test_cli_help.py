"""What `--help` tells of each option: what it is for, and what happens without it."""

import argparse
from collections.abc import Iterator
from dataclasses import fields

import pytest

from builder_tools.cards import DEFAULT_MODEL
from builder_tools.cli import build_parser
from builder_tools.cli.verb import counted


def options(parser: argparse.ArgumentParser, *path: str) -> Iterator[tuple[str, argparse.Action]]:
    """Yield the options of every verb that take a value."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, own in action.choices.items():
                yield from options(own, *path, name)
        elif action.option_strings and action.nargs != 0:
            yield " ".join((*path, action.option_strings[0])), action


def said(action: argparse.Action) -> str:
    return (action.help or "") % vars(action)


def test_every_option_says_what_it_is_for_or_what_it_is_without():
    assert [name for name, action in options(build_parser()) if not said(action)] == []


def test_every_default_is_told_once():
    for name, action in options(build_parser()):
        if action.default not in (None, [], "", argparse.SUPPRESS):
            assert said(action).count("default") == 1, name


def test_the_default_model_is_told():
    models = [action for name, action in options(build_parser()) if name.endswith(" --model")]
    assert len(models) > 5
    for action in models:
        assert f"default: {DEFAULT_MODEL}" in said(action)


@pytest.mark.parametrize("verb", ["train", "clean"])
def test_the_defaults_of_configurations_are_told(verb):
    if verb == "train":
        pytest.importorskip("keras")
        from builder_tools.training import TrainingConfig as Config
    else:
        from builder_tools.cleaning import CleaningConfig as Config
    config = Config()
    wanted = {field.name: getattr(config, field.name) for field in fields(config)}
    plain = {name: v for name, v in wanted.items() if isinstance(v, str | int | float)}
    for name, action in options(build_parser()):
        asked = action.dest in plain and action.choices is None and action.nargs != "?"
        if name.startswith(f"{verb} ") and asked:
            value = plain[action.dest]
            value = f"{value:g}" if isinstance(value, float) else value
            assert f"default: {value}" in said(action), name


def test_one_is_not_told_as_many():
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
    assert counted(28556, "row") == "28556 rows"


def test_evaluate_says_what_naming_people_changes():
    found = {name: said(action) for name, action in options(build_parser("evaluate"))}
    told = found["evaluate --person"]
    assert "compare each face with the other neutral images of its person" in told
    assert "people, not images, for the intervals" in told
