"""Getting data sets: which are known, their locations and licences; fetched, verified, kept whole.

FER+'s labels come from Microsoft's repository; FER2013's images and the competition come through
the official `kaggle` client (the `[kaggle]` extra) with its own credentials. The client is run as a
program, because importing it asks for credentials. Nothing is fetched unless requested, and nothing
that fails verification is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from builder_tools.datasets.new_folder import new_folder

if TYPE_CHECKING:
    from builder_tools.datasets.table import ImageTable

LABELS_ADDRESS = "https://raw.githubusercontent.com/microsoft/FERPlus/master/fer2013new.csv"
LABELS_FILE = "fer2013new.csv"
LABELS_SHA256 = "9206e20d62f56475939f516847d61753e4860caeac9718b560129541b776fc2c"
TIMEOUT_S = 30.0

PIXELS_COMPETITION = "challenges-in-representation-learning-facial-expression-recognition-challenge"
PIXELS_FILE = "icml_face_data.csv"
PIXELS_ROWS = {"Training": 28709, "PublicTest": 3589, "PrivateTest": 3589}
"""Rows of FER2013 by usage, as in `fer2013new.csv`, which is joined to it by row."""

COMPETITION = "skillbox-computer-vision-project"

FERPLUS_SHA256 = {
    "2d9afe24cce44da2fdb5e148a06f62d6dcbb763e85b7521c9de1c3573d8036d4": "FER+ with the votes of "
    "its label.csv files, the ones the project's figures are measured with",
    "81aae90452ad6a6adf6c172020147507ac7edcc2b4c287e1ffcf6a81450e3444": "FER+ with the votes of "
    "fer2013new.csv; they differ from label.csv's for 1,601 images (377 nine-class labels)",
}
"""`data_sha256` of the two complete forms of FER+."""


@dataclass(frozen=True)
class KnownData:
    """A data set, or a part of one, that the project can use.

    Args:
        name: The name it is requested by.
        about: What it is.
        licence: Who may use it for what.
        places: Alternatives below `data_folder()`; it is present if all files of one exist.
        to_get: What to do to get it.
        fetch: Fetches it into a folder and returns what was written; None if it cannot be fetched.
        folder: Where it is fetched to, below `data_folder()`.
    """

    name: str
    about: str
    licence: str
    places: tuple[tuple[str, ...], ...]
    to_get: str
    fetch: Callable[[Path], Path] | None = None
    folder: str = ""


def find_data(known: KnownData) -> Path | None:
    """Return the location of a data set in `data_folder()`, or None if it is not there."""
    from builder_tools.datasets.ferplus import data_folder

    for files in known.places:
        paths = [data_folder() / file for file in files]
        if all(path.exists() for path in paths):
            return paths[0]
    return None


def fetch_data(name: str, folder: str | Path | None = None) -> Path:
    """Fetch and verify a data set; return the file or folder.

    Args:
        name: One of `FETCHED`.
        folder: Destination; by default its place in `data_folder()`. Anything already there is
            only verified.

    Raises:
        ValueError: If the name is unknown, or what was fetched fails verification.
        OSError: If the address cannot be reached or the folder cannot be written.
        ImportError: If the kaggle client is needed but not installed.
        RuntimeError: If the kaggle client fails.
    """
    if name not in FETCHED:
        raise ValueError(f"Expected one of {list(FETCHED)}. Received: {name!r}.")
    from builder_tools.datasets.ferplus import data_folder

    known = FETCHED[name]
    target = Path(folder) if folder is not None else data_folder() / known.folder
    try:
        return known.fetch(target)
    except (OSError, ImportError, RuntimeError) as error:
        reason = str(error).rstrip(".")
        sentence = f"Could not fetch {name}: {reason}. Licence: {known.licence}. {known.to_get}."
        kinds = (OSError, ImportError, RuntimeError)
        raise next(kind for kind in kinds if isinstance(error, kind))(sentence) from error


def describe_ferplus(faces: ImageTable) -> str:
    """Return which known form of FER+ this is, according to its hash, or that it is none."""
    from builder_tools.datasets.identity import data_sha256

    sha256 = data_sha256(faces)
    return FERPLUS_SHA256.get(sha256, f"no complete form of FER+ that is known (sha256 {sha256})")


def _fetch_labels(folder: Path) -> Path:
    from http.client import HTTPException
    from urllib.request import urlopen

    final = folder / LABELS_FILE
    if not final.exists():
        try:
            with urlopen(LABELS_ADDRESS, timeout=TIMEOUT_S) as answer:
                content = answer.read()
        except (OSError, HTTPException) as error:
            raise OSError(f"{LABELS_ADDRESS} gave nothing ({error})") from error
        _check_labels(content, LABELS_ADDRESS)
        with _scratch(folder) as scratch:
            (scratch / LABELS_FILE).write_bytes(content)
            _place(scratch / LABELS_FILE, final)
    _check_labels(final.read_bytes(), str(final))
    return final


def _check_labels(content: bytes, place: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != LABELS_SHA256:
        raise ValueError(
            f"Expected {LABELS_FILE} with sha256 {LABELS_SHA256} ({place}). "
            f"Received: {len(content)} bytes with sha256 {found}."
        )


def _fetch_pixels(folder: Path) -> Path:
    final = folder / PIXELS_FILE
    if not final.exists():
        with _scratch(folder) as scratch:
            _run_kaggle(PIXELS_COMPETITION, scratch, "--file", PIXELS_FILE)
            _unpack(scratch)
            _check_pixels(scratch / PIXELS_FILE)
            _place(scratch / PIXELS_FILE, final)
            return final
    _check_pixels(final)
    return final


def _check_pixels(file: Path) -> None:
    if not file.is_file():
        raise ValueError(f"Expected {PIXELS_FILE} from Kaggle. It did not come.")
    import pandas as pd

    from builder_tools.datasets.ferplus import FACE_SIZE_PX

    rows = pd.read_csv(file, dtype=str).rename(columns=str.strip)
    missing = [column for column in ("emotion", "pixels", "Usage") if column not in rows]
    if missing:
        raise ValueError(f"Expected emotion, pixels, Usage in {file.name}. Received: {list(rows)}.")
    counts = rows["Usage"].value_counts().to_dict()
    if counts != PIXELS_ROWS:
        raise ValueError(f"Expected {PIXELS_ROWS} rows in {file.name}. Received: {counts}.")
    short = rows["pixels"].fillna("").str.count(" ").to_numpy() != FACE_SIZE_PX**2 - 1
    if short.any():
        row = int(short.argmax()) + 2
        raise ValueError(f"Expected 2304 grey values in each row of {file.name}. Not so: row {row}")


def _fetch_competition(folder: Path) -> Path:
    if not (folder / "train.csv").exists():
        with new_folder(folder) as partial:
            _run_kaggle(COMPETITION, partial)
            _unpack(partial)
            _check_competition(partial, folder)
    _check_competition(folder, folder)
    return folder


def _check_competition(root: Path, shown: Path) -> None:
    """Check that every image listed in the csv files exists."""
    from builder_tools.datasets.competition import competition_test, list_competition

    try:
        list_competition(root)
        competition_test(root)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(str(error).replace(str(root), str(shown))) from error


def kaggle_client() -> list[str]:
    """Return the command that runs the kaggle client, even if it is not on PATH; or []."""
    if client := shutil.which("kaggle"):
        return [client]
    return [sys.executable, "-m", "kaggle"] if find_spec("kaggle") else []


def _run_kaggle(competition: str, folder: Path, *options: str) -> None:
    """Run `kaggle competitions download`, showing progress on stderr if that is a terminal."""
    client = kaggle_client()
    if not client:
        raise ImportError("it needs the kaggle client: pip install 'builder-tools[kaggle]'")
    command = [*client, "competitions", "download", competition, "--path", str(folder), *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        said = b""
        while part := process.stdout.read1():
            said += part
            if sys.stderr.isatty():
                sys.stderr.write(part.decode(errors="replace"))
    if not process.returncode:
        return
    raise RuntimeError(kaggle_reason(said.decode(errors="replace"), competition))


def kaggle_reason(words: str, competition: str) -> str:
    """Return, in one sentence, why the kaggle client failed.

    Args:
        words: Its output.
        competition: The competition it was asked for.
    """
    if "Authentication required" in words or "401" in words:
        return "the kaggle client has no credentials: `kaggle auth login` gives it some"
    if "403" in words:
        page = f"https://www.kaggle.com/competitions/{competition}/rules"
        return f"Kaggle asks you to accept the rules first, on {page}"
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return f"the kaggle client refused: {lines[-1] if lines else 'it did not say why'}"


def _unpack(folder: Path) -> None:
    """Unpack the zips in a folder in place."""
    for packed in folder.glob("*.zip"):
        try:
            with zipfile.ZipFile(packed) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as error:
            raise ValueError(f"Expected a zip from Kaggle. {packed.name}: {error}.") from error
        packed.unlink()


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Lend a folder on the same disk as `folder`, which may not exist yet."""
    parent = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    with TemporaryDirectory(dir=parent, prefix=".fetch-") as scratch:
        yield Path(scratch)


