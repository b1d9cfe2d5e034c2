"""Notebooks: they run from top to bottom on a small sample and are committed with their outputs."""

import base64
import functools
import re
from pathlib import Path

import cv2
import pytest

from builder_tools.datasets import ferplus
from builder_tools.detectors import make_detector
from builder_tools.media import read_image

nbformat = pytest.importorskip("nbformat")
pyplot = pytest.importorskip("matplotlib.pyplot")
InteractiveShell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 400_000
MACHINE_PATH = re.compile(
    r"/home/|/root/|/Users/|/tmp/|[A-Z]:\\\\Users|" + re.escape(str(FOLDER.parent))
)

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell) -> str:
    """Everything a cell shows but its images."""
    shown = [cell.source]
    for output in cell.get("outputs", []):
        shown.append(output.get("text", ""))
        data = output.get("data", {})
        shown += [str(value) for kind, value in data.items() if not kind.startswith("image/")]
    return "\n".join(shown)


@every_notebook
def test_is_committed_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    first, last = notebook.cells[0], notebook.cells[-1]
    assert first.cell_type == last.cell_type == "markdown"
    assert "question" in first.source.casefold() and "data" in first.source.casefold()
    assert re.match(r"#+\s+Findings?\b", last.source), "the last cell is headed Finding"
    assert any("builder_tools" in cell.source for cell in code_cells(notebook))
    numbers = [cell.execution_count for cell in code_cells(notebook)]
    assert numbers == list(range(1, len(numbers) + 1)), "run it once, from top to bottom"
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert outputs and not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    named = [cell.source for cell in notebook.cells if MACHINE_PATH.search(texts(cell))]
    assert not named, "a path of one machine is shown"
    assert path.stat().st_size < MAX_BYTES


@pytest.fixture(scope="module")
def ferplus_is_read_once():
    """Seven notebooks begin with it, and none changes what it gets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ferplus, "load_ferplus", functools.cache(ferplus.load_ferplus))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("ferplus_is_read_once")
@every_notebook
def test_runs_on_a_small_sample(path, data_dir, tmp_path, monkeypatch):
    """In this process: a kernel of its own would load TensorFlow anew for each notebook."""
    monkeypatch.setenv("BUILDER_TOOLS_QUICK", "1")
    monkeypatch.setenv("BUILDER_TOOLS_DATA", str(data_dir.resolve()))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.chdir(FOLDER)
    shell = InteractiveShell()
    with pyplot.rc_context():
        for cell in code_cells(nbformat.read(path, as_version=4)):
            shell.run_cell(cell.source, store_history=True).raise_error()
            pyplot.close("all")


PERMITTED = re.compile(r"\bastronaut\b|\bheads\b|\bdrawn_people\b")
"""Images of faces may be of scikit-image's astronaut (public domain), made of her, or drawn."""
COMPOSITES = re.compile(r"\bplot_mean_faces\b|\bMainDirections\b")
"""Means and directions of thousands of faces: nobody's."""
OF_DATA_SETS = re.compile(
    r"\b(?:plot_contact_sheet|plot_dropped|plot_interpolations|plot_augmentations|imshow)\("
    r"[^)]*\b(?:raw|images|faces|paths|sample|ferplus)\b"
)


@every_notebook
def test_no_face_of_a_data_set_is_shown(path):
    """FER2013's faces are not ours to show: a detector looks at every image in the outputs."""
    with make_detector("haar") as detector:
        for cell in code_cells(nbformat.read(path, as_version=4)):
            assert not OF_DATA_SETS.search(cell.source), cell.source
            if PERMITTED.search(cell.source) or COMPOSITES.search(cell.source):
                continue
            for image in images(cell):
                large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
                assert not detector.detect(image) and not detector.detect(large), cell.source


def images(cell):
    """Yield the images that a cell shows, RGB."""
    for output in cell.get("outputs", []):
        for kind, value in output.get("data", {}).items():
            if kind in ("image/png", "image/jpeg"):
                yield read_image(base64.b64decode("".join(value)))
