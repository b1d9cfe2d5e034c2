"""What somebody meets who installed less than everything, or works outside a checkout."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import builder_tools
from builder_tools.cli import STUDY_VERBS, VERBS, main
from builder_tools.cli.quiet import CHATTER

ROOT = Path(builder_tools.__file__).parents[1]


def without(*packages: str, code: str, cwd: Path) -> subprocess.CompletedProcess:
    """Runs code in a process that lacks packages."""
    hide = (
        "import sys, importlib.abc\n"
        "class Hidden(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {packages!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", hide + code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("FaceSMOTE", "imblearn"),
        ("EmotionHyperModel", "keras_tuner"),
        ("ValenceArousalLabeller", "sklearn"),
    ],
)
def test_a_name_without_its_extra_names_the_pip_command(name, package, tmp_path):
    done = without(package, code=f"from builder_tools import {name}", cwd=tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ImportError: {name} needs {package}: pip install 'builder-tools[study]'"


@pytest.mark.parametrize(
    ("extra", "package", "install"),
    [
        ("study", "pandas", "'builder-tools[study]'"),
        ("", "pandas", "builder-tools"),
        ("study", "jax", "jax"),
        ("study", "torch", "torch"),
    ],
)
def test_a_verb_without_a_package_names_the_pip_command(
    extra, package, install, monkeypatch, capsys
):
    def lacking(options):
        raise ModuleNotFoundError(f"No module named {package!r}", name=f"{package}.core")

    verb = dataclasses.replace(VERBS["models"], run=lacking, extra=extra)
    monkeypatch.setitem(VERBS, "models", verb)
    assert main(["models"]) == 2
    said = f"builder-tools models: This needs {package}: pip install {install}.\n"
    assert capsys.readouterr().err == said


def test_extras_of_verbs_are_extras_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {extra for verb in VERBS.values() for extra in (verb.extra, *verb.also)} - {""}
    assert named <= set(project["optional-dependencies"])


def test_videos_over_time_need_no_study(face_video, tmp_path):
    """`video --plot`, `highlights` and `exhibits` on the extra [video]."""
    code = (
        "from builder_tools.cli import main\n"
        f"film = {str(face_video.path)!r}\n"
        "assert main(['video', film, '--timeline', 't.csv', '--plot', 'p.png']) == 0\n"
        "assert main(['highlights', 't.csv', '--out', 'cut']) == 0\n"
        "open('show.toml', 'w').write(f'[[exhibit]]\\nname = \"a\"\\nsource = {film!r}\\n')\n"
        "assert main(['exhibits', 'show.toml', '--out', 'report']) == 0\n"
    )
    hidden = ("tensorflow", "keras", "sklearn", "seaborn", "skimage", "imblearn", "joblib")
    done = without(*hidden, code=code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for made in ("p.png", "cut/highlights.csv", "report/exhibits.html"):
        assert (tmp_path / made).is_file()


def test_an_installed_package_looks_for_nothing_beside_itself(tmp_path):
    """Its data are in the current folder, and the repository it lies in is not its own."""
    site = tmp_path / "project" / "site-packages"
    shutil.copytree(
        ROOT / "builder_tools", site / "builder_tools", ignore=shutil.ignore_patterns("__pycache__")
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from builder_tools.datasets.ferplus import data_folder\n"
        "from builder_tools.training.checkpoints import commit_id\n"
        "print(data_folder(), commit_id())\n"
    )
    variables = ("BUILDER_TOOLS_DATA", "BUILDER_TOOLS_COMMIT")
    with pytest.MonkeyPatch.context() as patch:
        for name in variables:
            patch.delenv(name, raising=False)
        done = without(code=code, cwd=tmp_path)
    assert done.stdout == "data unknown\n", done.stderr


CHATTERING = """
import os, sys
from builder_tools.cli.quiet import without_chatter
with without_chatter():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are ...\\n")
    os.write(2, b"I0000 00:00:1795656319.914631   18996 port.cc:153] oneDNN ...\\n")
    os.write(2, b"2026-01-01 10:00:00.123456: I tensorflow/core/cpu_feature_guard.cc:210] ...\\n")
    os.write(2, b"Segmentation fault\\n")
    print("progress", file=sys.stderr)
print("after", file=sys.stderr)
os.write(2, b"I0000 00:00:00 not filtered any more\\n")
"""


def test_chatter_of_native_libraries_stays_off_stderr(tmp_path):
    done = without(code=CHATTERING, cwd=tmp_path)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert sorted(lines[:2]) == ["Segmentation fault", "progress"]
    assert lines[2:] == ["after", "I0000 00:00:00 not filtered any more"]


@pytest.mark.parametrize("line", [b"failed: I0000.png", b"epoch 1/1", b"", b"2026-01-01 a note"])
def test_other_lines_are_no_chatter(line):
    assert not CHATTER.match(line)


@pytest.mark.slow
def test_tensorflow_is_quiet_on_the_command_line(tmp_path):
    pytest.importorskip("tensorflow")
    code = (
        "import sys\nfrom builder_tools import cli\n"
        "def loads(options):\n    import keras\n    keras.ops.zeros(3)\n"
        "import dataclasses\n"
        "cli.VERBS['evaluate'] = dataclasses.replace(cli.VERBS['evaluate'], run=loads)\n"
        "sys.exit(cli.main(['evaluate']))\n"
    )
    assert "evaluate" in STUDY_VERBS
    done = without(code=code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
