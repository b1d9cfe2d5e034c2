"""README in both languages, and the documentation: commands and snippets run, or at least parse;
the two READMEs say the same."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest

from builder_tools.cli import VERBS, build_parser, main
from builder_tools.media import write_image

ROOT = Path(__file__).parents[1]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
RUSSIAN = (ROOT / "README.ru.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
MAX_LINES = 150
ENDLESS = {"online", "web"}
"""Verbs of README that run until somebody ends them: tests of their own run these."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def commands(text: str, program: str = "builder-tools") -> list[list[str]]:
    """Return the words of each command line of a program, without comments and redirections."""
    found = []
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and "=" in words[0]:  # variables of the environment
                words = words[1:]
            words = words[: next((i for i, w in enumerate(words) if w in ("|", ">", "&&")), None)]
            if words[:1] == [program]:
                found.append(words[1:])
    return found


def table(text: str, first: str) -> list[list[str]]:
    """Return the rows of the table whose head begins with a word."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def in_ticks(cell: str) -> list[str]:
    return re.findall(r"`\[?([\w-]+)\]?`", cell)


@pytest.fixture(scope="module")
def desk(tmp_path_factory, face_video, astronaut, needs_detector):
    """A folder with what the commands name: a photo, some photos, a film."""
    needs_detector("mediapipe")
    needs_detector("yunet")
    folder = tmp_path_factory.mktemp("desk")
    (folder / "photos").mkdir()
    for path in ("photo.jpg", "photos/a.jpg", "photos/b.png"):
        write_image(folder / path, astronaut)
    shutil.copy(face_video.path, folder / "film.mp4")
    return folder


@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN], ids=["en", "ru"])
def test_readme_is_short(text):
    assert len(text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    "words", [c for c in commands(ENGLISH) if c[0] not in ENDLESS], ids=lambda words: words[0]
)
def test_commands_of_readme_run(words, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    if "--plot" in words:
        pytest.importorskip("matplotlib")
    assert main(words) == 0
    out = capsys.readouterr().out
    made = [desk / words[i + 1] for i, word in enumerate(words) if word in ("--out", "--csv")]
    assert out or made
    assert all(path.exists() for path in made)


@pytest.mark.parametrize("words", [c for c in commands(ENGLISH) if c[0] in ENDLESS])
def test_commands_of_readme_that_do_not_end_parse(words):
    assert build_parser(words[0]).parse_args(words).verb == words[0]


def test_python_of_readme_runs(desk, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(desk)
    for code in blocks(ENGLISH, "python"):
        exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert out.startswith("happy ") and "BatchTable(2 images" in out


def test_make_targets_and_extras_are_there():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    pages = "\n".join([ENGLISH, *(page.read_text(encoding="utf-8") for page in PAGES)])
    assert {words[0] for words in commands(pages, "make")} <= set(targets)
    named = re.findall(r"pip install '(?:\.|/src|builder-tools)\[([\w,]+)\]'", pages)
    assert named and {extra for each in named for extra in each.split(",")} <= set(extras)


def test_the_table_of_verbs_says_which_extra_each_needs():
    seen = []
    for verbs, _, needs, more in table(ENGLISH, "verb"):
        names = in_ticks(verbs)
        seen += names
        assert {VERBS[name].extra or "base" for name in names} == set(in_ticks(needs) or [needs])
        assert set().union(*(VERBS[name].also for name in names)) == set(in_ticks(more))
    assert sorted(seen) == sorted(VERBS)


def test_both_languages_say_the_same():
    def skeleton(text):
        code = [re.sub(r" *#.*", "", body) for _, body in BLOCK.findall(text)]
        prose = BLOCK.sub("", text)
        levels = re.findall(r"^#+(?= )", prose, flags=re.MULTILINE)
        ours = ("README.md", "README.ru.md")
        links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if link not in ours]
        rows = [in_ticks(line) for line in prose.splitlines() if line.startswith("|")]
        numbers = sorted(re.findall(r"\d+(?:\.\d+)?", prose))
        return code, levels, links, rows, numbers

    for ours, theirs in zip(skeleton(ENGLISH), skeleton(RUSSIAN), strict=True):
        assert ours == theirs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_the_documentation_parse(page, parser):
    for words in commands(page.read_text(encoding="utf-8")):
        parser.parse_args(words)


@pytest.fixture(scope="module")
def parser():
    return build_parser()


SNIPPETS = [
    (page.stem, code)
    for page in PAGES
    for code in blocks(page.read_text(encoding="utf-8"), "python")
    if '"photo.jpg"' in code or '"film.mp4"' in code
]


@pytest.mark.parametrize(("page", "code"), SNIPPETS, ids=[page for page, _ in SNIPPETS])
def test_snippets_of_the_documentation_run(page, code, desk, monkeypatch, request):
    if "geometry" in code:
        request.getfixturevalue("needs_geometry")
    monkeypatch.chdir(desk)
    exec(compile(code, page, "exec"), {})


def test_the_page_for_users_of_other_packages_runs_from_top_to_bottom(
    desk, needs_geometry, monkeypatch
):
    pytest.importorskip("pandas")
    monkeypatch.chdir(desk)
    text = (ROOT / "docs/how_to/coming_from.md").read_text(encoding="utf-8")
    names: dict = {}
    for kind, body in BLOCK.findall(text):
        for words in commands(f"```{kind}\n{body}```\n"):
            assert words[0] in ENDLESS or main(words) == 0
        if kind == "python":
            names = {}
            exec(compile(body, "coming_from.md", "exec"), names)
    old = names["as_deepface"](names["face"])
    assert old["dominant_emotion"] == "happy"
    assert sum(old["emotion"].values()) == pytest.approx(100)
