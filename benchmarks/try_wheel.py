"""Try a wheel in an empty environment: install it as a new user would, and use it.

    python benchmarks/try_wheel.py dist

The environment has only the base install, in the versions of requirements.txt. Outside the
repository, the command line must find its models, predict on a photograph, read and write a film,
and name the pip command for what is missing. Also measures the size of the environment, and checks
the contents of the wheel and the sdist.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from cold_start import ROOT, _size_mb

from builder_tools.assets import asset_folder

MOST_MB = 760
NEED_MORE = {
    "highlights seen.csv --out cut": "video",
    "exhibits show.toml --out report": "video",
    "archive films --out archive": "video",
    "web": "web",
    "watch show.toml": "watch",
    "data list": "study",
    "clean photos --out clean": "study",
    "train": "study",
    "export last.keras --out mine": "study",
}
"""Command line -> the extra that it must ask for."""
LEFT_OUT = ("tests/", "studies/", "benchmarks/", ".keras")
"""No file in the wheel may have any of these in its name."""


def check(what: str, holds: bool) -> None:
    """Print what was checked and whether it holds; exit if it does not."""
    print(f"{'ok' if holds else 'WRONG':<6}{what}", flush=True)
    if not holds:
        raise SystemExit(1)


def look_into(dist: Path) -> Path:
    """Check the contents of the wheel and the sdist; return the path of the wheel."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    models = sum(name.endswith("/card.json") for name in names)
    check("wheel: py.typed and models", "builder_tools/py.typed" in names and models >= 3)
    wrong = [name for name in names if any(part in name for part in LEFT_OUT)]
    check(f"wheel: nothing of {', '.join(LEFT_OUT)}", not wrong)
    with tarfile.open(sdist) as archive:
        inside = {Path(name).parts[1] for name in archive.getnames()}
    check("sdist: tests, documentation, licence", {"tests", "docs", "LICENSE"} <= inside)
    return wheel


def use(folder: Path, wheel: Path) -> None:
    """Install the wheel in an empty environment and use it there."""
    home = folder / "environment"
    venv.create(home, with_pip=True)
    before_mb = _size_mb(home)
    pip = [home / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", ROOT / "requirements.txt", wheel], check=True)
    size_mb = _size_mb(home) - before_mb
    check(f"base install: {size_mb:.0f} MB, at most {MOST_MB}", size_mb <= MOST_MB)
    program = home / "bin" / "builder-tools"
    package = next(home.glob("lib/*/site-packages/builder_tools"))
    photo, film = (package / "web" / "examples" / name for name in ("astronaut.jpg", "film.mp4"))

    # Nothing in the caller's environment may lead to the package of the clone.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if weights := asset_folder():
        clean["BUILDER_TOOLS_ASSETS"] = str(weights)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, words)],
            cwd=folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )

    answer = run("img", photo, "--json")
    faces = json.loads(answer.stdout)["faces"] if answer.returncode == 0 else []
    check("img: one happy face", [face["emotion"] for face in faces] == ["happy"])
    drawn = run("video-rec", film, "--out", "drawn.mp4")
    check("video-rec: a film", drawn.returncode == 0 and (folder / "drawn.mp4").is_file())
    for words, extra in NEED_MORE.items():
        said = run(*words.split())
        right = said.returncode == 2 and f"pip install 'builder-tools[{extra}]'" in said.stderr
        check(f"{words.split()[0]}: names [{extra}]", right)
    doctor = run("doctor")
    print(doctor.stdout)
    check("doctor: nothing is broken", doctor.returncode == 0)


def main() -> None:
    """Check the files in a folder, and use the wheel."""
    parser = argparse.ArgumentParser(description="Try a wheel in an empty environment.")
    parser.add_argument("dist", type=Path, help="folder with one wheel and one sdist")
    wheel = look_into(parser.parse_args().dist.resolve())
    with tempfile.TemporaryDirectory() as folder:
        use(Path(folder), wheel)


if __name__ == "__main__":
    sys.exit(main())