def _place(file: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, final)


_FER2013_LICENCE = "FER2013's images are for research use (Goodfellow et al., 2013)"
_LABELS_LICENCE = "FER+'s labels are MIT (Microsoft)"

KNOWN_DATA: dict[str, KnownData] = {
    known.name: known
    for known in (
        KnownData(
            "ferplus",
            "FER+: 35,710 grey 48x48 faces with ten crowd votes each",
            f"{_FER2013_LICENCE}; {_LABELS_LICENCE}",
            (
                ("ferplus.zip",),
                ("ferplus/FER2013Train/label.csv",),
                ("ferplus/fer2013.csv", "ferplus/fer2013new.csv"),
                ("ferplus/icml_face_data.csv", "ferplus/fer2013new.csv"),
            ),
            "Fetch its parts, ferplus-labels and fer2013, or put ferplus.zip there "
            "(see data/README.md)",
        ),
        KnownData(
            "ferplus-labels",
            "the votes of FER+ (fer2013new.csv)",
            _LABELS_LICENCE,
            (("ferplus/fer2013new.csv",), ("ferplus.zip",)),
            f"With internet at hand, download {LABELS_ADDRESS} and put it into ferplus/ of the "
            "data folder",
            _fetch_labels,
            "ferplus",
        ),
        KnownData(
            "fer2013",
            "the images of FER+ (icml_face_data.csv)",
            f"{_FER2013_LICENCE}; Kaggle's rules of the challenge hold",
            (("ferplus/icml_face_data.csv",), ("ferplus/fer2013.csv",), ("ferplus.zip",)),
            f"With internet at hand, `kaggle competitions download {PIXELS_COMPETITION} "
            f"--file {PIXELS_FILE}`, and put it into ferplus/ of the data folder",
            _fetch_pixels,
            "ferplus",
        ),
        KnownData(
            "competition",
            f"the Kaggle competition {COMPETITION}: nine classes, photos",
            "the competition's rules hold; the images are not to be passed on",
            (("competition/train.csv",),),
            f"With internet at hand, `kaggle competitions download {COMPETITION}`, and unpack it "
            "into competition/ of the data folder",
            _fetch_competition,
            "competition",
        ),
        KnownData(
            "folders",
            "your own images as class folders: root/<emotion>/*.jpg",
            "yours to know",
            (),
            "Name the folder with --source",
        ),
    )
}
"""Everything that `builder-tools data` knows about, by name."""

FETCHED = {name: known for name, known in KNOWN_DATA.items() if known.fetch is not None}
"""What can be fetched, by name."""
