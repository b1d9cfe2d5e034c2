"""The documentation names what the code has: pages, keys, columns, variables."""

import json
import re
import signal
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from builder_tools.cli.process import READER_GONE
from builder_tools.emotions import NINE_EMOTIONS
from builder_tools.inference import BatchRow
from builder_tools.submission import LOG_COLUMNS
from builder_tools.submission.faces_csv import FIRST_COLUMNS as FACE_COLUMNS
from builder_tools.timeline.writer import columns_of
from builder_tools.watch.config import Camera, Site

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def words(text: str) -> set[str]:
    """Return what stands in backticks."""
    return set(re.findall(r"`([\w.]+)`", text))


def test_every_page_is_in_the_navigation_and_every_entry_is_a_page():
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": ([\w/]+\.md)$", site, flags=re.MULTILINE)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert set(listed) <= pages
    assert {name for name in pages if "/" in name} <= set(listed), "but notes beside the rooms"


def test_keys_of_configuration_files_are_told():
    pytest.importorskip("pandas")
    from builder_tools.timeline.exhibits_config import Exhibit, ExhibitConfig

    exhibits, watch = page("reference/configuration").split("## `watch`")
    for text, kinds, rows in (
        (exhibits, (ExhibitConfig, Exhibit), "exhibits"),
        (watch, (Site, Camera), "cameras"),
    ):
        keys = {field.name for kind in kinds for field in fields(kind)} - {rows}
        assert keys <= words(text)


def test_examples_of_configuration_files_are_read(tmp_path):
    pytest.importorskip("pandas")
    from builder_tools.timeline.exhibits_config import read_config
    from builder_tools.watch.config import read_site

    found = []
    for each in DOCS.rglob("*.md"):
        found += re.findall(r"```toml\n(.*?)```", each.read_text(encoding="utf-8"), re.DOTALL)
    for number, text in enumerate(found):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        for row in tomllib.loads(text).get("exhibit", []):
            if isinstance(row["source"], str):
                (tmp_path / row["source"]).mkdir(parents=True, exist_ok=True)
        (read_site if "[[camera]]" in text else read_config)(path)
    assert len(found) >= 3


def test_columns_of_tables_are_told():
    told = words(page("reference/tables"))
    timeline = set(columns_of(NINE_EMOTIONS)) - {f"p_{name}" for name in NINE_EMOTIONS}
    assert timeline <= told and "p_EMOTION" in told
    assert {*LOG_COLUMNS, *FACE_COLUMNS} <= told
    assert {*LOG_COLUMNS} <= {field.name for field in fields(BatchRow)}, "as the log is made"


def test_environment_variables_are_told():
    source = "\n".join(p.read_text() for p in (ROOT / "builder_tools").rglob("*.py"))
    read = set(re.findall(r'"(BUILDER_TOOLS_[A-Z_]+|XDG_[A-Z_]+|ORT_[A-Z_]+)"', source))
    assert len(read) > 8 and read <= words(page("reference/environment"))


def test_exit_codes_are_told():
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", page("reference/exit_codes"), re.M)}
    ended = {128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    assert told == {0, 1, 2, READER_GONE} | ended


def test_findings_listed_for_notebooks_have_the_notebooks_figures():
    rows = re.findall(
        r"^\| \[.*?\]\((.*?\.ipynb)\) \| .*? \| (.*) \|$",
        page("explanation/notebooks"),
        flags=re.M,
    )
    assert len(rows) == len(list((ROOT / "notebooks").glob("*.ipynb")))
    for link, listed in rows:
        notebook = json.loads((ROOT / "notebooks" / Path(link).name).read_text(encoding="utf-8"))
        finding = "".join(notebook["cells"][-1]["source"])
        shares = [f"{share} %" for share in re.findall(r"([\d.,]+) %", listed)]
        missing = [one for one in (*shares, *re.findall(r"0\.\d+", listed)) if one not in finding]
        assert not missing, (link, missing)
