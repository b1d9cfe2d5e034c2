"""What MkDocs does for this site besides (`mkdocs.yml`, `hooks`).

- A page may link to any file of the repository, as it would on a code host. What lies outside
  `docs/` and is linked to comes into the site, with what those pages link to in turn; notebooks
  become pages.
- `<!-- made: NAME -->` in a page is replaced by what `MADE[NAME]` makes from the code, so that
  references cannot go stale.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from builder_tools.cards import ModelCard
from builder_tools.cli import GROUPS, VERBS, build_parser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
PAGES = (".md", ".ipynb")
"""What becomes a page; other files come as they are."""
sources: dict[str, Path] = {}
"""A page from outside `docs/`, by its place in the site -> its file."""
MADE_HERE = re.compile(r"<!-- made: (\w+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to outside `docs/`, and what that links to in turn."""
    waiting = [DOCS / file.src_uri for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        page = waiting.pop()
        links = LINK.finditer(_text(page))
        for target in filter(None, (_target(page, found[2]) for found in links)):
            if target in seen or target.is_relative_to(DOCS):
                continue
            seen.add(target)
            if target.suffix in PAGES:
                files.append(File.generated(config, _site_uri(target), content=_text(target)))
                sources[_site_uri(target)] = target
                waiting.append(target)
            else:
                files.append(File.generated(config, _site_uri(target), abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made from the code, and lead links to where their files are in the site."""
    markdown = MADE_HERE.sub(lambda found: MADE[found[1]](), markdown)
    uri = page.file.src_uri
    source = sources.get(uri, DOCS / uri)
    if uri in sources:
        page.meta["search"] = {"boost": 0.3}  # what was written to be read comes first

    def lead(found: re.Match[str]) -> str:
        target = _target(source, found[2])
        if target is None:
            return found[0]
        return found[1] + os.path.relpath(_site_uri(target), os.path.dirname(uri)) + found[3]

    return LINK.sub(lead, markdown)


def _target(page: Path, link: str) -> Path | None:
    """Return the file of the repository that a link leads to; None for anything else."""
    target = (page.parent / link).resolve()
    return target if target.is_file() and target.is_relative_to(ROOT) else None


def _site_uri(path: Path) -> str:
    path = path.with_suffix(".md") if path.suffix == ".ipynb" else path
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()


def _text(page: Path) -> str:
    """Return a page as Markdown."""
    text = page.read_text(encoding="utf-8")
    return text if page.suffix == ".md" else "\n\n".join(_notebook(json.loads(text)["cells"]))


def _notebook(cells: list[dict]) -> Iterator[str]:
    """Yield the cells of a notebook, and what they show, as Markdown."""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            continue
        yield f"````python\n{source}\n````"
        for output in cell.get("outputs", []):
            data = {"text/plain": output.get("text", ""), **output.get("data", {})}
            shown = {kind: "".join(lines) for kind, lines in data.items()}
            if "image/png" in shown:
                encoded = shown["image/png"].replace("\n", "")
                yield f'<img alt="" src="data:image/png;base64,{encoded}">'
            elif "text/html" in shown:
                table = re.sub(r"<style.*?</style>|\n\s*", "", shown["text/html"], flags=re.DOTALL)
                yield f"<div>{table}</div>"
            elif shown["text/plain"].strip():
                yield f"````text\n{shown['text/plain'].rstrip()}\n````"


def command_line() -> str:
    """Return every verb's help, under what it is for."""
    choices = _subparsers(build_parser())
    return "\n\n".join(
        f"## {title[0].upper()}{title[1:]}\n\n" + "\n\n".join(_verb(choices[v], v) for v in verbs)
        for title, verbs in GROUPS.items()
    )


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return next((dict(group.choices) for group in groups), {})


def _verb(parser: argparse.ArgumentParser, name: str) -> str:
    verb = VERBS[name]
    help_text = verb.help[0].upper() + verb.help[1:]
    parts = [f"### `{name}`", f"{help_text}.", _needs(name)]
    examples = "\n".join(verb.examples)
    parts += [f"```sh\n{examples}\n```", *_options(parser)]
    for action, own in _subparsers(parser).items():
        parts += [f"#### `{name} {action}`", *_options(own)]
    return "\n\n".join(parts)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        said = (action.help or "") % {**vars(action), "prog": parser.prog}
        choices = f"one of {', '.join(map(str, action.choices))}" if action.choices else ""
        cells = (_signature(action), "; ".join(filter(None, (said, choices))))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])


def _signature(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    value = " ".join(value) if isinstance(value, tuple) else value
    if not action.option_strings:
        return f"`{value}`"
    flags = ", ".join(action.option_strings)
    return f"`{flags}`" if action.nargs == 0 else f"`{flags} {value}`"


def _needs(name: str) -> str:
    verb = VERBS[name]
    extra = f"`[{verb.extra}]`" if verb.extra else "the base install"
    more = "".join(f"; {what}: `[{other}]`" for other, what in verb.also.items())
    return f"*Needs {extra}{more}.*"


def card_fields() -> str:
    """Return the fields of a card, with what they are, from its docstring."""
    meanings = re.split(r"\n {8}(?=\w+: )", (ModelCard.__doc__ or "").partition("Args:")[2])
    about = dict(re.sub(r"\s+", " ", each).strip().split(": ", 1) for each in meanings[1:])
    lines = ["| field | meaning | needed |", "|---|---|---|"]
    for field in fields(ModelCard):
        meaning = about[field.name].partition(" Raises:")[0]
        needed = field.default is MISSING and field.default_factory is MISSING
        lines.append(f"| `{field.name}` | {meaning} | {'yes' if needed else ''} |")
    return "\n".join(lines)


MADE: dict[str, Callable[[], str]] = {"command_line": command_line, "card_fields": card_fields}
