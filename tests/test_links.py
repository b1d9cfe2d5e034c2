"""Links and figures in what people read: every relative one leads to a file of the repository, and
every `#anchor` to a heading."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "reports/*.md", "notebooks/*", "data/*.md")
    for path in ROOT.glob(pattern)
    if path.suffix in (".md", ".ipynb")
) + sorted(ROOT.glob("saved_models/**/*.md"))


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", _text(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def _broken(path: Path) -> Iterator[str]:
    for link in LINK.findall(_text(path)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if (
            not target.exists()
            or (name and not target.is_relative_to(ROOT))
            or (anchor and target.suffix in (".md", ".ipynb") and anchor not in _anchors(target))
        ):
            yield link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    assert list(_broken(path)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    assert "how-good-it-is" in _anchors(page)
    lost = tmp_path / "page.md"
    lost.write_text("[a](nowhere.md) [b](https://example.org) [c](#no-such)\n# One\n[d](#one)")
    assert list(_broken(lost)) == ["nowhere.md", "#no-such"]
