"""The house rules of `docs/design.md`, read from the source with `ast`: who may import whom,
what a light start may load, and the size and manners of every module."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "builder_tools"
DESIGN = PACKAGE.parent / "docs" / "design.md"
MAX_LINES = 400
TELLING = ("Gives", "Tells", "Says", "Returns", "Reads", "Writes", "Draws", "Makes", "Takes")


@dataclass(frozen=True)
class Storey:
    """One row of the table: a module (or folder) and what it may import when it is imported.

    `third_party` is beyond numpy, and beyond pandas in the study wing. A light module belongs to
    the use wing.
    """

    name: str
    third_party: frozenset[str] = frozenset()
    light: bool = False


def _read_storeys(text: str) -> Iterator[Storey]:
    """Yield the rows of the table of `docs/design.md`, whose second column names a module."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 5 or not cells[1].startswith("`"):
            continue
        light = cells[2] == "yes"
        third_party = {name.strip() for name in cells[4].split(",") if name.strip()}
        third_party |= set() if light else {"pandas"}
        yield Storey(cells[1].strip("`"), frozenset(third_party), light)


STOREYS = tuple(_read_storeys(DESIGN.read_text(encoding="utf-8")))
ORDER = {storey.name: row for row, storey in enumerate(STOREYS)}
HEAVY = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib", "seaborn")


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _module_id(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _storey_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imported_names(nodes: Iterator[ast.AST], path: Path) -> Iterator[str]:
    """Absolute dotted names of everything imported by `nodes`, `from a import b` as `a.b`."""
    package = ("builder_tools", *path.relative_to(PACKAGE).parent.parts)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _nodes_run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: not functions, not `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _nodes_run_at_import(child)


def _storeys_used(tree: ast.Module, path: Path) -> set[str]:
    names = (name.split(".") for name in _imported_names(ast.walk(tree), path))
    used = {parts[1] for parts in names if parts[0] == "builder_tools" and len(parts) > 1}
    return used - {"__version__"}


every_module = pytest.mark.parametrize("path", _sources(), ids=_module_id)


def test_every_row_of_the_table_is_there() -> None:
    assert len(STOREYS) > 30, "the table of docs/design.md could not be read"
    assert {storey.name for storey in STOREYS} == {_storey_name(path) for path in _sources()} - {
        "__init__"
    }


@every_module
def test_module_is_in_the_table(path: Path) -> None:
    assert _storey_name(path) in {*ORDER, "__init__"}, (
        f"{_module_id(path)} has no storey: give it a row in docs/design.md"
    )


@every_module
def test_imports_run_downward_only(path: Path) -> None:
    name = _storey_name(path)
    used = _storeys_used(_tree(path), path) - {name}
    own_row = ORDER.get(name, 0)  # the package's own __init__ stands on nothing
    too_low = {other for other in used if ORDER.get(other, len(STOREYS)) >= own_row}
    assert not too_low, f"{_module_id(path)} may not import {sorted(too_low)}"


@every_module
def test_third_party_imports_at_module_level(path: Path) -> None:
    row = ORDER.get(_storey_name(path))
    allowed = {"numpy", "builder_tools"} | (STOREYS[row].third_party if row is not None else set())
    imported = _imported_names(_nodes_run_at_import(_tree(path)), path)
    found = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert found <= allowed, f"{_module_id(path)}: import {sorted(found - allowed)} where used"


@every_module
def test_module_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{_module_id(path)} has {lines} lines: make it a folder"


@every_module
def test_no_bare_except(path: Path) -> None:
    handlers = [n for n in ast.walk(_tree(path)) if isinstance(n, ast.ExceptHandler)]
    assert not [handler.lineno for handler in handlers if handler.type is None]


def _is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


@cache
def _protocol_methods() -> set[str]:
    """Names that some `Protocol` of the package documents for all who implement it."""
    classes = (node for path in _sources() for node in _tree(path).body)
    protocols = (c for c in classes if isinstance(c, ast.ClassDef) and "Protocol" in _bases(c))
    methods = (child for protocol in protocols for child in protocol.body)
    return {m.name for m in methods if isinstance(m, ast.FunctionDef) and ast.get_docstring(m)}


def _bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).split("[")[0] for base in node.bases]


def _public_methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Methods that neither a base class nor a protocol documents; a property's name says it all."""
    if set(_bases(node)) - {"Protocol"}:
        return
    documented = _protocol_methods() if not node.bases else set()
    methods = (child for child in node.body if isinstance(child, ast.FunctionDef))
    named = (m for m in methods if not m.name.startswith("_") and m.name not in documented)
    yield from (method for method in named if not _is_property(method))


def _needs_docstring(tree: ast.Module) -> Iterator[ast.AST]:
    """The module, its public functions and classes, and their methods."""
    yield tree
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public_methods(node)


@every_module
def test_public_names_have_docstrings(path: Path) -> None:
    nodes = _needs_docstring(_tree(path))
    missing = [getattr(node, "name", "module") for node in nodes if not ast.get_docstring(node)]
    assert not missing, f"{_module_id(path)}: no docstring on {missing}"


def _documented_functions() -> Iterator[str]:
    for path in _sources():
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                words = (ast.get_docstring(node) or "").split()
                yield from words[:1]


def test_docstrings_begin_with_an_imperative() -> None:
    first = list(_documented_functions())
    telling = [word for word in first if word.rstrip(",;:") in TELLING]
    assert len(telling) < 0.02 * len(first), (
        f"{len(telling)} of {len(first)} begin like {telling[:5]}"
    )


def _light_modules() -> list[str]:
    present = {_storey_name(path) for path in _sources()}
    names = [s.name for s in STOREYS if s.light and s.name in present and s.name != "__main__"]
    return ["builder_tools", *(f"builder_tools.{name}" for name in names)]


LOAD_EACH = f"""
import importlib, os, sys, traceback
import cv2, numpy  # the only packages that every light module may load

def load(module):
    importlib.import_module(module)
    print(module, *[name for name in {HEAVY} if name in sys.modules], sep=":", flush=True)

for module in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    try:
        load(module)
    except BaseException:
        traceback.print_exc()
    os._exit(0)
"""
"""A process a module, none of which starts anew."""


@pytest.fixture(scope="module")
def loaded_with() -> dict[str, list[str]]:
    """The heavy packages that each light module brings, imported alone."""
    command = [sys.executable, "-c", LOAD_EACH, *_light_modules()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    told = (line.split(":") for line in done.stdout.splitlines())
    return {module: heavy for module, *heavy in told}


@pytest.mark.parametrize("module", _light_modules())
def test_light_wing_loads_nothing_heavy(module: str, loaded_with: dict[str, list[str]]) -> None:
    assert loaded_with[module] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import builder_tools.media as m", {"media"}),
        ("from builder_tools import results", {"results"}),
        ("from builder_tools.datasets.ferplus import load", {"datasets"}),
        ("def f():\n    from ..cli import main", {"cli"}),
        ("from .haar import HaarDetector", {"detectors"}),
        ("import numpy.typing", set()),
    ],
)
def test_reader_of_imports(source: str, expected: set[str]) -> None:
    path = PACKAGE / "detectors" / "made_up.py"
    assert _storeys_used(ast.parse(source), path) == expected


def test_imports_at_module_level_leave_out_functions_and_type_checking() -> None:
    source = "import cv2\nif TYPE_CHECKING:\n    import keras\ndef f():\n    import pandas\n"
    nodes = _nodes_run_at_import(ast.parse(source))
    assert list(_imported_names(nodes, PACKAGE / "media.py")) == ["cv2"]


@pytest.mark.parametrize("package", ["builder_tools", "builder_tools.media"])
def test_type_checkers_are_told_every_public_name_that_is_loaded_when_asked_for(package):
    stub = PACKAGE.parent / package.replace(".", "/") / "__init__.pyi"
    told = [
        f"{node.module}.{name.asname}"
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    ]
    places = importlib.import_module(package)._PLACES
    full = {name: place if "." in place else f"{package}.{place}" for name, place in places.items()}
    assert {one.rpartition(".")[2] for one in told} == set(full)
    assert all(one.startswith(full[one.rpartition(".")[2]]) for one in told)
