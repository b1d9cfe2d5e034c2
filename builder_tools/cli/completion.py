"""The verb `completion`, which writes a shell's completion script."""

from __future__ import annotations

import argparse

from builder_tools.cli.verb import Verb

BASH = """\
# Completion of builder-tools in {shell}, made by `builder-tools completion {shell}`.
_builder_tools() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    local verb=${{COMP_WORDS[1]}} words=""
    if [ "$COMP_CWORD" = 1 ]; then
        words="{verbs}"
    else
        case "$verb $before" in
{choices}
        *)
            case "$verb" in
{options}
            esac
            ;;
        esac
        case "$word" in -*) ;; *) words=${{words%% -*}} ;; esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _builder_tools builder-tools
"""
SHELLS = {"bash": "", "zsh": "autoload -U +X bashcompinit && bashcompinit\n"}
"""Shell -> what it needs before the script, which is written for bash."""


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return a script that completes verbs, options and choices, and other words as file names.

    Args:
        parser: The parser of all verbs.
        shell: One of `SHELLS`.
    """
    verbs = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
    options, choices = [], []
    for verb, own in verbs.items():
        flags = [flag for action in own._actions for flag in action.option_strings]
        places = [a for a in own._actions if a.choices and not a.option_strings]
        first = [str(choice) for action in places for choice in action.choices]
        options.append(f'            {verb}) words="{" ".join([*first, "", *flags])}" ;;')
        for action in own._actions:
            if action.choices and action.option_strings:
                cases = " | ".join(f'"{verb} {flag}"' for flag in action.option_strings)
                words = " ".join(map(str, action.choices))
                choices.append(f'        {cases}) words="{words}" ;;')
    return SHELLS[shell] + BASH.format(
        shell=shell,
        verbs=" ".join(verbs),
        options="\n".join(options),
        choices="\n".join(choices),
    )


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=list(SHELLS))


def _run(options: argparse.Namespace) -> None:
    from builder_tools.cli import build_parser

    print(completion_script(build_parser(), options.shell), end="")


VERBS = {
    "completion": Verb(
        "print a shell script that completes verbs, options and their choices",
        (
            "builder-tools completion bash > ~/.local/share/bash-completion/completions/"
            "builder-tools",
            "builder-tools completion zsh > builder-tools.zsh",
        ),
        _options,
        _run,
    ),
}
